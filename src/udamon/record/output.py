"""The file under a writer: created private, appended to whole pieces at a time, never left half written."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from udamon.errors import RecordingError


class OutputFile:
    """A new file of mode 0600. `size` in bytes counts whole pieces; `appended` is how many there are.

    Raises RecordingError when the file exists and not `force`, or cannot be created or written.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        self.size = 0
        self.appended = 0
        self._failed: RecordingError | None = None
        self.make_way(path, force)
        try:
            # An existing FIFO or device (it passed make_way because of `force`) is opened as it is.
            exclusive = 0 if path.exists() else os.O_EXCL
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | exclusive, 0o600)
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            raise RecordingError(
                f"cannot create {path}: {error.strerror}; choose another place for the recording."
            ) from error
        self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)

    @staticmethod
    def check_place(path: Path, force: bool) -> None:
        """Raise what can be told before anything is started; changes nothing."""
        if path.is_dir():
            raise RecordingError(f"{path} is a directory; give the name of a file.")
        if os.path.lexists(path) and not force:
            raise _exists(path)
        if path.exists() and not path.is_file():
            return  # a FIFO or a device is written as it is
        if not os.access(path.parent, os.W_OK | os.X_OK):
            why = os.strerror(errno.EACCES if path.parent.exists() else errno.ENOENT)
            raise RecordingError(f"cannot create {path}: {why}; choose another place for the recording.")

    @classmethod
    def make_way(cls, path: Path, force: bool) -> None:
        """Refuse an existing file, or with `force` remove it (so that its mode and readers are not ours)."""
        cls.check_place(path, force)
        if path.is_file() or path.is_symlink():
            try:
                path.unlink()
            except OSError as error:
                raise RecordingError(
                    f"cannot replace {path}: {error.strerror}; choose another place for the recording."
                ) from error

    @staticmethod
    def size_of(path: Path) -> int:
        """Bytes of a file, 0 when there is none."""
        try:
            return path.stat().st_size
        except OSError:
            return 0

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def check(self) -> None:
        """Raise again what an earlier append raised."""
        if self._failed is not None:
            raise self._failed

    def append(self, data: bytes) -> None:
        """Write all of `data`, or nothing: a part that was written is cut off again."""
        self.check()
        if self._regular and os.fstat(self._fd).st_nlink == 0:
            self.fail(f"{self.path} was removed while it was written; record again.")
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._cut()
            self.fail(
                f"cannot write to {self.path}: {error.strerror}; the recording ends here and what was "
                "flushed before is readable."
            )
        except BaseException:  # an interrupt between two writes
            self._cut()
            raise
        self.size += len(data)
        self.appended += 1

    def fail(self, sentence: str) -> None:
        """From now on nothing can be written: raises RecordingError, now and at every later append."""
        self._failed = RecordingError(sentence)
        raise self._failed

    def close(self) -> None:
        """Give the file descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _cut(self) -> None:
        if self._regular:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)


def _exists(path: Path) -> RecordingError:
    return RecordingError(f"{path} exists already; give another name or --force to replace it.")
