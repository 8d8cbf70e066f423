"""Writes the workloads that come with udamon, each with its truth in the head comment.

    python bench/make_shapes.py [DIRECTORY]

The same bytes every time: places and sizes are drawn from fixed seeds, in whole pages and aligned to
nothing more. A test compares the committed files with what this writes.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random

from udamon.model import PAGE_SIZE, Range
from udamon.units import GIB, MIB, TIB
from udamon.workload.spec import Pattern, Workload, WorkloadPhase, WorkRegion, format_workload

SECOND = 1_000_000_000
TOTAL = 8 * GIB
CHANCE = 0.97
SHAPES = Path(__file__).parents[1] / "src/udamon/workload/shapes"

Made = tuple[str, Workload]
"""What a shape's function returns: its truth in words, and the workload."""


# Places


def clusters(rng: Random, count: int, share: float, total: int = TOTAL) -> list[Range]:
    """`count` disjoint ranges, `share` of `total` bytes together; sizes differ by up to a factor of 3."""
    pages = total // PAGE_SIZE
    hot = _split(round(pages * share), [0.5 + rng.random() for _ in range(count)])
    gaps = _split(pages - sum(hot), [0.05 + rng.random() for _ in range(count + 1)])
    starts = accumulate(gap + size for gap, size in zip(gaps, [0, *hot], strict=False))
    return [
        Range(start * PAGE_SIZE, (start + size) * PAGE_SIZE) for start, size in zip(starts, hot, strict=False)
    ]


def _split(total: int, weights: Sequence[float]) -> list[int]:
    """`total` in whole parts of at least 1, in proportion to `weights`."""
    ends = [round(total * done / sum(weights)) for done in accumulate(weights)]
    return [max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]


def partition(hot: Sequence[Range], total: int = TOTAL) -> tuple[WorkRegion, ...]:
    """[0, total) cut into regions at every border of `hot`."""
    cuts = sorted({0, total, *(bound for where in hot for bound in where)})
    width = len(str(len(cuts)))
    return tuple(WorkRegion(f"m{i:0{width}}", end - start) for i, (start, end) in enumerate(pairwise(cuts)))


def phase(name: str, seconds: float, regions: Sequence[WorkRegion], hot: Sequence[Range]) -> WorkloadPhase:
    """A phase in which the regions inside `hot` are accessed with CHANCE, all others not at all."""
    starts = accumulate((region.size for region in regions), initial=0)
    inside = [
        Pattern(region.name, True, PAGE_SIZE, 1, chance=CHANCE)
        for region, start in zip(regions, starts, strict=False)
        if any(where.start <= start < where.end for where in hot)
    ]
    return WorkloadPhase(name, round(seconds * SECOND), tuple(inside))


def still(hot: Sequence[Range]) -> Workload:
    """The same hot memory for a minute."""
    regions = partition(hot)
    return Workload(regions, (phase("still", 60, regions, hot),))


# Shapes for the simulation: 8 GiB (sparse: 1 TiB), a minute, sampled every 5 ms


def one() -> Made:
    hot = clusters(Random(1), 1, 0.03)
    return f"one block of 3 %, {_size(hot)}, is accessed with chance {CHANCE}.", still(hot)


def many() -> Made:
    hot = clusters(Random(2), 40, 0.04)
    return f"40 clusters, 4 % or {_size(hot)} in all, are accessed with chance {CHANCE}.", still(hot)


def fine() -> Made:
    hot = clusters(Random(3), 400, 0.02)
    return f"400 clusters, 2 % or {_size(hot)} in all, are accessed with chance {CHANCE}.", still(hot)


def zipf() -> Made:
    size = 2 * MIB
    count = TOTAL // size
    rng = Random(4)
    ranks = sorted(range(1, count + 1), key=lambda _: rng.random())
    weights = [round(5 / rank**0.9, 6) for rank in ranks]
    rate = sum(weights) * (size // PAGE_SIZE) / 0.005
    regions = tuple(WorkRegion(f"b{i:04}", size) for i in range(count))
    patterns = [
        Pattern(region.name, True, PAGE_SIZE, weight) for region, weight in zip(regions, weights, strict=True)
    ]
    return (
        (
            "blocks of 2 MiB; the pages of the one of rank r, in shuffled order, are accessed 5 / r^0.9 times per 5 ms "
            "on average (a Poisson process; the weights are that average). Hot: the 8 blocks of rank 1 to 8."
        ),
        Workload(regions, (WorkloadPhase("still", 60 * SECOND, tuple(patterns)),), rate=round(rate, 3)),
    )


def shifting() -> Made:
    places = [clusters(Random(50 + i), 40, 0.04) for i in range(12)]
    regions = partition([where for hot in places for where in hot])
    phases = tuple(phase(f"place {i}", 5, regions, hot) for i, hot in enumerate(places))
    return (
        (
            f"40 clusters, 4 % or {_size(places[0])} in all, are accessed with chance {CHANCE}, and every 5 s they "
            "are elsewhere."
        ),
        Workload(regions, phases),
    )


def sweep() -> Made:
    pattern = Pattern("m", False, PAGE_SIZE, 1, chance=CHANCE, window=0.05, period_ns=30 * SECOND)
    return (
        f"a window of 5 %, {TOTAL // 20 / MIB:.1f} MiB, slides through all in 30 s; inside it the chance is {CHANCE}.",
        Workload((WorkRegion("m", TOTAL),), (WorkloadPhase("sweep", 60 * SECOND, (pattern,)),)),
    )


def cold() -> Made:
    return "nothing is accessed.", still([])


def tiny() -> Made:
    return f"everything is accessed with chance {CHANCE}.", still([Range(0, TOTAL)])


def sparse() -> Made:
    rng = Random(6)
    pages = _split(TIB // PAGE_SIZE, [0.5 + rng.random() for _ in range(200)])
    regions = tuple(WorkRegion(f"p{i:03}", size * PAGE_SIZE, resident=0.01) for i, size in enumerate(pages))
    hot = sorted(sorted(regions, key=lambda _: rng.random())[:40], key=lambda region: region.name)
    patterns = tuple(Pattern(region.name, True, PAGE_SIZE, 1, chance=CHANCE) for region in hot)
    resident, warm = (sum(region.resident_bytes for region in some) for some in (regions, hot))
    return (
        (
            f"1 TiB in 200 regions, of each the first 1 % resident ({resident / GIB:.2f} GiB in all); 40 of these "
            f"patches ({warm / GIB:.2f} GiB) are accessed with chance {CHANCE}."
        ),
        Workload(regions, (WorkloadPhase("still", 60 * SECOND, patterns),)),
    )


# Shapes for real runs; hot by the rule of the truth log: chance of at least one half per 5 ms


def sequence(sizes: dict[str, int], steps: Sequence[tuple[str, float, dict[str, float]]]) -> Workload:
    """Phases of (name, seconds, weight of each region), all accessed a page at a time in order."""
    phases = tuple(
        WorkloadPhase(
            name,
            round(seconds * SECOND),
            tuple(Pattern(region, False, PAGE_SIZE, weight, "rw") for region, weight in weights.items()),
        )
        for name, seconds, weights in steps
    )
    return Workload(tuple(WorkRegion(name, size) for name, size in sizes.items()), phases)


def zigzag() -> Made:
    steps = [("both", 10.0, {"low": 1.0, "high": 1.0})]
    for turn in range(6):
        steps += [(f"low {turn}", 5.0, {"low": 1.0}), (f"high {turn}", 5.0, {"high": 1.0})]
    return (
        "both regions of 100 MB are hot for 10 s, then one of them at a time, in turns of 5 s.",
        sequence({"low": 100_000_000, "high": 100_000_000}, steps),
    )


def stairs() -> Made:
    names = [f"stair{i}" for i in range(10)]
    steps = [("all", 10.0, dict.fromkeys(names, 1.0)), *((name, 5.0, {name: 1.0}) for name in names)]
    return (
        "all ten regions of 10 MB are hot for 10 s, then one at a time, 5 s each.",
        sequence(dict.fromkeys(names, 10_000_000), steps),
    )


def hint() -> Made:
    steps = [("first", 5.0, {"a": 99.0, "b": 1.0}), ("second", 5.0, {"a": 1.0, "b": 99.0})]
    return (
        "of two regions of 100 MiB the one gets 99 % of all accesses for 5 s, then the other; only it is hot.",
        sequence({"a": 100 * MIB, "b": 100 * MIB}, steps),
    )


def demo() -> Made:
    names = [f"step{i}" for i in range(6)]
    sizes = {"cold": 60 * MIB, **dict.fromkeys(names, 36 * MIB), "core": 24 * MIB}
    steps = [(f"climbing {i}", 2.0, {name: 3.0, "core": 1.0}) for i, name in enumerate(names)]
    return (
        "24 MiB are always hot, a hot block of 36 MiB climbs a step every 2 s, and 60 MiB are never accessed.",
        sequence(sizes, steps),
    )


def wss() -> Made:
    steps: list[tuple[str, float, dict[str, float]]] = []
    for turn in range(4):
        steps += [
            (f"small {turn}", 2.5, {"always": 1.0}),
            (f"large {turn}", 2.5, {"always": 3.0, "extra": 2.0}),
        ]
    return (
        "the working set is 150 MiB and 250 MiB in turns of 2.5 s, beside 500 MiB that are never accessed.",
        sequence({"always": 150 * MIB, "extra": 100 * MIB, "never": 500 * MIB}, steps),
    )


MAKERS: tuple[Callable[[], Made], ...] = (
    one, many, fine, zipf, shifting, sweep, cold, tiny, sparse, zigzag, stairs, hint, demo, wss,
)  # fmt: skip


def shapes() -> dict[str, str]:
    """Every shape's file name and text."""
    made = {f"{maker.__name__}.masim": maker() for maker in MAKERS}
    return {name: _head(name, truth) + format_workload(workload) for name, (truth, workload) in made.items()}


def _head(name: str, truth: str) -> str:
    text = f"{name.removesuffix('.masim')}: {truth} Written by bench/make_shapes.py."
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, 100)) + "\n\n"


def _size(ranges: Sequence[Range]) -> str:
    return f"{sum(where.size for where in ranges) / MIB:.1f} MiB"


def main(directory: str = str(SHAPES)) -> None:
    for name, text in shapes().items():
        Path(directory, name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
