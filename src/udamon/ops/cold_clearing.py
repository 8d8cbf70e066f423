"""Clearing accessed bits by MADV_COLD: in pieces, the target's mapping lock held for reading, the TLB flushed.

It clears only pages that no other process maps. Whether it did is looked for afterwards: a process with anonymous
pages that were left as they are, because a fork shares them, is refused from then on.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from udamon.linux.clear_refs import clear_of_files
from udamon.linux.held import Held
from udamon.linux.maps import anonymous, read_lines
from udamon.linux.page_tables import PageTables
from udamon.linux.pagemap import ENTRY_EXCLUSIVE, ENTRY_PRESENT, page_map_entry
from udamon.linux.process_madvise import COLD, MAX_VECTORS, advise, open_process
from udamon.linux.procfs import ProcessId, memory_thread
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import PAGE_ACCESSED, PAGE_NOT_COUNTED
from udamon.ops.address_spaces import AddressSpace

PIECE = 32 << 20
"""Bytes that one call advises: some 0.6 ms of small pages. A multiple of huge pages, so that none is split."""

_STILL = re.compile(
    b"["
    + re.escape(bytes(s for s in range(256) if s & (PAGE_ACCESSED | PAGE_NOT_COUNTED) == PAGE_ACCESSED))
    + b"]"
)
_CHECKED = 512
_REMEMBERED = 10_000


class ColdClearing:
    """Remembers in `refused` which processes cannot be cleared so."""

    def __init__(self, tables: PageTables, proc: Path = PROC) -> None:
        self._tables = tables
        self._proc = proc
        self.refused: set[ProcessId] = set()

    def clear(self, process: ProcessId, space: AddressSpace, held: Held) -> bool:
        """False where that does not clear all of it; some of it may be cleared then. Raises OSError."""
        if (
            memory_thread(process, self._proc) != process.pid
        ):  # a pidfd is of its main thread, which has no memory
            self._refuse(process)
            return False
        ranges = anonymous(read_lines(process, self._proc))
        # First the files: what this leaves in TLBs is flushed with the rest.
        clear_of_files(process, self._proc, held=held)
        try:
            self._advise(process, ranges, held)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EINVAL, errno.ENOSYS}:
                raise
            self._refuse(process)
            return False
        if self._some_are_shared(space, ranges):
            self._refuse(process)
            return False
        return True

    def _advise(self, process: ProcessId, ranges: Sequence[Range], held: Held) -> None:
        """Raises OSError where anything that is mapped cannot be advised: EINVAL for locked memory."""
        fd = open_process(process, self._proc)
        try:
            for vectors in _calls(ranges):
                while vectors:
                    vectors = vectors[_advised(fd, vectors, held) :]
        finally:
            os.close(fd)

    def _some_are_shared(self, space: AddressSpace, ranges: Sequence[Range]) -> bool:
        """Whether pages still read as accessed that others map; of many, the first ones are looked at."""
        left = _CHECKED
        for r in ranges:
            for looked in self._tables.look(space.root, r.start, r.end):
                for match in _STILL.finditer(bytes(looked.states)):
                    address = looked.first + match.start() * PAGE_SIZE
                    entry = page_map_entry(space.page_map, address)
                    if entry & ENTRY_PRESENT and not entry & ENTRY_EXCLUSIVE:
                        return True
                    left -= 1
                    if not left:
                        return False
        return False

    def _refuse(self, process: ProcessId) -> None:
        if len(self.refused) > _REMEMBERED:
            self.refused.clear()  # processes come and go: do not remember them for ever
        self.refused.add(process)


def _advised(fd: int, vectors: Sequence[Range], held: Held) -> int:
    """How many of the vectors one call has worked off, one at least. Raises OSError where the first cannot be."""
    try:
        with held.call():
            done = advise(fd, vectors, COLD)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return 1  # a part of it was unmapped since; the rest of it is worked off
    number = 0
    while number < len(vectors) and vectors[number].size <= done:
        done -= vectors[number].size
        number += 1
    if not number:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return number


def _calls(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """The vectors of each call: together at most PIECE bytes, cut at multiples of it only."""
    call: list[Range] = []
    room = PIECE
    for r in ranges:
        start = r.start
        while start < r.end:
            end = min(r.end, (start // PIECE + 1) * PIECE)
            if call and (end - start > room or len(call) == MAX_VECTORS):
                yield call
                call, room = [], PIECE
            call.append(Range(start, end))
            room -= end - start
            start = end
    if call:
        yield call
