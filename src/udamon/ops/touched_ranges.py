"""A bounded number of ranges for any number of runs of touched and untouched pages."""

from __future__ import annotations

from udamon.model import PAGE_SIZE
from udamon.ops.base import Touched

_ALIKE = 10  # neighbours whose touched shares differ by at most a tenth: DAMON's measure for its regions
_SLACK = 4  # times the limit may wait before they are joined, so that joining is rare


class _Part:
    """A range of one mapping while more may be joined to it."""

    __slots__ = ("end", "mapping", "resident", "start", "touched")

    def __init__(self, mapping: int, start: int, end: int, resident: int, touched: int) -> None:
        self.mapping = mapping
        self.start = start
        self.end = end
        self.resident = resident
        self.touched = touched

    def take(self, other: _Part) -> None:
        self.end = other.end
        self.resident += other.resident
        self.touched += other.touched


class TouchedRanges:
    """Takes runs in address order and answers with at most `limit` ranges, or one a mapping if that is more.

    While the runs are few enough they stay as they are. Else they are seen at a grain, doubled until they are
    few enough: parts smaller than the grain that begin in the same aligned block become one (with the holes
    between them), and so do neighbours whose touched shares differ by at most a tenth. So large parts keep
    their exact ends, and memory touched here and there becomes one range with a share, whose ends stay put
    from one look to the next. No bytes are lost: sums of `resident` and `touched` are those of the runs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._grain = PAGE_SIZE
        self._parts: list[_Part] = []

    def add(self, mapping: int, start: int, end: int, resident: int, touched: int) -> None:
        """The next run: [start, end) in bytes within the mapping number `mapping`; `resident` is above 0."""
        self._put(_Part(mapping, start, end, resident, touched))
        if len(self._parts) > _SLACK * self._limit:
            self._shrink()

    def ranges(self) -> list[Touched]:
        """All that was added, in address order."""
        self._shrink()
        return [Touched(p.start, p.end, p.resident, p.touched) for p in self._parts]

    def _shrink(self) -> None:
        mappings = len({part.mapping for part in self._parts})
        while len(self._parts) > max(self._limit, mappings):
            self._grain *= 2  # past the size of an address space every mapping is one part: this ends
            parts, self._parts = self._parts, []
            for part in parts:
                self._put(part)

    def _put(self, part: _Part) -> None:
        if self._parts and self._belong(self._parts[-1], part):
            self._parts[-1].take(part)
        else:
            self._parts.append(part)

    def _belong(self, last: _Part, part: _Part) -> bool:
        if last.mapping != part.mapping:
            return False
        grain = self._grain
        if (
            last.start // grain == part.start // grain
            and last.end - last.start < grain
            and part.end - part.start < grain
        ):
            return True
        if part.start - last.end >= grain:
            return False
        one, other = last.touched * part.resident, part.touched * last.resident
        if grain == PAGE_SIZE:  # nothing is joined yet: only what a reader cut in two
            return one == other
        return abs(one - other) * _ALIKE <= last.resident * part.resident
