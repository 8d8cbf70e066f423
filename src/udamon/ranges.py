"""Arithmetic on lists of address ranges: sorted, disjoint, and so again afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range


def joined(ranges: Iterable[Range], grain: int = PAGE_SIZE) -> list[Range]:
    """Sorted ranges with neighbours joined that are less than `grain` bytes apart."""
    found: list[Range] = []
    start = end = -grain
    for r in ranges:
        if r.start - end < grain:
            end = max(end, r.end)
            continue
        if end > start:
            found.append(Range(start, end))
        start, end = r.start, r.end
    if end > start:
        found.append(Range(start, end))
    return found


def overlap(ranges: Sequence[Range], others: Iterable[Range]) -> Iterator[Range]:
    """What two sorted, disjoint lists of ranges share, in address order."""
    index = 0
    for start, end in others:
        while index < len(ranges) and ranges[index].end <= start:
            index += 1
        at = index
        while at < len(ranges) and ranges[at].start < end:
            yield Range(max(ranges[at].start, start), min(ranges[at].end, end))
            at += 1


def huge_blocks(part: Range) -> range:
    """The addresses where huge pages can begin that lie in `part` whole."""
    first = -(-part.start // HUGE_PAGE_SIZE) * HUGE_PAGE_SIZE
    return range(first, part.end - HUGE_PAGE_SIZE + 1, HUGE_PAGE_SIZE)


def minus(ranges: Sequence[Range], others: Sequence[Range]) -> list[Range]:
    """What is in `ranges` and in none of `others`; both sorted and disjoint."""
    found = []
    index = 0
    for start, end in ranges:
        while index < len(others) and others[index].end <= start:
            index += 1
        at = index
        while at < len(others) and others[at].start < end:
            if others[at].start > start:
                found.append(Range(start, others[at].start))
            start = max(start, others[at].end)
            at += 1
        if start < end:
            found.append(Range(start, end))
    return found


def total(ranges: Iterable[Range]) -> int:
    """Bytes of disjoint ranges."""
    return sum(end - start for start, end in ranges)
