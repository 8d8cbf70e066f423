"""Ageing and merging: regions whose counts agree become one (docs/damon.md#merging)."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.regions import Region, fold
from udamon.core.target import Target


def age(regions: Sequence[Region], threshold: int) -> None:
    """Age every region by one aggregation, or back to 0 where its access pattern changed.

    A change is a difference above `threshold`, or between some accesses and none.
    """
    for r in regions:
        now, last = r.nr_accesses, r.last_nr_accesses
        if -threshold <= now - last <= threshold and (now == 0) == (last == 0):
            r.age += 1
        else:
            r.age = 0


def merge_similar(regions: list[Region], threshold: int, size_limit: int) -> None:
    """Fold adjacent regions whose nr_accesses differ by at most `threshold`, up to `size_limit` bytes."""
    if not regions:
        return
    prev = regions[0]
    kept = [prev]
    append = kept.append
    for r in regions[1:]:
        if (
            -threshold <= prev.nr_accesses - r.nr_accesses <= threshold
            and prev.end == r.start
            and r.end - prev.start <= size_limit
        ):
            fold(prev, r)
        else:
            append(r)
            prev = r
    regions[:] = kept


def merge_targets(
    targets: Sequence[Target], threshold: int, size_limit: int, max_nr_regions: int, max_threshold: int
) -> None:
    """Age once, then merge; while more than `max_nr_regions` remain, raise the threshold and merge again."""
    for target in targets:
        age(target.regions, threshold)
    while True:
        for target in targets:
            merge_similar(target.regions, threshold, size_limit)
        total = sum(len(target.regions) for target in targets)
        if total <= max_nr_regions or threshold >= max_threshold:
            return
        # Kernel 7.2: doubling, but the step past half goes straight to the largest possible difference.
        threshold = max(1, 2 * threshold) if threshold < max_threshold // 2 else max_threshold
