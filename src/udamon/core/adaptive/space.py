"""The memory of a target that can be asked about: where it is resident, and even samples of it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from udamon.model import PAGE_SIZE, Range

PHASES = (0, 4, 2, 6, 1, 5, 3, 7)
"""The order of the eighths of a cell: each lies farthest from those before (van der Corput)."""


class Space:
    """`ranges` of a target as one stretch of resident bytes. `holes` are where nothing is resident."""

    def __init__(self, ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int) -> None:
        self.ranges = list(ranges)
        self.resident, self.holes = _resident(ranges, resident, smallest_hole)
        self.total = sum(r.size for r in self.resident)
        self._before = [0, *accumulate(r.size for r in self.resident)]
        self._hole_starts = [hole.start for hole in self.holes]

    def whole(self, start: int, end: int) -> bool:
        """No hole lies in [start, end)."""
        at = bisect_right(self._hole_starts, start)
        if at and self.holes[at - 1].end > start:
            return False
        return at == len(self.holes) or self.holes[at].start >= end

    def strata(self, cells: int, phase: int) -> tuple[array[int], array[int]]:
        """Starts and ends ('Q') of one place in each of `cells` equal cells of the resident bytes.

        A place is an eighth of its cell; eight phases, counted on, cover all of it.
        """
        starts = array("Q")
        if not self.total or cells < 1:
            return starts, starts
        cell = max(-(-self.total // cells) // PAGE_SIZE * PAGE_SIZE, PAGE_SIZE)
        width = max(cell // 8 // PAGE_SIZE * PAGE_SIZE, PAGE_SIZE)
        offset = cell * PHASES[phase % 8] // 8 // PAGE_SIZE * PAGE_SIZE
        next_place = offset  # counted in resident bytes
        for (start, end), before in zip(self.resident, self._before, strict=False):
            first = start + next_place - before
            if first < end:
                places = range(first, end, cell)
                starts.extend(places)
                next_place += cell * len(places)
        # A place that reaches beyond its resident range only wastes a check now and then.
        return starts, array("Q", [place + width for place in starts])


def _resident(
    ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int
) -> tuple[list[Range], list[Range]]:
    if resident is None:
        return list(ranges), []
    kept: list[Range] = []
    holes: list[Range] = []
    at = 0
    for start, end in ranges:
        reached = start
        while at < len(resident) and resident[at].end <= start:
            at += 1
        for k in range(at, len(resident)):
            if resident[k].start >= end:
                break
            first, last = max(resident[k].start, start), min(resident[k].end, end)
            if first - reached >= smallest_hole:
                holes.append(Range(reached, first))
            kept.append(Range(first, last))
            reached = last
        if end - reached >= smallest_hole:
            holes.append(Range(reached, end))
    return kept, holes
