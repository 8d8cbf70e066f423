"""By which look after a second clear each page of a process was first seen accessed: a byte a page."""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import NamedTuple

from udamon.core.rates import Look
from udamon.linux.page_tables import PageBytes
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import MOST_LOOKS, count_marks, mark_pages
from udamon.ops.address_spaces import AddressSpace
from udamon.ops.base import FirstSeen
from udamon.ranges import joined

MOST_CHUNKS = 512
"""Chunks of a GiB of addresses; memory is used for the marks of pages that are there alone."""

_CHUNK = 1 << 30


class Times(NamedTuple):
    """When a call began and ended, ns."""

    begin: int
    end: int

    @property
    def middle(self) -> int:
        return (self.begin + self.end) // 2


class _Counted(NamedTuple):
    """Pages there, accessed, accessed before the second clear; and those first seen by each look after it."""

    there: int
    touched: int
    earlier: int
    first: list[int]


class FirstLooks:
    """Of one address space in one window.

    `prepared` is the time of the first clear. Callers mark with look 0 before the second clear, then with 1,
    2, … after it, and says in `cleared`, `exposed_ns` and `looked` when it was cleared, until when a TLB may have
    hidden an access, and when it was looked at.
    """

    def __init__(self, space: AddressSpace, prepared: Times, wanted: Sequence[Range]) -> None:
        self.space = space
        self.prepared = prepared
        self.wanted = wanted
        self.cleared: Times | None = None
        self.exposed_ns = 0
        self.looked: list[Times] = []
        self._marks: dict[int, bytearray] = {}

    def mark(self, looked: PageBytes, kinds: bytes, look: int, *, last: bool = False) -> None:
        """Mark what was looked at; the last time, its states become those of all of the window."""
        number = looked.first // _CHUNK
        if number not in self._marks:
            if len(self._marks) == MOST_CHUNKS:
                return
            self._marks[number] = bytearray(_CHUNK // PAGE_SIZE)
        at = looked.first % _CHUNK // PAGE_SIZE
        mark_pages(states=looked.states, marks=self._marks[number], at=at, kinds=kinds, look=look, last=last)

    def of(self, pieces: Sequence[Range]) -> list[FirstSeen] | None:
        """What is known of each piece; of no pages where it lies in too many chunks. None without a second clear."""
        if self.cleared is None or not self.looked or len(self._marks) == MOST_CHUNKS:
            return None
        clear, exposed = self.cleared, max(self.cleared.end, self.exposed_ns)
        spans = [
            (max(1, look.begin - exposed), max(1, look.middle - clear.middle), look.end - clear.begin)
            for look in self.looked
        ]
        before = max(0, clear.begin - self.prepared.end)
        found = []
        for piece in pieces:
            marks = self._counted(piece)
            looks, accessed = [], 0
            for span, more in zip(spans, marks.first, strict=False):
                accessed += more
                looks.append(Look(*span, accessed))
            found.append(FirstSeen(marks.there, marks.touched, (before, marks.earlier), looks))
        return found

    def touched_again(self, wanted: Sequence[Range]) -> int:
        """Pages that were accessed after either clear, those after both twice: each time it cost the target."""
        counted = map(self._counted, joined(wanted))
        return sum(marks.earlier + sum(marks.first) for marks in counted)

    def _counted(self, piece: Range) -> _Counted:
        total = _Counted(0, 0, 0, [0] * MOST_LOOKS)
        for number in range(piece.start // _CHUNK, (piece.end - 1) // _CHUNK + 1):
            if (marks := self._marks.get(number)) is None:
                continue
            start = max(piece.start - number * _CHUNK, 0) // PAGE_SIZE
            end = min(piece.end - number * _CHUNK, _CHUNK) // PAGE_SIZE
            found = count_marks(marks=marks, start=start, end=end)
            total = _Counted(
                total.there + found.there,
                total.touched + found.touched,
                total.earlier + found.earlier,
                list(map(add, total.first, found.first)),
            )
        return total
