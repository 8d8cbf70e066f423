"""What a FUSE file system answers, for any tree of files. Knows nothing of FUSE but the names of its calls."""

from __future__ import annotations

import ctypes
import errno
import itertools
import logging
import os
import stat
import threading
import time
from collections.abc import Callable

from udamon.control.files import Files, OpenedFile
from udamon.control.kinds import refused

_log = logging.getLogger(__name__)
_MISTAKES = {errno.EINVAL, errno.ERANGE, errno.ENOMEM}

SIZE = 4096
"""What every file of sysfs claims to be big."""


_kept = threading.local()


def keep_thread() -> None:
    """Have Python remember the thread that calls, one of libfuse's. Otherwise each call would make what Python needs of
    a thread, and throw it away: that is a third of the cost of a call (bench/control_read.py)."""
    if not hasattr(_kept, "known"):
        _kept.known = True
        ctypes.pythonapi.PyGILState_Ensure()  # never released: the thread lives as long as the server


def _why(path: str, data: bytes, error: OSError) -> str:
    """Why a write was refused. A program asks again and again where something is busy or has ended, so that has words
    only where they are its own; "" else."""
    number = error.errno or errno.EIO
    if error.strerror != os.strerror(number):
        return f"{path}: {error.strerror}"
    if number in _MISTAKES:
        said = ascii(data[:60].decode(errors="replace").removesuffix("\n"))
        return f"{path}: {said}: {error.strerror}; see docs/control.md."
    return ""


class Handle:
    """An open file, and the text that its reader is in the middle of."""

    __slots__ = ("file", "lock", "text")

    def __init__(self, file: OpenedFile) -> None:
        self.file = file
        self.text = b""
        self.lock = threading.Lock()


class FuseOperations:
    """The calls of mfusepy. Each may come on a thread of its own; one open file has one at a time, as in the kernel."""

    use_ns = True

    def __init__(self, files: Files, ready: Callable[[], None]) -> None:
        """`ready` is called once, when the file system answers."""
        self._files = files
        self._ready = ready
        self._handles: dict[int, Handle] = {}
        self._numbers = itertools.count(1)
        self._told: dict[
            str, str
        ] = {}  # why the last write of a file was refused: not said twice in succession
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), time.time_ns())
        self._file = {"st_nlink": 1, "st_size": SIZE, **times, **owner}
        self._directory = {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_size": 0, **times, **owner}

    def init(self, path: str) -> None:
        self._ready()

    def mode(self, path: str) -> int:
        """See files.Files. What `attributes` are of."""
        keep_thread()
        return self._files.mode(path)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        return self.attributes(self.mode(path))

    def attributes(self, mode: int) -> dict[str, int]:
        """Those of all files with the permission bits `mode`, or of all directories (−1)."""
        return self._directory if mode < 0 else {"st_mode": stat.S_IFREG | mode, **self._file}

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        entries = [(".", True), ("..", True), *self._files.entries(path)]
        return [
            (name, {"st_mode": stat.S_IFDIR if directory else stat.S_IFREG}, 0) for name, directory in entries
        ]

    def open(self, path: str, flags: int) -> int:
        keep_thread()
        file = self._files.open(path)
        if flags & os.O_ACCMODE != os.O_RDONLY and not file.mode & 0o200:
            raise refused(errno.EACCES)
        number = next(self._numbers)
        self._handles[number] = Handle(file)
        return number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        keep_thread()
        handle = self._handles[fh]
        with handle.lock:
            if offset == 0:
                handle.text = handle.file.read().encode(errors="surrogateescape")
            return handle.text[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        keep_thread()
        handle = self._handles[fh]
        with handle.lock:
            try:
                taken = handle.file.write(data, offset)
            except OSError as error:
                why = _why(path, data, error)
                if why and self._told.get(path) != why:
                    _log.warning("refused: %s", why)
                self._told[path] = why
                raise
            self._told.pop(path, None)
            return taken

    def release(self, path: str, fh: int) -> int:
        keep_thread()
        self._handles.pop(fh, None)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """O_TRUNC and truncate(2) do nothing to such files."""
        self._files.mode(path)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._files.mode(path)
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        raise refused(errno.EACCES)

    def mknod(self, path: str, mode: int, dev: int) -> int:
        raise refused(errno.EPERM)

    def mkdir(self, path: str, mode: int) -> int:
        raise refused(errno.EPERM)

    def unlink(self, path: str) -> int:
        raise refused(errno.EPERM)

    def rmdir(self, path: str) -> int:
        raise refused(errno.EPERM)

    def rename(self, old: str, new: str) -> int:
        raise refused(errno.EPERM)

    def symlink(self, target: str, source: str) -> int:
        raise refused(errno.EPERM)

    def link(self, target: str, source: str) -> int:
        raise refused(errno.EPERM)

    def chmod(self, path: str, mode: int) -> int:
        raise refused(errno.EPERM)

    def chown(self, path: str, uid: int, gid: int) -> int:
        raise refused(errno.EPERM)
