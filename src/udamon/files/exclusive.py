"""A place that one process uses alone, for as long as it lives: what it keeps there would mix with another's."""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from pathlib import Path

from udamon.errors import CannotError
from udamon.linux import open_files


class Exclusive:
    """A lock on the file `path`, which is made where it is not there, is always empty, and stays.

    `what` names the place in sentences, and `remedy` says what to do where another process has it. The lock ends with
    `close`, with this object, and with the process. Raises CannotError.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        try:
            # For writing: some file systems lock nothing exclusively otherwise.
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            fix = open_files.remedy(error, "give a place where it can be")
            raise CannotError(
                f"{path} cannot be made, by which {what} is locked: {error.strerror}; {fix}."
            ) from error
        self._closed = weakref.finalize(self, os.close, fd)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise CannotError(f"{path}, by which {what} is locked, is no regular file; remove it.")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except CannotError:
            self.close()
            raise
        except OSError as error:
            self.close()
            used = isinstance(error, BlockingIOError)
            why = "is used by another process" if used else f"cannot be locked: {error.strerror}"
            raise CannotError(f"{what} {why}; {remedy}.") from error

    def close(self) -> None:
        """Idempotent."""
        self._closed()
