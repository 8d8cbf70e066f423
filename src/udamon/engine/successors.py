"""Regions from what a census saw: one a mapping, or several where schemes have acted on parts of one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise

from udamon.core.regions import Region, fold
from udamon.ops.base import Shared, Touched

ALIKE = 0.1
"""Parts of a mapping whose ages differ by this share of the older one's, or by one aggregation, become one."""
NO_CUTS: AbstractSet[int] = frozenset()


def successors(
    old: Sequence[Region], seen: Sequence[Touched], ticks: int, cuts: AbstractSet[int] = NO_CUTS
) -> list[Region]:
    """Regions for what a census saw; each inherits age and last count from the region it continues.

    A mapping that grew or shrank keeps one of its ends, so that is what identifies it. `cuts` are addresses where
    schemes have begun or stopped: the parts of a mapping keep ages of their own. What was seen of the mapping is
    divided among them by size, as a census does not tell where in it anything was.
    """
    by_start = {r.start: r for r in old}
    by_end = {r.end: r for r in old}
    places = sorted(cut for cut in cuts if cut in by_start)
    regions: list[Region] = []
    for start, end, resident, touched in seen:
        count = -(-touched * ticks // resident) if resident else 0
        inside = places[bisect_right(places, start) : bisect_left(places, end)]
        parts = []
        for first, last in pairwise((start, *inside, end)):
            region = Region(first, last)
            region.nr_accesses = count
            region.nr_accesses_bp = count * 10_000
            region.touched = share(touched, first - start, last - start, end - start)
            before = by_start.get(first) or by_end.get(last)
            if before is not None:
                region.age = before.age
                region.last_nr_accesses = before.last_nr_accesses
            parts.append(region)
        regions += _joined(parts) if inside else parts
    return regions


def _joined(parts: Sequence[Region]) -> Iterator[Region]:
    """Parts of one mapping, so that they stay few: quotas would cut a mapping into as many as it has windows."""
    left = parts[0]
    for right in parts[1:]:
        if abs(left.age - right.age) <= max(1, ALIKE * max(left.age, right.age)):
            touched = left.touched + right.touched
            fold(left, right)
            left.touched = touched
        else:
            yield left
            left = right
    yield left


def share(amount: int, start: int, end: int, size: int) -> int:
    """Of an `amount` spread evenly over `size` bytes: what lies in [start, end). Shares add up to the amount."""
    return amount * end // size - amount * start // size


def resident_bytes(regions: Sequence[Region], seen: Sequence[Touched]) -> list[int]:
    """Of each region; every one is one of `seen`, or lies in one."""
    if len(regions) == len(seen):
        return [mapping.resident for mapping in seen]
    found = []
    at = 0
    for region in regions:
        while seen[at].end <= region.start:
            at += 1
        start, end, resident, _ = seen[at]
        found.append(share(resident, region.start - start, region.end - start, end - start))
    return found


def shared_of(
    regions: Sequence[Region], seen: Sequence[Touched], shared: Sequence[Shared | None]
) -> list[Shared | None]:
    """Of each region what is known of others who map its pages, from what is of each mapping that was seen; of a part
    of a mapping its share of the bytes."""
    found: list[Shared | None] = []
    at = 0
    for region in regions:
        while seen[at].end <= region.start:
            at += 1
        start, end, whole = seen[at].start, seen[at].end, shared[at]
        if whole is None or (region.start, region.end) == (start, end):
            found.append(whole)
            continue
        first, last, size = region.start - start, region.end - start, end - start
        private, anonymous, touched_min, distinct = (
            None if amount is None else share(amount, first, last, size)
            for amount in (whole.private, whole.anonymous, whole.touched_min, whole.distinct)
        )
        offset = None if whole.file_offset is None else whole.file_offset + first
        found.append(Shared(private or 0, anonymous or 0, touched_min or 0, whole.object, offset, distinct))
    return found
