"""One monitor per target: two would destroy each other's accessed bits.

A lock is one byte, locked by fcntl(2), of the file monitors.lock in a directory all users share (mode 1777, made by
whoever comes first); the byte's offset is made of the target's pid and start time. The file has mode 0666, is always
empty and never written to: a lock for writing needs a descriptor that is open for writing, and monitors of different
users are to refuse each other. A monitor that is killed leaves no lock behind, nor a file of its own, and a lock
costs no descriptor. Any user can also lock others out; such is /run/lock.

The directory is opened without following a link, and everything is done in the one that was opened. What is no
regular file with a single name is neither locked nor opened for writing.

Such locks belong to the process, and closing any descriptor of the file gives all of them up. So each process has
one descriptor of each file, kept by `_Files`, and what it holds itself is in a table: the kernel would not refuse it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import OutOfFiles, TargetBusy
from udamon.files.fresh import NewFile
from udamon.handover import PLACE, ask_for, is_agent
from udamon.linux.open_files import open_file, refuse_if_full
from udamon.linux.roots import Roots

FILE = "monitors.lock"

_NAMED = {"paddr": 0, "kernel-damon": 1}
"""Offsets of targets that are no process: pid 0 is nobody's."""

_START_BITS = 40  # of the start time in ticks: 348 years at 100 Hz
_FLOCK = struct.Struct("@hhqqi")
_MOST = 1 << 62
_HALF_MADE = 0o700  # mode of the directory before anybody may use it
LISTED = 200
"""Locks of others that are listed, in each directory. The kernel goes through all locks of the file for each, and
anybody can take any number of them."""


@dataclass(frozen=True, slots=True)
class HeldLocks:
    """The holders of targets by name ("process 123"), and whether there are more that are not listed."""

    holders: dict[str, str]
    more: bool


class Lock:
    """A held lock; `file` is None where no directory could be written and nothing is locked. `agent` is the connection
    over which the agent gave the target, and takes it back once that is closed."""

    def __init__(self, file: _File | None, offset: int) -> None:
        self._file, self._offset = file, offset
        self.agent: socket.socket | None = None

    @property
    def real(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        """Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            _files.release(file, self._offset)
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.close()


class _File:
    """An open lock file, and the bytes of it that this process holds."""

    def __init__(self, fd: int) -> None:
        self.fds = [fd]
        self.held: set[int] = set()

    def take(self, offset: int) -> str:
        """Lock a byte; "" when that was done, else who holds it."""
        if offset in self.held:
            return f"process {os.getpid()}"
        while True:
            try:
                fcntl.lockf(self.fds[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except (BlockingIOError, PermissionError):
                if holder := self.holder(offset):
                    return holder
                continue  # given up between the two questions
            self.held.add(offset)
            return ""

    def holder(self, offset: int) -> str:
        """The holder of a byte, "" if it is free."""
        if offset in self.held:
            return f"process {os.getpid()}"
        found, _ = _foreign(self.fds[0], offset, offset + 1)
        return next((holder for *_, holder in found), "")


class _Files:
    """The lock files that this process has open; from several threads."""

    def __init__(self) -> None:
        self._guard = threading.RLock()
        self._open: dict[tuple[int, int], _File] = {}

    def take(self, directory: Path, offset: int) -> tuple[_File | None, str]:
        """(the file in which the byte is locked now, ""), or (None, who holds it or "" where that cannot be told)."""
        with self._guard:
            while (file := self._opened(directory, writing=True)) is not None:
                try:
                    if holder := file.take(offset):
                        return None, holder
                    if self._is_at(file, directory):
                        return file, ""
                    # Somebody removed the file since we looked: others lock a new one.
                    self.release(file, offset)
                except OSError:  # a file system without locks
                    return None, ""
                except OutOfFiles:
                    self.release(file, offset)
                    raise
                finally:
                    self._close_unused(file)
            return None, self.holder(directory, offset)

    def release(self, file: _File, offset: int) -> None:
        with self._guard:
            if offset in file.held:  # not in a process that was forked off the holder
                file.held.discard(offset)
                fcntl.lockf(file.fds[0], fcntl.LOCK_UN, 1, offset)
            self._close_unused(file)

    def holder(self, directory: Path, offset: int) -> str:
        """The holder of a byte, "" if it is free or the holder is unknown."""
        with self._guard:
            file = self._opened(directory, writing=False)
            if file is None:
                return ""
            try:
                return file.holder(offset)
            except OSError:
                return ""
            finally:
                self._close_unused(file)

    def held(self, directory: Path) -> tuple[dict[int, str], bool]:
        """Bytes that are locked and who holds each, and whether there are more."""
        with self._guard:
            file = self._opened(directory, writing=False)
            if file is None:
                return {}, False
            try:
                found, more = _foreign(file.fds[0], 0, _MOST)
                holders = {start: holder for start, _, holder in found}
                return holders | {offset: f"process {os.getpid()}" for offset in file.held}, more
            except OSError:
                return {}, False
            finally:
                self._close_unused(file)

    def forget(self) -> None:
        """In a process that was forked off: it has the descriptors, and none of the locks."""
        self._guard = threading.RLock()
        for file in self._open.values():
            file.held.clear()
            for fd in file.fds:
                os.close(fd)
        self._open.clear()

    def _opened(self, path: Path, *, writing: bool) -> _File | None:
        directory = _open_directory(path)
        if directory is None:
            return None
        try:
            known = self._known(directory)
            if known is not None:
                return known
            fd = _open(directory) if writing else _open_existing(directory, os.O_RDONLY)
        finally:
            os.close(directory)
        if fd is None:
            return None
        there = os.fstat(fd)
        key = there.st_dev, there.st_ino
        if key in self._open:  # it was put back between our two looks: closing this would give its locks up
            self._open[key].fds.append(fd)
        return self._open.setdefault(key, _File(fd))

    def _known(self, directory: int) -> _File | None:
        try:
            there = os.stat(FILE, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return None
        return self._open.get((there.st_dev, there.st_ino))

    def _is_at(self, file: _File, path: Path) -> bool:
        directory = _open_directory(path)
        if directory is None:
            return False
        try:
            return self._known(directory) is file
        finally:
            os.close(directory)

    def _close_unused(self, file: _File) -> None:
        if file.held:
            return
        for key in [key for key, opened in self._open.items() if opened is file]:
            del self._open[key]
            for fd in file.fds:
                os.close(fd)


_files = _Files()
os.register_at_fork(after_in_child=_files.forget)


def take_lock(name: str, what: str, roots: Roots) -> Lock:
    """Lock the target called `name` ("PID-STARTTIME", "paddr", "kernel-damon"); `what` names it in the error. A process
    that the agent has is asked of it.

    Raises TargetBusy, naming the holder; OutOfFiles, where no descriptor is left to find out or to lock it.
    """
    try:
        return _take(name, what, roots)
    except TargetBusy:
        agent = None if name in _NAMED else ask_for(int(name.split("-")[0]), lock_holder(name, roots), roots)
        if agent is None:
            raise
    try:
        lock = _take(name, what, roots)
    except BaseException:
        agent.close()
        raise
    lock.agent = agent
    return lock


def _take(name: str, what: str, roots: Roots) -> Lock:
    offset = _offset(name)
    taken = Lock(None, offset)
    try:
        for directory in roots.locks:
            if taken.real or not _make(directory):
                holder = _files.holder(directory, offset)
            else:
                file, holder = _files.take(directory, offset)
                taken = Lock(file, offset)
            if holder:
                raise TargetBusy(f"{what} is already watched by {_words_of(holder, roots.proc)}.")
    except BaseException:
        taken.release()
        raise
    return taken


def _words_of(holder: str, proc: Path) -> str:
    """A holder ("process 5"), and what to do about it. An agent that gave nothing away listens somewhere else."""
    pid = holder.removeprefix("process ")
    if pid.isdecimal() and is_agent(int(pid), proc):
        return f"the agent ({holder}); name its socket in {PLACE}, for it to hand over, or end it first"
    return f"another monitor ({holder}); end that one first, or use its recording"


def held_locks(roots: Roots) -> HeldLocks:
    """The targets that monitors hold now: of other processes at most LISTED in each directory."""
    holders: dict[str, str] = {}
    more = False
    for directory in roots.locks:
        held, left_out = _files.held(directory)
        holders |= {_name(offset): holder for offset, holder in sorted(held.items())}
        more |= left_out
    return HeldLocks(holders, more)


def lock_holder(name: str, roots: Roots) -> str:
    """The current holder of the target `name` ("process 123"), "" if it is free."""
    return next(filter(None, (_files.holder(directory, _offset(name)) for directory in roots.locks)), "")


def _offset(name: str) -> int:
    if name in _NAMED:
        return _NAMED[name]
    pid, start_time = map(int, name.split("-"))
    return pid << _START_BITS | start_time & (1 << _START_BITS) - 1


def _name(offset: int) -> str:
    known = next((name for name, at in _NAMED.items() if at == offset), None)
    return known or f"{offset >> _START_BITS}-{offset & (1 << _START_BITS) - 1}"


def _foreign(fd: int, start: int, end: int) -> tuple[list[tuple[int, int, str]], bool]:
    """(start, end, holder) of locked ranges in [start, end), in no order, and whether there are more than LISTED.
    Raises OSError.

    The kernel reports one lock in a range, so the parts before and behind that lock are queried again.
    """
    found: list[tuple[int, int, str]] = []
    waiting = [(start, end)]
    while waiting:
        start, end = waiting.pop()
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, end - start, 0)
        kind, _, first, size, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
        if kind == fcntl.F_UNLCK:
            continue
        if len(found) == LISTED:
            return found, True
        last = min(first + size, end) if size else end  # size 0: up to the end of all files
        first = max(first, start)
        found.append((first, last, f"process {pid}" if pid > 0 else "its pid is not known"))
        waiting += [part for part in ((start, first), (last, end)) if part[0] < part[1]]
    return found, False


def _make(path: Path) -> bool:
    """Make the directory where it is not there; False where it cannot be. One of ours that was left half made, by a
    process that was killed or had no descriptor to spare, is completed."""
    try:
        os.mkdir(path, _HALF_MADE)
    except FileExistsError:
        try:
            if stat.S_IMODE(os.lstat(path).st_mode) != _HALF_MADE:
                return True
        except OSError:
            return False
    except OSError:
        return False
    directory = _open_directory(path, os.O_RDONLY)
    if directory is None:
        return False
    try:
        if os.fstat(directory).st_uid == os.geteuid():
            os.fchmod(directory, 0o1777)  # not by mkdir: the umask would take bits away
    finally:
        os.close(directory)
    return True


def _open_directory(path: Path, how: int = os.O_PATH) -> int | None:
    """A descriptor of the directory; None where there is none, or a link to one."""
    try:
        return open_file(path, how | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None


def _open(directory: int) -> int | None:
    """A descriptor of the lock file that may take locks, None where there can be none."""
    for _ in range(100):
        try:
            os.stat(FILE, dir_fd=directory, follow_symlinks=False)
        except OSError:
            pass  # it is not there
        else:
            return _open_existing(directory, os.O_RDWR)
        try:
            return _create(directory)
        except FileExistsError:
            continue
        except OSError as error:
            refuse_if_full(error)
            return None
    return None


def _create(directory: int) -> int:
    """Make the file with its mode at once: who finds it without may not open it. Raises OSError."""
    fresh = NewFile(directory)
    try:
        os.fchmod(fresh.fd, 0o666)
        fresh.give(FILE, replace=False)
        return fresh.take()
    finally:
        fresh.discard()


def _open_existing(directory: int, flags: int) -> int | None:
    """None for anything planted: a link of either kind leads nowhere, and nothing waits for a pipe's other end."""
    # No O_CREAT on a file that exists: fs.protected_regular refuses that for another user's file.
    careful = os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        looked = os.stat(FILE, dir_fd=directory, follow_symlinks=False)
        if not (stat.S_ISREG(looked.st_mode) and looked.st_nlink == 1):
            return None
        fd = os.open(FILE, flags | careful, dir_fd=directory)
    except OSError as error:
        refuse_if_full(error)
        return None
    if os.path.samestat(looked, os.fstat(fd)) and os.fstat(fd).st_nlink == 1:
        return fd
    os.close(fd)
    return None
