"""Shapes that nobody may tune a policy by: drawn anew for each draw, and kept in no file.

    python -m bench.held_out [NAME…] [--draw N]     what there is to be found in each
    python -m bench.goals held-out [--draw N]       how the policies do on them

8 GiB and a minute each, as the shapes that come with udamon. A parameter that was chosen because of what comes out
here must be judged on another draw.
"""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from math import exp, log
from random import Random
from typing import NamedTuple

from bench.make_shapes import SECOND, TOTAL
from udamon.evaluation.score import HOT
from udamon.model import PAGE_SIZE
from udamon.units import GIB, KIB, MIB, format_size
from udamon.workload.layout import place
from udamon.workload.spec import Pattern, Workload, WorkloadPhase, WorkRegion
from udamon.workload.truth import Truth

MINUTE = 60


class Area(NamedTuple):
    """Bytes [start, end) whose pages are accessed with `chance` in a sampling interval."""

    start: int
    end: int
    chance: float


Scene = tuple[float, Sequence[Area]]
"""So many seconds in which these areas are accessed; where they overlap, any of them does it."""


def workload(scenes: Sequence[Scene], total: int = TOTAL) -> Workload:
    """[0, total) cut at every border of an area, with a phase for each scene."""
    borders = {bound for _, areas in scenes for area in areas for bound in area[:2]}
    cuts = sorted({0, total} | {bound for bound in borders if 0 < bound < total})
    regions = tuple(WorkRegion(f"r{i}", end - start) for i, (start, end) in enumerate(pairwise(cuts)))
    phases = []
    for i, (seconds, areas) in enumerate(scenes):
        patterns = [
            Pattern(regions[k].name, True, PAGE_SIZE, 1, chance=area.chance)
            for area in areas
            for k in range(bisect_left(cuts, area.start), bisect_left(cuts, min(area.end, total)))
        ]
        phases.append(WorkloadPhase(f"scene {i}", round(seconds * SECOND), tuple(patterns)))
    return Workload(regions, tuple(phases))


def islands(rng: Random, sizes: Iterable[int], total: int = TOTAL) -> list[tuple[int, int]]:
    """Disjoint places in whole pages, in a random order with random gaps; together well below `total`."""
    pages = [max(1, size // PAGE_SIZE) for size in sizes]
    rng.shuffle(pages)
    free = total // PAGE_SIZE - sum(pages)
    gaps = sorted(rng.randrange(free + 1) for _ in pages)
    before = [0, *accumulate(pages)]
    return [
        ((gap + done) * PAGE_SIZE, (gap + done + size) * PAGE_SIZE)
        for gap, done, size in zip(gaps, before, pages, strict=False)
    ]


def log_uniform(rng: Random, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))


# The shapes


def mixed(rng: Random) -> Workload:
    """Clusters of 64 KiB to 512 MiB, each with a chance of its own from 0.2 to 1"""
    sizes: list[int] = []
    while sum(sizes) < TOTAL // 4:
        sizes.append(round(log_uniform(rng, 64 * KIB, 512 * MIB)))
    return workload([(MINUTE, [Area(*where, rng.uniform(0.2, 1)) for where in islands(rng, sizes)])])


def gradient(rng: Random) -> Workload:
    """The chance falls evenly from 1 to 0 over 2 GiB, and is 0 elsewhere"""
    start, step, count = rng.randrange(5 * GIB // PAGE_SIZE) * PAGE_SIZE, 4 * MIB, 512
    areas = [Area(start + i * step, start + (i + 1) * step, 1 - (i + 0.5) / count) for i in range(count)]
    return workload([(MINUTE, areas)])


def pulses(rng: Random) -> Workload:
    """Three groups of clusters of 1 to 16 MiB that are hot and cold in turns of 1.5, 4 and 7 s"""
    places = islands(rng, (round(log_uniform(rng, MIB, 16 * MIB)) for _ in range(45)))
    rng.shuffle(places)
    turns = (1.5, 4, 7)
    moments = sorted({0.0, MINUTE, *(i * turn for turn in turns for i in range(1, int(MINUTE / turn) + 1))})
    scenes = []
    for begin, end in pairwise(moments):
        awake = [group for group, turn in enumerate(turns) if begin // turn % 2 == 0]
        scenes.append((end - begin, [Area(*places[i], 0.9) for i in range(len(places)) if i % 3 in awake]))
    return workload(scenes)


def noisy(rng: Random) -> Workload:
    """Everything is accessed with chance 0.02, thirty islands of 1 to 8 MiB with 0.9"""
    places = islands(rng, (round(log_uniform(rng, MIB, 8 * MIB)) for _ in range(30)))
    return workload([(MINUTE, [Area(0, TOTAL, 0.02), *(Area(*where, 0.9) for where in places)])])


def salt(rng: Random) -> Workload:
    """In four areas of 8 MiB every third page or so is hot by itself, and there is one block of 64 MiB"""
    areas = []
    *salted, block = sorted(islands(rng, [8 * MIB] * 4 + [64 * MIB]), key=lambda where: where[1] - where[0])
    for start, end in salted:
        areas += [
            Area(page, page + PAGE_SIZE, 1.0) for page in range(start, end, PAGE_SIZE) if rng.random() < 0.3
        ]
    return workload([(MINUTE, [*areas, Area(*block, 1.0)])])


def crossing(rng: Random) -> Workload:
    """Two windows of 200 MiB: one slides up through the lower 4 GiB, one down through the upper, in 20 to 40 s"""
    half, width = TOTAL // 2, 200 * MIB
    up, down = rng.uniform(20, 40), rng.uniform(20, 40)
    step = 0.1
    scenes = []
    for i in range(round(MINUTE / step)):
        low = round(half * (i * step / up % 1)) // PAGE_SIZE * PAGE_SIZE
        high = TOTAL - round(half * (i * step / down % 1)) // PAGE_SIZE * PAGE_SIZE
        scenes.append(
            (step, [Area(low, min(low + width, half), 0.97), Area(max(high - width, half), high, 0.97)])
        )
    return workload(scenes)


def growing(rng: Random) -> Workload:
    """A block grows from 64 MiB to 2 GiB by 64 MiB every 1.9 s, beside a small one that stays"""
    start = rng.randrange(5 * GIB // PAGE_SIZE) * PAGE_SIZE
    small = Area(7 * GIB, 7 * GIB + 24 * MIB, 0.9)
    scenes = [(1.9, [Area(start, start + 64 * MIB * (i + 1), 0.8), small]) for i in range(32)]
    return workload(scenes)


SHAPES: dict[str, Callable[[Random], Workload]] = {
    maker.__name__: maker for maker in (mixed, gradient, pulses, noisy, salt, crossing, growing)
}


def draw(name: str, number: int = 1) -> Workload:
    """The shape `name` of draw `number`."""
    return SHAPES[name](Random(f"{name} {number}"))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.held_out")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SHAPES))
    parser.add_argument("--draw", type=int, default=1, metavar="N")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - SHAPES.keys():
        parser.error(f"there is no shape {', '.join(sorted(unknown))}")
    for name in args.names or SHAPES:
        made = draw(name, args.draw)
        truth = Truth(made, place(made))
        print(f"{name}: {SHAPES[name].__doc__}")
        for seconds in (0, 20, 40):
            seen = truth.expected(seconds * SECOND, 20, 5_000_000)
            hot = sum(e.end - e.start for e in seen if e.mean >= HOT)
            touched = sum((e.end - e.start) * e.touched for e in seen)
            print(f"  {seconds:>3} s: {format_size(hot)} hot, working set {format_size(touched)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
