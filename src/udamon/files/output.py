"""Files that are written: one that grows while it is there, and one that is there when it is whole."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from udamon.errors import OutputError
from udamon.files.fresh import NewFile, remove_left_now_and_then
from udamon.files.names import Identity
from udamon.files.place import OutputPlace


class OutputFile:
    """A new file of mode 0600 that is there as soon as `head` is written, and is appended to whole pieces at a time.

    What OutputPlace writes as it is (a descriptor, a pipe, a device) is only appended to. `size` in bytes counts whole
    pieces, `appended` is how many there are, the head among them. `what` names the content in sentences, and
    `again` says what to do when it was lost.

    Raises what OutputPlace raises; OutputError when it cannot be made or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        head: bytes,
        *,
        force: bool = False,
        inputs: Iterable[Identity] = (),
        what: str = "the recording",
        again: str = "record again",
    ) -> None:
        self.path = os.fspath(path)
        self.what = what
        self._again = again
        self.size = 0
        self.appended = 0
        self._failed: OutputError | None = None
        self.place = OutputPlace(path, force=force, inputs=inputs)
        self._fd = -1
        try:
            self._own = not self.place.as_it_is
            """Whether it is a regular file that was made here."""
            self._begin(head)
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def check(self) -> None:
        """Raise again what an earlier append raised."""
        if self._failed is not None:
            raise self._failed

    def append(self, data: bytes) -> None:
        """Write all of `data`, or nothing: a part that was written is cut off again, of a file of our own."""
        self.check()
        if self._own and os.fstat(self._fd).st_nlink == 0:
            self.fail(f"{self.path} was removed while it was written; {self._again}.")
        try:
            write_all(self._fd, data)
            self.size += len(data)
        except OSError as error:
            self._cut()
            self.fail(
                f"cannot write to {self.place.shown}: {error.strerror}; {self.what} ends here and what was "
                "flushed before is readable."
            )
        except BaseException:  # an interrupt: of what is not counted yet nothing stays
            self._cut()
            raise
        self.appended += 1

    def fail(self, sentence: str) -> NoReturn:
        """From now on nothing can be written: raises OutputError, now and at every later append."""
        self._failed = OutputError(sentence)
        raise self._failed

    def close(self) -> None:
        """Give the descriptors back. Idempotent."""
        self.place.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self, head: bytes) -> None:
        if not self._own:
            self._fd = self.place.open_as_it_is()
            self.append(head)
            return
        remove_left_now_and_then(self.place.directory)
        fresh = self._fresh(head)
        try:
            fresh.give(self.place.name, replace=self.place.force)
            self._take(fresh, head)
        except OSError as error:
            raise self.place.trouble(error) from error
        finally:
            fresh.discard()

    def _fresh(self, head: bytes) -> NewFile:
        """A file that begins with `head` and has no name yet. Raises OutputError."""
        try:
            fresh = NewFile(self.place.directory)
        except OSError as error:
            raise self.place.trouble(error) from error
        try:
            write_all(fresh.fd, head)
        except OSError as error:
            fresh.discard()
            raise OutputError(
                f"cannot write to {self.place.shown}: {error.strerror}; choose another place."
            ) from error
        except BaseException:
            fresh.discard()
            raise
        return fresh

    def _take(self, fresh: NewFile, head: bytes) -> None:
        """Go on with that file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fresh.take()
        self.size = len(head)
        self.appended = 1

    def _cut(self) -> None:
        if self._own:
            os.ftruncate(self._fd, self.size)
            os.lseek(self._fd, self.size, os.SEEK_SET)


@contextmanager
def whole_file(
    path: str | os.PathLike[str], *, force: bool = False, inputs: Iterable[Identity] = ()
) -> Iterator[BinaryIO]:
    """A new file of mode 0600 that is there once the block has ended; nothing is left of it when that raises.

    What OutputPlace writes as it is (a descriptor, a pipe, a device) gets what is written at once. Raises what
    OutputPlace raises; OutputError when it cannot be made or written, also where the block raises something else
    because of that.
    """
    with OutputPlace(path, force=force, inputs=inputs) as place:
        if place.as_it_is:
            with _writing(place, place.open_as_it_is()) as file:
                yield file
            return
        remove_left_now_and_then(place.directory)
        try:
            fresh = NewFile(place.directory)
        except OSError as error:
            raise place.trouble(error) from error
        try:
            try:
                copy = os.dup(fresh.fd)
            except OSError as error:
                raise place.trouble(error) from error
            with _writing(place, copy) as file:
                yield file
            try:
                fresh.give(place.name, replace=force)
            except OSError as error:
                raise place.trouble(error) from error
        finally:
            fresh.discard()


@contextmanager
def _writing(place: OutputPlace, fd: int) -> Iterator[BinaryIO]:
    """`fd` as a file, closed at the end."""
    raw = _Raw(fd)
    file = io.BufferedWriter(raw, 1 << 17)
    try:
        yield file
        file.flush()
    except Exception as error:
        # Libraries that were given the file raise what they like when it fails.
        if raw.failure is None:
            raise
        raise OutputError(
            f"cannot write to {place.shown}: {raw.failure.strerror}; choose another place for the output."
        ) from error
    finally:
        raw.give_up()


class _Raw(io.RawIOBase):
    """Writes to a descriptor, and remembers what failed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        try:
            write_all(self._fd, view)
        except OSError as error:
            self.failure = error
            raise
        return len(view)

    def give_up(self) -> None:
        """Close, whatever a buffer before it still holds."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        return self._fd


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
