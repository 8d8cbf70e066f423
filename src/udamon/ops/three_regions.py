"""The three regions of an address space: heap, mmap area and stack, without the two big gaps
(docs/damon.md#three-regions)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from udamon.model import Range


def three_regions(mappings: Iterable[Range], min_region: int) -> list[Range] | None:
    """The spans between the two largest gaps of `mappings` (in address order), in bytes.

    None when there are fewer than two gaps (the kernel's EINVAL: regions stay as they were). Of equal gaps
    the lower ones count. Boundaries are rounded up to `min_region`.
    """
    first = last = None
    gaps: list[Range] = []
    for start, end in mappings:
        if last is None:
            first = start
        elif start > last:
            gaps.append(Range(last, start))
        last = end
    if first is None or last is None or len(gaps) < 2:
        return None
    # nlargest is stable, so a later equal gap does not displace an earlier one
    low, high = sorted(heapq.nlargest(2, gaps, key=lambda gap: gap.size))
    spans = ((first, low.start), (low.end, high.start), (high.end, last))
    return [Range(_round_up(start, min_region), _round_up(end, min_region)) for start, end in spans]


def _round_up(address: int, unit: int) -> int:
    return -(-address // unit) * unit
