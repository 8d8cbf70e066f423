"""One monitor per target: two would destroy each other's accessed bits.

A lock is flock(2) on NAME.lock in a directory all users share (mode 1777, made by whoever comes first).
Everyone can open a lock file for reading, and that is enough to lock it, so monitors of different users
refuse each other, and a monitor that is killed leaves no lock behind; its file is removed by the next
monitor that may. Any user can therefore also lock others out; such is /run/lock. Nobody writes to a file
that was there before, and none that has a second name is even locked.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from udamon.errors import TargetBusy
from udamon.linux.procfs import read_fd
from udamon.linux.roots import Roots

PATIENCE_S = 0.1
"""A lock that is held for longer is a monitor's: whoever looks for locks has each for a moment."""

_CAREFUL = os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK


class Lock:
    """A held lock; without a descriptor where no directory could be written and nothing is locked."""

    def __init__(self, fd: int | None, name: str, directory: Path | None) -> None:
        self._fd, self._name, self._directory = fd, name, directory

    @property
    def real(self) -> bool:
        return self._fd is not None

    def release(self) -> None:
        """Idempotent."""
        if self._fd is None or self._directory is None:
            return
        # Opened again, and not held all the time: there may be a thousand locks.
        directory = _open_directory(self._directory)
        if directory is not None:
            _remove(self._fd, self._name, directory)
            os.close(directory)
        os.close(self._fd)
        self._fd = None


def take_lock(name: str, what: str, roots: Roots) -> Lock:
    """Lock the target called `name` ("PID-STARTTIME", "paddr"); `what` names it in the error.

    Raises TargetBusy, naming the holder.
    """
    taken = Lock(None, name, None)
    for path in roots.locks:
        try:
            fd = None if taken.real else _take_in(path, f"{name}.lock", what, roots.proc)
            if fd is not None:
                taken = Lock(fd, f"{name}.lock", path)
            elif holder := _held_by(path, f"{name}.lock", roots.proc):
                raise TargetBusy(_sentence(what, holder))
        except TargetBusy:
            taken.release()
            raise
    return taken


def _take_in(path: Path, name: str, what: str, proc: Path) -> int | None:
    """The descriptor of the locked file in a directory; None where none can be had. Raises TargetBusy."""
    if not _make(path):
        return None
    directory = _open_directory(path)
    if directory is None:
        return None
    try:
        if not os.access(".", os.W_OK, dir_fd=directory):
            return None
        fd = _take(directory, name, what, proc)
        _sweep(path, directory)
        return fd
    finally:
        os.close(directory)


def held_locks(roots: Roots) -> dict[str, str]:
    """Names of the targets that monitors hold now, and who holds each ("process 123")."""
    held = {}
    for directory in roots.locks:
        for path in sorted(directory.glob("*.lock")):
            if holder := _held_by(directory, path.name, roots.proc):
                held[path.stem] = holder
    return held


def _sentence(what: str, holder: str) -> str:
    return (
        f"{what} is already watched by another monitor ({holder}); end that one first, or use its recording."
    )


def _make(path: Path) -> bool:
    """Make the directory where it is not there; False where it cannot be."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return True
    except OSError:
        return False
    directory = _open_directory(path, os.O_RDONLY)
    if directory is None:
        return False
    if os.fstat(directory).st_uid == os.geteuid():
        os.fchmod(directory, 0o1777)  # not by mkdir: the umask would take bits away
    os.close(directory)
    return True


def _open_directory(path: Path, how: int = os.O_PATH) -> int | None:
    """A descriptor of the directory; None where there is none, or a link to one."""
    try:
        return os.open(path, how | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


_swept: set[Path] = set()


def _sweep(path: Path, directory: int) -> None:
    """Remove what killed monitors have left, once for each directory: with many targets it would be many times."""
    if path in _swept:
        return
    _swept.add(path)
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".lock")]
        for name in names:
            fd = _open_existing(name, directory)
            if fd is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(fd, name, directory)
                os.close(fd)


def _take(directory: int, name: str, what: str, proc: Path) -> int | None:
    """The descriptor of the locked file; None where it can be neither made nor opened. Raises TargetBusy."""
    patient_until = time.monotonic() + PATIENCE_S
    while (opened := _open(name, directory)) is not None:
        fd, new = opened
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(fd, proc)
            os.close(fd)
            if time.monotonic() < patient_until:
                time.sleep(PATIENCE_S / 20)
                continue
            raise TargetBusy(_sentence(what, holder)) from None
        if _is_at(fd, name, directory):
            if new:
                with contextlib.suppress(OSError):  # a full disk: /proc/locks still knows the holder
                    os.write(fd, f"{os.getpid()}\n".encode())
                return fd
            # A dead monitor's. What was there before is never written to, whatever it is: a new one is made.
            if not _remove(fd, name, directory):
                return fd  # another user's: as good as a new one, but for the pid in it
        os.close(fd)  # somebody removed it between our open and our lock, or we have
    return None


def _open(name: str, directory: int) -> tuple[int, bool] | None:
    """A descriptor of the lock file, and whether it was made here; None where it cannot be opened or made."""
    # No O_CREAT on a file that exists: fs.protected_regular refuses that for another user's file.
    for _ in range(100):
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            fd = _open_existing(name, directory)
            return None if fd is None else (fd, False)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o644, dir_fd=directory)
            os.fchmod(fd, 0o644)
            return fd, True
        except FileExistsError:
            continue
        except OSError:
            return None
    return None


def _open_existing(name: str, directory: int) -> int | None:
    """For reading, which is enough to lock it; None for anything planted: a link of either kind leads nowhere."""
    try:
        fd = os.open(name, os.O_RDONLY | _CAREFUL, dir_fd=directory)
    except OSError:
        return None
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return fd
    os.close(fd)
    return None


def _is_at(fd: int, name: str, directory: int) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=directory, follow_symlinks=False))
    except OSError:
        return False


def _remove(fd: int, name: str, directory: int) -> bool:
    """Remove a lock file while it is locked, so that nobody locks one that is gone (see _take).

    False where it stays: another user's in a sticky directory.
    """
    if not _is_at(fd, name, directory):
        return False
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return False
    return True


def _held_by(directory: Path, name: str, proc: Path) -> str:
    """The holder of a lock file, "" when nobody holds it."""
    try:
        fd = os.open(directory / name, os.O_RDONLY | _CAREFUL)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return _holder(fd, proc) if error.errno == errno.EWOULDBLOCK else ""
    finally:
        os.close(fd)
    return ""


def _holder(fd: int, proc: Path) -> str:
    # The kernel's own list first: what is written inside may be a left-over.
    found = os.fstat(fd)
    inode = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        lines = []
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[5] == inode and "->" not in fields:
            return f"process {fields[4]}"
    inside = read_fd(fd).strip()
    return f"process {int(inside)}" if inside.isdigit() else "its pid is not known"
