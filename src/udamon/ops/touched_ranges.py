"""A bounded number of ranges for any number of runs of touched and untouched pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from udamon.model import PAGE_SIZE, Range
from udamon.ops.base import Touched

_ALIKE = 10  # neighbours whose touched shares differ by at most a tenth: DAMON's measure for its regions
_SLACK = 4  # times as many as wanted may wait to be joined, so that joining is rare


class _JoinedRange:
    """A range of one mapping while more may be joined to it."""

    __slots__ = ("end", "mapping", "resident", "start", "touched")

    def __init__(self, mapping: int, start: int, end: int, resident: int, touched: int) -> None:
        self.mapping = mapping
        self.start = start
        self.end = end
        self.resident = resident
        self.touched = touched

    def take(self, other: _JoinedRange) -> None:
        self.end = other.end
        self.resident += other.resident
        self.touched += other.touched


class TouchedRanges:
    """Takes runs in address order and answers with one range a mapping and at most `limit` more.

    While the runs are few enough they stay as they are. Else they are seen at a grain, doubled until they are
    few enough: parts smaller than the grain that begin in the same aligned block become one (with the holes
    between them), and then neighbours whose touched shares differ by at most a tenth do. So large parts keep
    their exact ends, and memory touched here and there becomes one range with a share, whose ends stay put
    from one look to the next. No bytes are lost: sums of `resident` and `touched` are those of the runs.
    """

    def __init__(self, limit: int, grain: int = PAGE_SIZE) -> None:
        """`grain`, bytes: what to begin with, where it is known that a page each would be too many."""
        self._limit = limit
        self.grain = grain
        self._parts: list[_JoinedRange] = []
        self._newest: _JoinedRange | None = None  # may still grow, so it is none of the parts yet
        self._room = _SLACK * limit

    def add(self, mapping: int, start: int, end: int, resident: int, touched: int) -> None:
        """The next run: [start, end) in bytes within the mapping number `mapping`; `resident` is above 0."""
        part, newest = _JoinedRange(mapping, start, end, resident, touched), self._newest
        if newest is not None:
            alike = touched * newest.resident == newest.touched * resident
            if mapping == newest.mapping and start == newest.end and alike:
                newest.take(part)  # a reader has cut in two what is one
                return
            self._keep(newest)
        self._newest = part

    def _keep(self, part: _JoinedRange) -> None:
        if self._parts:
            last = self._parts[-1]
            if part.mapping == last.mapping and self._in_one_block(last, part):
                last.take(part)
                return
        self._parts.append(part)
        if len(self._parts) > self._room:
            self._shrink()
            self._room = _SLACK * (len(self._parts) + self._limit)

    def ranges(self) -> list[Touched]:
        """All that was added, in address order."""
        if self._newest is not None:
            self._keep(self._newest)
            self._newest = None
        self._shrink()
        return [Touched(p.start, p.end, p.resident, p.touched) for p in self._parts]

    def _shrink(self) -> None:
        # Mappings are never joined. Were they counted within the limit, many would leave no room inside any.
        mappings = len({part.mapping for part in self._parts})
        if self.grain > PAGE_SIZE:
            self._join(self._alike)
        while len(self._parts) > self._limit + mappings:
            self.grain *= 2  # past the size of an address space every mapping is one part: this ends
            self._join(self._in_one_block)
            self._join(self._alike)

    def _join(self, belong: Callable[[_JoinedRange, _JoinedRange], bool]) -> None:
        joined: list[_JoinedRange] = []
        for part in self._parts:
            if joined and joined[-1].mapping == part.mapping and belong(joined[-1], part):
                joined[-1].take(part)
            else:
                joined.append(part)
        self._parts = joined

    def _in_one_block(self, last: _JoinedRange, part: _JoinedRange) -> bool:
        grain = self.grain
        return (
            last.start // grain == part.start // grain
            and last.end - last.start < grain
            and part.end - part.start < grain
        )

    def _alike(self, last: _JoinedRange, part: _JoinedRange) -> bool:
        difference = abs(last.touched * part.resident - part.touched * last.resident)
        return part.start - last.end < self.grain and difference * _ALIKE <= last.resident * part.resident


def cut(runs: Iterable[tuple[int, int, int]], pieces: Sequence[Range]) -> Iterator[tuple[int, int, int, int]]:
    """(number of the piece, start, end, categories) for what runs and pieces share, in address order."""
    number = 0
    for start, end, categories in runs:
        while number < len(pieces) and pieces[number].end <= start:
            number += 1
        while number < len(pieces) and pieces[number].start < end:
            piece = pieces[number]
            yield number, max(start, piece.start), min(end, piece.end), categories
            if piece.end > end:
                break
            number += 1
