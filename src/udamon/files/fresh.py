"""A new file that nobody sees until it is given a name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from itertools import islice
from time import monotonic

from udamon.files import ending
from udamon.linux import renaming

_UNNAMED_IS_NOT_SUPPORTED = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL}

_SPARE = re.compile(r"\.udamon-[0-9a-f]{16}\.part")

_MOST = 20_000
"""Names of a directory that are looked at for what is left in it: some milliseconds."""

_AGAIN_S = 10.0
_looked_at: dict[tuple[int, int], float] = {}
"""When this process last looked in a directory, by device and inode; of the latest _DIRECTORIES."""
_DIRECTORIES = 1000


def spare_name() -> str:
    """A name that is in nobody's way; _SPARE tells it."""
    return f".udamon-{os.urandom(8).hex()}.part"


def remove_left_now_and_then(directory: int) -> None:
    """`remove_left`, unless this process did so in the last _AGAIN_S: who writes thousands of files into a directory
    would look at all of them for each."""
    with contextlib.suppress(OSError):
        found, now = os.fstat(directory), monotonic()
        key = found.st_dev, found.st_ino
        if (last := _looked_at.get(key)) is not None and now - last < _AGAIN_S:
            return
        if len(_looked_at) >= _DIRECTORIES:
            del _looked_at[min(_looked_at, key=_looked_at.__getitem__)]
        _looked_at[key] = now
        remove_left(directory)


def remove_left(directory: int) -> None:
    """Remove the temporary names that killed processes of this user left in the directory of a descriptor.

    A process has its files locked as long as it lives: what nobody has locked, is a regular file of this user's and
    has no other name was left. Where a file system has no locks nothing is removed. Never raises.
    """
    with contextlib.suppress(OSError):
        place = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            with os.scandir(place) as entries:
                names = [entry.name for entry in islice(entries, _MOST) if _SPARE.fullmatch(entry.name)]
            for name in names:
                with contextlib.suppress(OSError):
                    _remove_if_left(place, name)
        finally:
            os.close(place)


def _remove_if_left(place: int, name: str) -> None:
    """Raises OSError, also where somebody has it locked."""
    if not _ours(os.stat(name, dir_fd=place, follow_symlinks=False)):
        return
    # For writing: some file systems lock nothing exclusively otherwise.
    fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(fd)
        if _ours(found) and os.path.samestat(found, os.stat(name, dir_fd=place, follow_symlinks=False)):
            os.unlink(name, dir_fd=place)
    finally:
        os.close(fd)


def _ours(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid()


class NewFile:
    """A new regular file of mode 0600, open for writing, in the directory of a descriptor. Raises OSError.

    It has no name where the file system can make such files, so that nothing is left of it when this process is
    killed; else a temporary one, made exclusively. It is locked while its descriptor is open, which tells others that
    it is not left behind.
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
        _lock(self.fd)  # before it has a name
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
            if _lock(self.fd):
                self._remember(name)
                return
            os.close(self.fd)

    def _way(self) -> str:
        return f"/proc/self/fd/{self.fd}"

    def _link(self, name: str) -> None:
        os.link(self._way(), name, dst_dir_fd=self._directory, follow_symlinks=True)

    def _remember(self, name: str) -> None:
        self.temporary = name
        directory = self._directory
        ending.remember(self, lambda: os.unlink(name, dir_fd=directory))


def _lock(fd: int) -> bool:
    """False where it was taken for left behind before it was locked, and is gone."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks, on which nobody takes it for left behind either
    return os.fstat(fd).st_nlink > 0


def _move(directory: int, old: str, new: str) -> None:
    """Rename without replacing. Raises OSError."""
    try:
        renaming.rename_without_replacing(directory, old, new)
    except OSError as error:
        if error.errno not in renaming.NOT_SUPPORTED:
            raise
        os.link(old, new, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
        os.unlink(old, dir_fd=directory)
