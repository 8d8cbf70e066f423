"""What an actor knows of a process: a pidfd, its page map and its mappings, not older than a second.

Refreshing costs one read of maps and one of status (0.6 ms for 60 mappings). smaps, which walks all resident
memory (20 ms a GiB), is read only where status says that something is locked or of hugetlb pages and that has changed.
Later mappings are unknown, and not acted on.
"""

from __future__ import annotations

import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from udamon.core.target import Target
from udamon.linux import open_files
from udamon.linux.maps import read_lines
from udamon.linux.pagemap import open_page_map
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import ProcessId, memory_directory, read_bytes
from udamon.linux.roots import PROC
from udamon.linux.smaps import read_smaps
from udamon.model import PAGE_SIZE
from udamon.targets.processes import process_of

FRESH_NS = 1_000_000_000
SMAPS_SHARE = 0.01
"""Of a CPU, for reading smaps. Between two reads a mapping that is newly locked may be taken for an ordinary one; the
kernel itself refuses to page out or cool such."""

MOST_OPEN = 128
"""Processes that are held open, with two descriptors each; fewer where few files may be open."""

_KERNEL_OWN = (b"[vdso]", b"[vvar]", b"[vvar_vclock]", b"[vsyscall]", b"[uprobes]")
_SOMETHING_LOCKED = re.compile(rb"^(?:VmLck|HugetlbPages):\s*[1-9].*$", re.MULTILINE)
_FLAGS = re.compile(rb"^([0-9a-f]+)-[0-9a-f]+ [^\n]*\n(?:[A-Z][^\n]*\n)*?VmFlags:([^\n]*)\n", re.MULTILINE)


class MappingPiece(NamedTuple):
    """A mapping, or a part of one. `first_page` is its number as the kernel counts it: from the
    beginning of the file, or of the address space where there is none."""

    start: int
    end: int
    private: bool
    text: bool
    locked: bool
    first_page: int
    anonymous: bool = False
    """No file is mapped: all of its pages need swap to go to."""

    @property
    def size(self) -> int:
        return self.end - self.start

    def page_at(self, address: int) -> int:
        """The number of the page at `address`, counted as `first_page`."""
        return self.first_page + (address - self.start) // PAGE_SIZE

    def part(self, start: int, end: int) -> MappingPiece:
        """What [start, end) and this share."""
        first = max(start, self.start)
        return self._replace(start=first, end=min(end, self.end), first_page=self.page_at(first))


class View:
    """One process, open. Raises OSError from everything but `close`."""

    def __init__(self, process: ProcessId, root: Path, now_ns: Callable[[], int]) -> None:
        self.process = process
        self._root = root
        self._now_ns = now_ns
        self.pidfd = open_process(process, root)
        self.page_map = -1
        self._flags: dict[int, bytes] = {}
        self._flags_of: tuple[list[bytes], list[bytes]] = [], []
        self._next_smaps_ns = 0
        try:
            self.refresh()
        except OSError:
            self.close()
            raise

    def refresh(self) -> None:
        """Read the mappings again. The page map is opened anew, for an exec changes the address space."""
        page_map = open_page_map(self.process, self._root)
        if self.page_map >= 0:
            os.close(self.page_map)
        self.page_map = page_map
        lines = read_lines(self.process, self._root)
        odd = self._locked_or_hugetlb(lines)
        self._pieces = [piece for line in lines if (piece := _piece(line, odd)) is not None]
        self._starts, self._ends = [p.start for p in self._pieces], [p.end for p in self._pieces]
        self.read_at = self._now_ns()

    def pieces(self, start: int, end: int) -> list[MappingPiece]:
        """What is mapped of [start, end), cut at the edges of mappings; without the kernel's own and hugetlb."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        return [piece.part(start, end) for piece in self._pieces[first:last]]

    def _locked_or_hugetlb(self, lines: list[bytes]) -> dict[int, bytes]:
        """Flags of such mappings, by start: read again when the mappings or their sums have changed."""
        sums = _SOMETHING_LOCKED.findall(read_bytes(f"{memory_directory(self.process, self._root)}/status"))
        if not sums:
            return {}
        began = self._now_ns()
        if (sums, lines) != self._flags_of and began >= self._next_smaps_ns:
            self._flags = _special_mappings(read_smaps(self.process, self._root))
            self._flags_of = sums, lines
            self._next_smaps_ns = began + int((self._now_ns() - began) / SMAPS_SHARE)
        return self._flags

    def close(self) -> None:
        """Idempotent."""
        for fd in (self.pidfd, self.page_map):
            if fd >= 0:
                os.close(fd)
        self.pidfd = self.page_map = -1


class Views:
    """The processes that are open now; the least used one makes room for a new one."""

    def __init__(self, root: Path = PROC, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._root = root
        self._now_ns = now_ns
        self._open: dict[ProcessId, View] = {}
        self._most = max(1, min(MOST_OPEN, open_files.limit() // 16))

    def of(self, target: Target) -> View:
        """A view that is fresh. Raises OSError."""
        process = process_of(target)
        view = self._open.pop(process, None)
        if view is None:
            view = View(process, self._root, self._now_ns)
        self._open[process] = view  # at the end: used last
        if len(self._open) > self._most:
            self._open.pop(next(iter(self._open))).close()
        if self._now_ns() - view.read_at > FRESH_NS:
            view.refresh()
        return view

    def forget(self, target: Target) -> None:
        """Close what is open of a target that is gone."""
        view = self._open.pop(process_of(target), None)
        if view is not None:
            view.close()

    def close(self) -> None:
        """Idempotent."""
        for view in self._open.values():
            view.close()
        self._open.clear()


def _special_mappings(smaps: bytes) -> dict[int, bytes]:
    """Flags of the mappings that are locked or of hugetlb pages, by start."""
    flags = {int(start, 16): words + b" " for start, words in _FLAGS.findall(smaps)}
    return {start: words for start, words in flags.items() if b" lo " in words or b" ht " in words}


def _piece(line: bytes, odd: dict[int, bytes]) -> MappingPiece | None:
    fields = line.split(None, 5)
    first, _, last = fields[0].partition(b"-")
    start, end = int(first, 16), int(last, 16)
    flags = odd.get(start, b"")
    if b" ht " in flags or (len(fields) > 5 and fields[5] in _KERNEL_OWN):
        return None
    perms, of_file = fields[1], fields[4] != b"0"
    index = int(fields[2], 16) // PAGE_SIZE if of_file else start // PAGE_SIZE
    return MappingPiece(
        start, end, perms[3:4] == b"p", perms[2:3] == b"x", b" lo " in flags, index, not of_file
    )
