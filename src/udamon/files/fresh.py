"""A new file that nobody sees until it is given a name."""

from __future__ import annotations

import contextlib
import errno
import os

from udamon.files import ending
from udamon.linux import renaming

_UNNAMED_IS_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}


_BEGIN, _END = ".udamon-", ".part"


def spare_name() -> str:
    """A name that is in nobody's way."""
    return f"{_BEGIN}{os.urandom(8).hex()}{_END}"


def remove_left(directory: str | os.PathLike[str]) -> None:
    """Remove the temporary names that killed processes left in a directory in which this process alone makes files."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(_BEGIN) and entry.name.endswith(_END):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


class NewFile:
    """A new regular file of mode 0600, open for writing, in the directory of a descriptor. Raises OSError.

    It has no name where the file system can make such files, so that nothing is left of it when this process is
    killed; else a temporary one, made exclusively.
    """

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self.temporary: str | None = None
        """The temporary name, while there is one."""
        try:
            self.fd = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory)
        except OSError as error:
            if error.errno not in _UNNAMED_IS_NOT_SUPPORTED:
                raise
            self._make_named()
            return
        if not os.path.exists(self._way()):  # without /proc an unnamed file stays unnamed
            os.close(self.fd)
            self._make_named()

    def give(self, name: str, *, replace: bool) -> None:
        """Make it appear, all at once. Raises OSError: FileExistsError where `name` is there and not `replace`."""
        if replace:
            os.rename(self.named(), name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self.moved()
        elif self.temporary is None:
            self._link(name)
        else:
            _move(self._directory, self.temporary, name)
            self.moved()

    def named(self) -> str:
        """A temporary name for it; the one it has. Raises OSError."""
        while self.temporary is None:
            name = spare_name()
            with contextlib.suppress(FileExistsError):
                self._link(name)
                self._remember(name)
        return self.temporary

    def exchange(self, name: str) -> None:
        """Exchange it with what is called `name`, which has the temporary name from then on. Raises OSError."""
        renaming.exchange(self._directory, self.named(), name)
        ending.forget(self)  # what would be removed is another file now

    def discard(self) -> None:
        """Remove what has the temporary name, if there is one, and close. Idempotent."""
        if self.temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.temporary, dir_fd=self._directory)
        self.moved()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def take(self) -> int:
        """The descriptor, which is the caller's from now on."""
        fd, self.fd = self.fd, -1
        return fd

    def moved(self) -> None:
        """The temporary name is not ours any more."""
        self.temporary = None
        ending.forget(self)

    def _make_named(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            name = spare_name()
            try:
                self.fd = os.open(name, flags, 0o600, dir_fd=self._directory)
            except FileExistsError:
                continue
            self._remember(name)
            return

    def _way(self) -> str:
        return f"/proc/self/fd/{self.fd}"

    def _link(self, name: str) -> None:
        os.link(self._way(), name, dst_dir_fd=self._directory, follow_symlinks=True)

    def _remember(self, name: str) -> None:
        self.temporary = name
        directory = self._directory
        ending.remember(self, lambda: os.unlink(name, dir_fd=directory))


def _move(directory: int, old: str, new: str) -> None:
    """Rename without replacing. Raises OSError."""
    try:
        renaming.rename_without_replacing(directory, old, new)
    except OSError as error:
        if error.errno not in renaming.NOT_SUPPORTED:
            raise
        os.link(old, new, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        os.unlink(old, dir_fd=directory)
