"""Shapes of other sizes than those of held_out.py, and of other structure: textures, single pages, large memory.

As there, they are drawn anew for each draw, and no parameter may be chosen by them: `python -m bench bound`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bench.held_out import MINUTE, Area, islands, log_uniform, workload
from udamon.model import PAGE_SIZE
from udamon.units import GIB, KIB, MIB
from udamon.workload.spec import Workload


def _still(areas: list[Area], total: int) -> Workload:
    return workload([(MINUTE, areas)], total)


def _every_third(rng: Random, start: int, end: int, chance: float = 1.0) -> list[Area]:
    return [
        Area(page, page + PAGE_SIZE, chance) for page in range(start, end, PAGE_SIZE) if rng.random() < 1 / 3
    ]


def _stripes(start: int, end: int, pages: int) -> list[Area]:
    """`pages` pages that are hot, and as many that are not, in turn."""
    size = pages * PAGE_SIZE
    return [Area(at, at + size, 0.98) for at in range(start, end, 2 * size)]


def stripes(rng: Random) -> Workload:
    """160 MiB: 16 pages hot, 16 pages not, throughout"""
    return _still(_stripes(rng.randrange(16) * PAGE_SIZE, 160 * MIB, 16), 160 * MIB)


def striped(rng: Random) -> Workload:
    """3 GiB, of which 384 MiB have 16 pages hot and 16 not"""
    start = rng.randrange(2 * GIB // PAGE_SIZE) * PAGE_SIZE
    return _still(_stripes(start, start + 384 * MIB, 16), 3 * GIB)


def thirds(rng: Random) -> Workload:
    """96 MiB: every third page or so is hot"""
    return _still(_every_third(rng, 0, 96 * MIB), 96 * MIB)


def salted(rng: Random) -> Workload:
    """2 GiB, of which 128 MiB have every third page or so hot, and a block of 200 MiB is"""
    start = rng.randrange(GIB // PAGE_SIZE) * PAGE_SIZE
    salt = _every_third(rng, start, start + 128 * MIB)
    return _still([*salt, Area(1500 * MIB, 1700 * MIB, 0.9)], 2 * GIB)


def spots(rng: Random) -> Workload:
    """512 MiB with 250 single pages that are hot"""
    return _still([Area(*where, 0.97) for where in islands(rng, [PAGE_SIZE] * 250, 512 * MIB)], 512 * MIB)


def few_spots(rng: Random) -> Workload:
    """48 MiB with 40 single pages that are hot"""
    return _still([Area(*where, 0.9) for where in islands(rng, [PAGE_SIZE] * 40, 48 * MIB)], 48 * MIB)


def crumbs(rng: Random) -> Workload:
    """1.5 GiB with 350 clusters of 8 to 64 KiB that are hot"""
    sizes = [round(log_uniform(rng, 8 * KIB, 64 * KIB)) for _ in range(350)]
    return _still([Area(*where, 0.95) for where in islands(rng, sizes, 1536 * MIB)], 1536 * MIB)


def combs(rng: Random) -> Workload:
    """4 GiB, in which five areas of 40 MiB have 4 hot pages of every 16"""
    places = islands(rng, [40 * MIB] * 5, 4 * GIB)
    areas = [
        Area(at, at + 4 * PAGE_SIZE, 0.9) for start, end in places for at in range(start, end, 16 * PAGE_SIZE)
    ]
    return _still(areas, 4 * GIB)


def blocks(rng: Random) -> Workload:
    """48 GiB with 200 blocks of 2 MiB that are hot"""
    size = 2 * MIB
    places = sorted(rng.sample(range(48 * GIB // size), 200))
    return _still([Area(at * size, (at + 1) * size, 0.97) for at in places], 48 * GIB)


def dim(rng: Random) -> Workload:
    """6 GiB with sixty areas of 1 to 64 MiB at chances from 0.05 to 0.45, and six that are hot"""
    sizes = [round(log_uniform(rng, MIB, 64 * MIB)) for _ in range(66)]
    places = islands(rng, sizes, 6 * GIB)
    hot = set(rng.sample(range(66), 6))
    areas = [Area(*w, 0.9 if i in hot else rng.uniform(0.05, 0.45)) for i, w in enumerate(places)]
    return _still(areas, 6 * GIB)


def small(rng: Random) -> Workload:
    """12 MiB with four clusters of 64 to 512 KiB that are hot"""
    sizes = [round(log_uniform(rng, 64 * KIB, 512 * KIB)) for _ in range(4)]
    return _still([Area(*where, 0.95) for where in islands(rng, sizes, 12 * MIB)], 12 * MIB)


def hops(rng: Random) -> Workload:
    """5 GiB; 25 clusters of 2 to 16 MiB are hot, and elsewhere every 6 s"""
    scenes = []
    for _ in range(10):
        sizes = [round(log_uniform(rng, 2 * MIB, 16 * MIB)) for _ in range(25)]
        scenes.append((6.0, [Area(*where, 0.95) for where in islands(rng, sizes, 5 * GIB)]))
    return workload(scenes, 5 * GIB)


SHAPES: dict[str, Callable[[Random], Workload]] = {
    maker.__name__: maker
    for maker in (
        stripes, striped, thirds, salted, spots, few_spots, crumbs, combs, blocks, dim, small, hops,
    )
}  # fmt: skip


def draw(name: str, number: int = 1) -> Workload:
    """The shape `name` of draw `number`."""
    return SHAPES[name](Random(f"{name} {number}"))
