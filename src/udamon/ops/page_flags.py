"""Which pages of files and of shared memory smaps calls referenced although the process itself did not access them.

There are two reasons why it may:

- The frame is marked, not the process's own entry: by read(2), by accesses from outside, by a process that ends or
  unmaps what it accessed, by in-kernel DAMON. The flags of frames show that (/proc/kpageflags, root only).
- The entry is new: the kernel maps pages around one that is read for the first time, and all are marked as accessed.
  How many can be new follows from the page faults of the process, and from what became resident.

What is left, the process accessed itself. Two events within the few milliseconds of a look are missed: a frame marked
twice, and active only afterwards; and pages that are dropped and mapped again by somebody from outside the process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from udamon.linux.open_files import open_file
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.roots import Roots
from udamon.linux.smaps import Referenced
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import flagged_pages, new_frames

AROUND = 64 << 10
"""Bytes that one fault maps at most, unless a file of debugfs says otherwise."""
MIN_REFERENCED_BYTES = 256 << 10
"""Pages of a mapping are read only where at least this many of its bytes are referenced."""
_REMEMBERED = 10_000


class PageFlags:
    """Of the processes that are looked at together: `prepare` before their pages are cleared, `look` after smaps was
    read, and then `doubtful` of each mapping."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self._roots = roots
        self._fd: int | None = None
        self._around = AROUND
        self._faults: dict[ProcessId, int] = {}
        self._new = 0
        self._seen: dict[tuple[ProcessId, int], Referenced] = {}
        self._active = new_frames()
        self._last_seen, self._last_active = self._seen, self._active

    def begin(self) -> None:
        """A look at all of them begins. Raises OSError: EACCES without root, ENOENT where the kernel was built without
        these flags; and OutOfFiles."""
        if self._fd is None:
            self._fd = open_file(self._roots.proc / "kpageflags", os.O_RDONLY)
            self._around = _fault_around(self._roots.sys / "kernel/debug/fault_around_bytes")
        if self._seen:  # else this is the begin of a window, and the last look was before
            self._last_seen, self._last_active = self._seen, self._active
            self._seen, self._active = {}, new_frames()

    def prepare(self, process: ProcessId) -> None:
        """Raises OSError."""
        if self._fd is not None:
            if len(self._faults) > _REMEMBERED:
                self._faults.clear()  # those who ended before their look: do not remember them for ever
            self._faults[process] = read_stat(process.pid, self._roots.proc).faults

    def look(self, process: ProcessId) -> None:
        """Raises OSError."""
        faults = read_stat(process.pid, self._roots.proc).faults
        self._new = (faults - self._faults.pop(process, 0)) * self._around

    def doubtful(
        self, process: ProcessId, page_map: int, seen: Referenced, runs: Sequence[Range], cached: int
    ) -> int:
        """Bytes of a mapping that may be called referenced for another reason, of the `cached` resident ones of files
        and of shared memory. `runs`: where in it pages are. Raises OSError."""
        if self._fd is None or min(seen.referenced, cached) < MIN_REFERENCED_BYTES:
            return cached
        key = process, seen.start
        self._seen[key], last = seen, self._last_seen.get(key)
        pages = flagged = 0
        for start, end in runs:
            found = flagged_pages(
                map=page_map, flags=self._fd, first=start // PAGE_SIZE, last=end // PAGE_SIZE,
                before=self._last_active, now=self._active,
            )  # fmt: skip
            pages, flagged = pages + found.pages, flagged + found.flagged
        if last is None or last.end != seen.end:
            return cached
        grown = max(0, seen.rss - last.rss)
        gone = max(0, cached - pages * PAGE_SIZE)  # since smaps was read
        return min(cached, flagged * PAGE_SIZE + gone + grown + self._new)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _fault_around(path: Path) -> int:
    with suppress(OSError, ValueError):
        return max(PAGE_SIZE, int(path.read_text(encoding="ascii")))
    return AROUND  # only debugfs can change it
