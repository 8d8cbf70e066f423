"""Directories that are made and removed in a directory, told by the kernel (inotify).

Own code, because what a library would do here is three calls and one structure (docs/decisions/0011-discovery.md).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_Q_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x4000_0000
_ONLYDIR, _DONT_FOLLOW = 0x0100_0000, 0x0200_0000
_WANTED = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR | _DONT_FOLLOW
_HEAD = struct.Struct("=iIII")  # struct inotify_event: wd, mask, cookie, len
_BUFFER = 1 << 16

MAX_WATCHES = Path("sys/fs/inotify/max_user_watches")
MAX_INSTANCES = Path("sys/fs/inotify/max_user_instances")
"""Limits of a user, below /proc."""


class InotifyEvent(NamedTuple):
    """A directory `name` was made, removed or renamed in the directory of `watch`, or that one is not watched any more
    (`ignored`: it was removed). `overflow`: events were lost, and all may have changed."""

    watch: int
    name: str = ""
    ignored: bool = False
    overflow: bool = False


class Inotify:
    """Raises OSError when made: EMFILE where the user has as many instances as MAX_INSTANCES allows."""

    def __init__(self) -> None:
        self._init, self._add, self._remove = _calls()
        self._fd = self._init(os.O_CLOEXEC | os.O_NONBLOCK)

    def watch(self, directory: str) -> int:
        """The number of its watch: another one for another directory at that path, the same one for the same.

        Raises OSError: ENOENT, ENOTDIR, ENOSPC where the user has as many watches as MAX_WATCHES allows.
        """
        return self._add(self._fd, os.fsencode(directory), _WANTED)

    def forget(self, watch: int) -> None:
        """Watch it no more; nothing happens where it is not watched."""
        try:
            self._remove(self._fd, watch)
        except OSError:
            pass

    def read(self) -> list[InotifyEvent]:
        """What happened to directories since the last call, or the beginning of it; empty when nothing did."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        found, at = [], 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            name = os.fsdecode(data[at - length : at].rstrip(b"\0"))
            if mask & (_ISDIR | _IGNORED | _Q_OVERFLOW):  # events of files are of no interest
                found.append(InotifyEvent(watch, name, bool(mask & _IGNORED), bool(mask & _Q_OVERFLOW)))
        return found

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@cache
def _calls() -> tuple[Callable[..., int], ...]:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def checked(name: str) -> Callable[..., int]:
        function = libc[name]

        def call(*arguments: int | bytes) -> int:
            answer = int(function(*arguments))
            if answer < 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
            return answer

        return call

    return checked("inotify_init1"), checked("inotify_add_watch"), checked("inotify_rm_watch")
