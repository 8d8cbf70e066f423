"""A file that is read again when it has changed, or when the user says so by SIGHUP."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

SETTLED_S = 0.5
"""A change is read when the file has stayed alike for this long: many programs empty a file before they write it, and
what is read in between would lack limits that the whole file sets."""


class Rereading:
    """Says when to read `path` anew: when `hang_up` is set, or its time, size or inode is another than before and has
    been so for SETTLED_S. `clock` gives seconds. What is no file on a disk, as a FIFO, is read once: to read it again
    would wait for a writer, and hold the command's end up."""

    def __init__(
        self, path: Path | None, hang_up: threading.Event, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._hang_up = hang_up
        self._clock = clock
        self._read = self._seen = self._look()
        self._since = 0.0

    def due(self) -> bool:
        """True once for each reason."""
        now, seen = self._clock(), self._look()
        if seen != self._seen:
            self._seen, self._since = seen, now
        if self._hang_up.is_set():
            self._hang_up.clear()
            self._read = seen or self._read
            return self._path is not None and not may_wait(self._path)
        if seen is None or seen == self._read or now - self._since < SETTLED_S:
            return False
        self._read = seen
        return True

    def _look(self) -> tuple[int, int, int] | None:
        """None while it is away: editors replace a file."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return None if _waits(found.st_mode) else (found.st_mtime_ns, found.st_size, found.st_ino)


def may_wait(path: Path) -> bool:
    """Whether reading `path` may block: it is a FIFO, a socket or a device."""
    try:
        return _waits(path.stat().st_mode)
    except OSError:
        return False


def _waits(mode: int) -> bool:
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
