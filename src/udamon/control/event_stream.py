"""Events as text lines, in the form that `perf script` prints, on a FIFO or into a file."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from udamon.control.tracepoints import GROUP, text_of
from udamon.errors import CannotError
from udamon.files.names import resolved

LOOK_EVERY_NS = 100_000_000
"""So often is it looked whether a reader has come to a FIFO."""
PIPE_BYTES = 1 << 20
"""Room for an aggregation of ten thousand regions while the reader is busy."""
WAIT_LIMIT_S = 0.5
"""A reader that takes nothing for so long loses events, and is told how many."""


class EventStream:
    """Implements tracepoints.Listener. A FIFO has one reader; who opens it gets what comes from then on.

    A path where nothing is becomes a FIFO for this user alone. Raises CannotError when made.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._path = path
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._fd = -1
        self._looked_ns = 0
        self._rest = b""
        self._lost = 0
        try:
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
            self._fifo = stat.S_ISFIFO(path.lstat().st_mode)
            if not self._fifo:
                self._fd = _open_to_append(path)
        except OSError as error:
            raise CannotError(f"{path}: {error.strerror}; name a FIFO or a file for events.") from error

    def listens(self, event: str) -> bool:
        if self._fd >= 0:
            return True
        now = self._now_ns()
        if now - self._looked_ns < LOOK_EVERY_NS:
            return False
        self._looked_ns = now
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # ENXIO: no reader
            return False
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):  # somebody has put something else there
            os.close(fd)
            return False
        with self._lock:
            if self._fd >= 0:
                os.close(fd)
                return True
            self._fd, self._rest, self._lost = fd, b"", 0
            _widen(fd)
        return True

    def emit(self, event: str, time_ns: int, pid: int, comm: str, rows: Sequence[tuple[int, ...]]) -> None:
        head = line_head(event, time_ns, pid, comm)
        lines = [f"{head}{text_of(event, row)}\n" for row in rows]
        with self._lock:
            if self._lost:
                lines.insert(0, f"# {self._lost} events were lost: the reader was too slow\n")
                self._lost = 0
            self._write("".join(lines).encode())

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        """All of it, or whole lines of it: what a slow reader leaves of a line comes first the next time."""
        waiting = memoryview(self._rest + data)
        self._rest = b""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while waiting and self._fd >= 0:
            try:
                waiting = waiting[os.write(self._fd, waiting) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._give_up(bytes(waiting))
                    return
                time.sleep(0.002)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.ENOSPC):
                    raise
                self._hang_up()

    def _give_up(self, left: bytes) -> None:
        line, end, others = left.partition(b"\n")
        self._rest = line + end
        self._lost += others.count(b"\n")


def _open_to_append(path: Path) -> int:
    """Raises OSError; CannotError for a link, and for a file of another user or with a second name."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise CannotError(
            f"{path} is a symbolic link, and an output is never written through one; "
            f"give {resolved(str(path))}, where it leads."
        ) from error
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and (found.st_uid != os.geteuid() or found.st_nlink != 1):
        os.close(fd)
        raise CannotError(
            f"{path} is another user's file, or has a second name; name a FIFO or a new file for events."
        )
    return fd


def line_head(event: str, time_ns: int, pid: int, comm: str) -> str:
    """What stands before the fields: who, where, when, what."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{comm:>16} {pid:>6} [{_cpu():03}] {seconds:>6}.{rest // 1000:06}: {GROUP}:{event}: "


def _cpu() -> int:
    return max(int(ctypes.CDLL(None).sched_getcpu()), 0)


def _widen(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except OSError:
        pass  # more than a user may have: the pipe stays as it is
