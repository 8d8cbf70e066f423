"""Fitting existing regions into new address ranges, keeping what was learnt (docs/damon.md#fitting)."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.regions import Region
from udamon.errors import RangesError
from udamon.model import Range


def align_ranges(ranges: Sequence[Range], min_region: int) -> list[Range]:
    """Ranges grown outward to multiples of `min_region` bytes.

    Raises RangesError when one is empty, or when they are unsorted or overlap.
    """
    aligned: list[Range] = []
    for start, end in ranges:
        if start >= end:
            raise RangesError(f"the range {start:#x}-{end:#x} is empty; give start < end.")
        grown = Range(start - start % min_region, -(-end // min_region) * min_region)
        if aligned and grown.start < aligned[-1].end:
            raise RangesError(
                f"the range {start:#x}-{end:#x} overlaps or precedes the one before it; "
                "give ranges in address order, without overlap."
            )
        aligned.append(grown)
    return aligned


def fit(regions: list[Region], ranges: Sequence[Range], min_region: int) -> list[Region]:
    """The regions that cover exactly `ranges` (aligned outward), made of the old ones where they fit.

    Old regions keep their counters and age; holes are filled with fresh ones. The old list is left alone,
    but its regions may be resized. Raises RangesError before anything changed.
    """
    wanted = align_ranges(ranges, min_region)
    result: list[Region] = []
    index = 0
    for start, end in wanted:
        while index < len(regions) and regions[index].end <= start:
            index += 1
        first = index
        while index < len(regions) and regions[index].start < end:
            index += 1
        # Trimming a region that reaches past `end` keeps it out of the next range, as in the kernel.
        result.extend(_fit_one(regions[first:index], Range(start, end)))
    return result


def _fit_one(inside: list[Region], span: Range) -> list[Region]:
    if not inside:
        return [Region(*span)]
    inside[0].start = span.start
    inside[-1].end = span.end
    result = [inside[0]]
    for region in inside[1:]:
        if result[-1].end < region.start:
            result.append(Region(result[-1].end, region.start))
        result.append(region)
    return result
