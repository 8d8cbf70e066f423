"""A file that is written in parts: FILE is the part that grows, FILE.1 the one before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import NoReturn

from udamon.errors import OutputError, UsageError
from udamon.files.fresh import NewFile, spare_name
from udamon.files.names import Identity
from udamon.files.output import OutputFile
from udamon.files.place import OutputPlace
from udamon.linux import renaming


class RotatedFile(OutputFile):
    """An OutputFile that can begin anew, while what it was becomes FILE.1. FILE is there at every moment.

    Where other users may make names in the directory, FILE.1 is made at once, empty, and removed by `close` when it
    still is: so it is as much ours as FILE, and nobody else can take its name before the first rotation.

    Raises UsageError for what cannot be rotated (a descriptor, a pipe, a device); of FILE.1 what OutputPlace raises of
    FILE.
    """

    older_size = 0
    """Bytes of the older part, 0 when there is none."""
    _older: os.stat_result | None = None
    """What is called FILE.1, if that is ours."""

    @staticmethod
    def check_place(
        path: str | os.PathLike[str], *, force: bool = False, inputs: Iterable[Identity] = ()
    ) -> None:
        """Raise what can be told before anything is started; changes nothing."""
        inputs = frozenset(inputs)
        with OutputPlace(path, force=force, inputs=inputs) as place:
            if place.as_it_is:
                raise UsageError(
                    f"{place.shown} is no regular file, so it cannot be kept below a size; "
                    "leave --max-size out, or give the name of a file."
                )
        with OutputPlace(f"{os.fspath(path)}.1", force=force, inputs=inputs) as older:
            if older.as_it_is:
                raise OutputError(
                    f"{older.path}, the name of the older part, is no regular file; give another name."
                )

    @property
    def _older_name(self) -> str:
        return f"{self.place.name}.1"

    def rotate(self, head: bytes) -> bool:
        """Begin anew with `head`. True when the part so far is FILE.1 from then on; False where that name could not
        be had, and the part is gone. Raises OutputError when FILE is not what was written, or there is no new part.
        """
        try:
            fresh = self._fresh(head)
        except OutputError as error:
            self.fail(str(error))
        try:
            kept = self._swap(fresh)
            self._older = os.fstat(self._fd) if kept else None
            self.older_size = self.size if kept else 0
            self._take(fresh, head)
        except OSError as error:
            self.fail(f"cannot rotate {self.path}: {error.strerror}; {self.what} ends here.")
        finally:
            fresh.discard()
        return kept

    def drop_older(self) -> None:
        """Give the room of FILE.1 back, if it is ours."""
        self.older_size = 0
        if self.place.shared and self._is_older():
            self._reserve(replace=True)
        else:
            self._unlink_older()

    def close(self) -> None:
        """As that of any output; an empty FILE.1 is removed."""
        if self.place.directory >= 0 and not self.older_size:
            self._unlink_older()
        super().close()

    def _begin(self, head: bytes) -> None:
        self.check_place(self.path, force=self.place.force, inputs=self.place.inputs)
        name, directory = self._older_name, self.place.directory
        try:
            if self.place.shared:
                self._reserve(replace=self.place.force)
            elif self.place.force:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=directory)
        except OSError as error:
            with OutputPlace(f"{self.path}.1", force=True) as older:
                raise older.trouble(error) from error
        super()._begin(head)

    def _reserve(self, *, replace: bool) -> None:
        """Have an empty FILE.1. Raises OSError."""
        fresh = NewFile(self.place.directory)
        try:
            fresh.give(self._older_name, replace=replace)
            self._older = os.fstat(fresh.fd)
        finally:
            fresh.discard()

    def _swap(self, fresh: NewFile) -> bool:
        """Have the new part called FILE, and the old one FILE.1; False where the old one is gone.

        Raises OSError; OutputError where FILE is another file, which is left as it is.
        """
        name = self.place.name
        try:
            fresh.exchange(name)
        except FileNotFoundError:  # its user has moved it away
            fresh.give(name, replace=False)
            return True
        except OSError as error:
            if error.errno not in renaming.NOT_SUPPORTED:
                raise
            return self._replace(fresh)
        assert fresh.temporary is not None
        if not self._is_written(fresh.temporary):
            fresh.exchange(name)
            self._fail_as_replaced()
        return self._keep(fresh, fresh.temporary)

    def _replace(self, fresh: NewFile) -> bool:
        """The same where names cannot be exchanged: FILE is FILE.1, too, before the new part takes its name."""
        name, spare, directory = self.place.name, spare_name(), self.place.directory
        if not self._is_written(name):
            self._fail_as_replaced()
        os.link(name, spare, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        try:
            os.rename(spare, self._older_name, src_dir_fd=directory, dst_dir_fd=directory)
            kept = True
        except OSError:
            os.unlink(spare, dir_fd=directory)
            kept = False
        fresh.give(name, replace=True)
        return kept

    def _fail_as_replaced(self) -> NoReturn:
        self.fail(f"{self.path} was replaced while it was written; {self.what} ends here.")

    def _keep(self, fresh: NewFile, old: str) -> bool:
        """Call the old part, whose name is `old`, FILE.1. Where that cannot be it goes with its temporary name."""
        name, directory = self._older_name, self.place.directory
        with contextlib.suppress(OSError):
            os.rename(old, name, src_dir_fd=directory, dst_dir_fd=directory)
            fresh.moved()
            return True
        with contextlib.suppress(OSError):  # somebody has put a directory there
            fresh.exchange(name)
            with contextlib.suppress(OSError):
                os.rmdir(old, dir_fd=directory)
            return True
        return False

    def _is_written(self, name: str) -> bool:
        return _same(os.fstat(self._fd), name, self.place.directory)

    def _is_older(self) -> bool:
        return self._older is not None and _same(self._older, self._older_name, self.place.directory)

    def _unlink_older(self) -> None:
        if self._is_older():
            with contextlib.suppress(OSError):
                os.unlink(self._older_name, dir_fd=self.place.directory)
        self._older = None


def _same(file: os.stat_result, name: str, directory: int) -> bool:
    try:
        return os.path.samestat(file, os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError:
        return False
