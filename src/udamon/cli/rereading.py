"""A file that is read again when it has changed, or when the user says so by SIGHUP."""

from __future__ import annotations

import threading
from pathlib import Path


class Rereading:
    """Says when to read `path` anew: when `hang_up` is set, or its time, size or inode is another than before."""

    def __init__(self, path: Path | None, hang_up: threading.Event) -> None:
        self._path = path
        self._hang_up = hang_up
        self._seen = self._look()

    def due(self) -> bool:
        """True once for each reason."""
        seen = self._look()
        changed = seen is not None and seen != self._seen
        if seen is not None:
            self._seen = seen
        if self._hang_up.is_set():
            self._hang_up.clear()
            return self._path is not None
        return changed

    def _look(self) -> tuple[int, int, int] | None:
        """None while it is away: editors replace a file."""
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
