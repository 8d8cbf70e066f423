"""Which pages of a process may be acted on: one byte a page, and runs of alike bytes.

The page map's entries are read for what is populated only (50 to 100 ns a page, 13 to 28 ms a GiB). All that is
asked of most schemes is in the topmost byte of an entry: present, swapped, of a file, mapped here only.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from udamon.linux.pagemap import PRESENT, read_runs
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined

ABSENT, TAKE, SHARED, REJECTED, NOT_MEANT = 0, 1, 2, 3, 4
"""What may be done with a page: nothing is there, it is to be taken, others map it, a filter rejects it, or it lies
between pages that are meant and is not one of them."""

ENTRY = 8
_IS_HUGE = 1 << 6  # PAGE_IS_HUGE of PAGEMAP_SCAN
_TOP = 7 if sys.byteorder == "little" else 0  # of the bytes of an entry: bits 56 to 63
_PRESENT, _FILE, _EXCLUSIVE = 1 << 7, 1 << 5, 1 << 0
_CHUNK = 1 << 16  # pages a read
_SMALL = 64 << 20
"""Below this, reading the entries of holes costs less than asking where they are."""

_JOIN = 2 << 20
"""Less than this absent between two pages is advised with them: it costs the kernel nothing and saves a vector."""

_RUNS = re.compile(rb"\x01+|\x02+|\x03+|\x04+", re.DOTALL)


class PageTest(Protocol):
    """Says of each page what may be done with it."""

    def judge(self, start: int, entries: bytes) -> bytes:
        """One byte (ABSENT…NOT_MEANT) for each entry; the first is of the page at `start`. Raises OSError."""


class TopByteTest:
    """All that the topmost byte can tell: pages that others map are left, and anonymous or file pages rejected."""

    def __init__(self, *, spare_shared: bool, allows_anon: bool = True, allows_file: bool = True) -> None:
        self._table = bytes(
            ABSENT if not top & _PRESENT
            else REJECTED if not (allows_file if top & _FILE else allows_anon)
            else SHARED if spare_shared and not top & _EXCLUSIVE
            else TAKE
            for top in range(256)
        )  # fmt: skip

    def judge(self, start: int, entries: bytes) -> bytes:
        return entries[_TOP::ENTRY].translate(self._table)


class PageVerdicts:
    """What was found, in address order.

    `taken` are runs of pages to be taken, `left` runs of those that are not, each with its state. `vectors` cover the
    taken pages with fewer ranges: pages that are absent may lie in them where there are few, pages that are left never.
    """

    def __init__(self) -> None:
        self.taken: list[Range] = []
        self.left: list[tuple[Range, int]] = []
        self.vectors: list[Range] = []
        self.bytes = [0] * 5
        """Bytes by state; absent ones are not counted."""
        self._apart = True

    def begin(self) -> None:
        """Another mapping begins: no vector reaches over its edge."""
        self._apart = True

    def add(self, start: int, states: bytes) -> None:
        for match in _RUNS.finditer(states):
            first, last = match.span()
            kind = match[0][0]
            run = Range(start + first * PAGE_SIZE, start + last * PAGE_SIZE)
            self.bytes[kind] += run.size
            if kind != TAKE:
                self._apart = True
                self.left.append((run, kind))
                continue
            self.taken.append(run)
            if self._apart or run.start - self.vectors[-1].end >= _JOIN:
                self.vectors.append(run)
            else:
                self.vectors[-1] = Range(self.vectors[-1].start, run.end)
            self._apart = False


def judge(page_map: int, pieces: Iterable[Range], test: PageTest) -> PageVerdicts:
    """What may be done with the pages of `pieces` (whole pages, sorted, disjoint). Raises OSError."""
    found = PageVerdicts()
    for piece in pieces:
        found.begin()
        for part in [piece] if piece.size <= _SMALL else joined(present(page_map, [piece]), _JOIN):
            for start, entries in entries_of(page_map, part):
                found.add(start, test.judge(start, entries))
    found.taken = joined(found.taken)
    return found


def present(page_map: int, ranges: Sequence[Range]) -> list[Range]:
    """Where pages are present: by PAGEMAP_SCAN in some microseconds a run, else from every entry. Raises OSError."""
    try:
        return joined(Range(r.start, r.end) for r in scan_runs(page_map, ranges, PRESENT, PRESENT))
    except NoScan:
        runs = read_runs(page_map, ranges)
        return joined(Range(r.start, r.end) for r in runs if r.categories & PRESENT)


def huge(page_map: int, ranges: Sequence[Range]) -> list[Range] | None:
    """Where huge pages are mapped as such; None where only single entries can be read. Raises OSError."""
    try:
        return joined(Range(r.start, r.end) for r in scan_runs(page_map, ranges, _IS_HUGE, _IS_HUGE))
    except NoScan:
        return None


def huge_bytes(page_map: int, ranges: Sequence[Range]) -> int | None:
    """Bytes that huge pages back, mapped as such; None where only single entries can be read. Raises OSError."""
    try:
        return sum(run.end - run.start for run in scan_runs(page_map, ranges, _IS_HUGE, _IS_HUGE))
    except NoScan:
        return None


def entries_of(page_map: int, part: Range) -> Iterator[tuple[int, bytes]]:
    """(address, entries) of some pages at a time, in order. Raises OSError."""
    page, last = part.start // PAGE_SIZE, part.end // PAGE_SIZE
    while page < last:
        data = os.pread(page_map, min(last - page, _CHUNK) * ENTRY, page * ENTRY)
        if len(data) < ENTRY:
            return  # the address space is gone
        yield page * PAGE_SIZE, data
        page += len(data) // ENTRY
