"""Small shapes of different kinds, of which it is known what is touched: blocks, textures, and memory that moves."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from udamon.model import PAGE_SIZE
from udamon.units import MIB
from udamon.workload.spec import Pattern, Workload, WorkloadPhase, WorkRegion

SECOND_NS = 1_000_000_000


def _workload(sizes: list[int], phases: list[dict[int, float]], seconds: float) -> Workload:
    """Regions of these sizes; in each phase some of them, by number, have a chance of being accessed in a tick."""
    regions = tuple(WorkRegion(f"r{number}", size) for number, size in enumerate(sizes))
    return Workload(
        regions,
        tuple(
            WorkloadPhase(
                f"phase {number}",
                round(seconds * SECOND_NS),
                tuple(Pattern(f"r{at}", True, PAGE_SIZE, 1, chance=chance) for at, chance in hot.items()),
            )
            for number, hot in enumerate(phases)
        ),
    )


def blocks(rng: Random) -> Workload:
    """Nine blocks of 1 to 12 MiB in 256 MiB, each with a chance of its own"""
    sizes, hot = [], {}
    for number in range(9):
        sizes += [rng.randrange(8, 20) * MIB, rng.randrange(1, 13) * MIB]
        hot[2 * number + 1] = rng.uniform(0.2, 1)
    return _workload(sizes, [hot], 60)


def thirds(rng: Random) -> Workload:
    """Every third page or so of 48 MiB"""
    pages = [rng.random() < 1 / 3 for _ in range(48 * MIB // PAGE_SIZE)]
    sizes: list[int] = []
    hot: dict[int, float] = {}
    for page in pages:
        if sizes and (len(sizes) - 1 in hot) == page:
            sizes[-1] += PAGE_SIZE
        else:
            sizes.append(PAGE_SIZE)
            if page:
                hot[len(sizes) - 1] = 1.0
    return _workload(sizes, [hot], 60)


def faint(rng: Random) -> Workload:
    """128 MiB of which any page is touched in one aggregation of three, and 8 MiB that are hot"""
    return _workload([64 * MIB, 8 * MIB, 56 * MIB], [{0: 0.02, 1: 0.9, 2: 0.02}], 60)


def turns(rng: Random) -> Workload:
    """24 MiB hot for 3 s, then 40 MiB elsewhere"""
    return _workload([48 * MIB, 24 * MIB, 60 * MIB, 40 * MIB, 84 * MIB], [{1: 0.95}, {3: 0.95}], 3)


def rests(rng: Random) -> Workload:
    """1 MiB hot; 48 MiB of which half are touched in an aggregation, few in a tick, in the first of each 4 s"""
    return _workload([40 * MIB, 48 * MIB, 30 * MIB, MIB, 40 * MIB], [{1: 0.03, 3: 0.9}, *[{3: 0.9}] * 3], 1)


SHAPES: dict[str, Callable[[Random], Workload]] = {
    maker.__name__: maker for maker in (blocks, thirds, faint, turns)
}
