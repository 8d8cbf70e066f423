"""One monitor per target: two would destroy each other's accessed bits.

A lock is flock(2) on NAME.lock in a directory all users share (mode 1777, made by whoever comes first).
Everyone can open a lock file for reading, and that is enough to lock it, so monitors of different users
refuse each other, and a monitor that is killed leaves no lock behind. Any user can therefore also lock
others out; such is /run/lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from udamon.errors import TargetBusy
from udamon.linux.procfs import read_fd
from udamon.linux.roots import Roots


class Lock:
    """A held lock; `fd` is None where no directory could be written and nothing is locked."""

    def __init__(self, fd: int | None, name: str, directory: Path | None) -> None:
        self._fd, self._name, self._directory = fd, name, directory

    @property
    def real(self) -> bool:
        return self._fd is not None

    def release(self) -> None:
        """Idempotent."""
        if self._fd is None or self._directory is None:
            return
        try:
            os.unlink(self._directory / self._name)  # while still locked: see _take
        except OSError:
            pass  # another user's left-over, in a sticky directory: it stays, unlocked
        os.close(self._fd)
        self._fd = None


def take_lock(name: str, what: str, roots: Roots) -> Lock:
    """Lock the target called `name` ("PID-STARTTIME", "paddr"); `what` names it in the error.

    Raises TargetBusy, naming the holder.
    """
    taken = Lock(None, name, None)
    for directory in roots.locks:
        usable = not taken.real and _make(directory)
        lock = _take(directory, f"{name}.lock", what, roots.proc) if usable else None
        if lock is not None:
            taken = lock
        elif holder := _held_by(directory, f"{name}.lock", roots.proc):
            taken.release()
            raise TargetBusy(_sentence(what, holder))
    return taken


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


def _make(directory: Path) -> bool:
    """True when lock files can be made there."""
    try:
        os.mkdir(directory, 0o700)
        os.chmod(directory, 0o1777)  # not by mkdir: the umask would take bits away
    except FileExistsError:
        pass
    except OSError:
        return False
    return directory.is_dir() and not directory.is_symlink() and os.access(directory, os.W_OK)


def _take(directory: Path, name: str, what: str, proc: Path) -> Lock | None:
    """The lock; None where the file can be neither made nor opened. Raises TargetBusy."""
    path = directory / name
    while (fd := _open(path)) is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(fd, proc)
            os.close(fd)
            raise TargetBusy(_sentence(what, holder)) from None
        if _is_at(fd, path):
            _write_pid(fd)
            return Lock(fd, name, directory)
        os.close(fd)  # its last holder removed it between our open and our lock: make a new one
    return None


def _open(path: Path) -> int | None:
    # No O_CREAT on a file that exists: fs.protected_regular refuses that for another user's file. No
    # O_NOFOLLOW-less open ever: a planted symlink must lead nowhere.
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    for _ in range(100):
        try:
            return os.open(path, os.O_RDONLY | flags)
        except FileNotFoundError:
            pass
        except OSError:
            return None
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o644)
            os.fchmod(fd, 0o644)
            return fd
        except FileExistsError:
            continue
        except OSError:
            return None
    return None


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except OSError:
        return False


def _write_pid(fd: int) -> None:
    try:
        writable = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    except OSError:
        return  # another user's left-over; /proc/locks still knows the holder
    try:
        os.write(writable, f"{os.getpid()}\n".encode())
    finally:
        os.close(writable)


def _held_by(directory: Path, name: str, proc: Path) -> str:
    """The holder of a lock file, "" when nobody holds it."""
    try:
        fd = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
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
    stat = os.fstat(fd)
    inode = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    try:
        lines = (proc / "locks").read_text().splitlines()
    except OSError:
        lines = []
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[5] == inode and "->" not in fields:
            return f"process {fields[4]}"
    inside = read_fd(fd).strip()
    return f"process {int(inside)}" if inside.isdigit() else "its pid is not known"
