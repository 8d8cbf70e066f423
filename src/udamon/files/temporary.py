"""Files and directories for a time, of which nothing is left when this process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from udamon.closing import Closing
from udamon.errors import OutputError
from udamon.files import ending
from udamon.linux.open_files import remedy

PREFIX = "udamon-locked-"
"""Of all of them, and of nothing else: earlier versions did not lock theirs, and may be running."""


class TemporaryDirectory(Closing):
    """A directory of mode 0700 below TMPDIR: `path`. `close` removes it with all that is in it.

    It is locked as long as this process lives, so one that nobody has locked was left by a process that was killed:
    the next one that is made removes it. Raises OutputError.
    """

    def __init__(self, purpose: str) -> None:
        self._fd = -1
        base = _base()
        _remove_stale_files(base)
        try:
            while not self._make(base, purpose):
                pass
        except OSError as error:
            raise _no_room(base, error) from error
        ending.remember(self, lambda: shutil.rmtree(self.path))

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            ending.forget(self)
            os.close(self._fd)
            self._fd = -1

    def _make(self, base: str, purpose: str) -> bool:
        """False where it was taken for left behind before it was locked."""
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=base))
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            self.path.rmdir()
            raise
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_nlink:
                return True
        except BlockingIOError:
            pass
        except OSError:
            return (
                True  # a file system without locks, on which nobody else can take it for left behind either
            )
        os.close(self._fd)
        return False


def unnamed_file(purpose: str) -> int:
    """A descriptor of a new file without a name, to write and read (also as /proc/self/fd/N). Raises OutputError."""
    base = _base()
    _remove_stale_files(base)
    try:
        try:
            return os.open(base, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            fd, name = tempfile.mkstemp(prefix=f"udamon-{purpose}-", dir=base)
            os.unlink(name)
            return fd
    except OSError as error:
        raise _no_room(base, error) from error


def _base() -> str:
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise OutputError(
            "there is no directory for temporary files that can be written; set TMPDIR to one."
        ) from error


def _no_room(base: str, error: OSError) -> OutputError:
    fix = remedy(error, "set TMPDIR to a place with room")
    return OutputError(f"cannot make a temporary file in {base}: {error.strerror}; {fix}.")


def _remove_stale_files(base: str) -> None:
    """Remove this user's directories that killed processes have left."""
    with contextlib.suppress(OSError):
        with os.scandir(base) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(PREFIX)]
        place = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if names else -1
        for name in names:
            with contextlib.suppress(OSError):
                _remove_if_left(place, name)
        if names:
            os.close(place)


def _remove_if_left(place: int, name: str) -> None:
    """Raises OSError, also where somebody has it locked."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
    try:
        if os.fstat(fd).st_uid == os.geteuid():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(name, dir_fd=place)
    finally:
        os.close(fd)
