"""Serving trees through FUSE: mounted, ready, unmounted; and the remains of a server that was killed."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from udamon import extras
from udamon.control.files import Files
from udamon.control.served import FuseOperations
from udamon.errors import CannotError, NotPermitted, NotSupported
from udamon.linux.mounts import detach, mount_points

NAME = "udamon"
"""/proc/mounts calls it udamon, of the type fuse.udamon."""

NAMES_S = 3600

_LIBRARY = "FUSE_LIBRARY_NAME"
"""The variable that tells mfusepy what to look for."""


class Mount(NamedTuple):
    """A tree and where it is served."""

    point: Path
    files: Files


class ServedPaths(NamedTuple):
    """Where a server serves: the files of sysfs, those of debugfs, and the stream of events."""

    new: Path
    old: Path | None = None
    events: Path | None = None


def mfusepy() -> ModuleType:
    """Raises MissingExtra, or NotSupported where the machine has no libfuse3."""
    try:
        with _looks_for_libfuse3():
            import mfusepy as module
    except ImportError:
        raise extras.missing("serving files", "control") from None
    except OSError:
        raise NotSupported("serving files needs libfuse: install libfuse3-3 or fuse3.") from None
    found: ModuleType = module
    return found


@contextmanager
def _looks_for_libfuse3() -> Iterator[None]:
    """It would prefer libfuse 2, and where that is not installed start a compiler and a linker to look for it."""
    if _LIBRARY in os.environ:
        yield
        return
    os.environ[_LIBRARY] = "fuse3"
    try:
        yield
    finally:
        del os.environ[_LIBRARY]  # not for commands that are started


def prepare(point: Path) -> None:
    """Clear what a killed server left there, and see that something can be mounted. Raises CannotError."""
    try:
        point.stat()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise CannotError(f"{point}: {error.strerror}; make the directory first.") from None
        unmount(point)
    if not point.is_dir():
        raise CannotError(f"{point} is no directory; give one that is empty.")
    if os.listdir(point):
        raise CannotError(f"{point} is not empty; give a directory that is.")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise NotSupported("/dev/fuse cannot be opened; load the module fuse, or run as root.")
    if os.geteuid() != 0 and shutil.which("fusermount3") is None:
        raise NotPermitted("mounting as a user needs fusermount3: install fuse3, or run as root.")


def unmount(point: Path) -> None:
    """Take the mount off, used or not. Raises CannotError."""
    if os.geteuid() == 0:
        try:
            detach(point)
        except OSError as error:
            raise CannotError(f"{point} cannot be unmounted: {error.strerror}.") from error
        return
    done = subprocess.run(["fusermount3", "-u", "-z", str(point)], capture_output=True, text=True)
    if done.returncode:
        raise CannotError(f"{point} cannot be unmounted: {done.stderr.strip()}.")


def serve(mounts: Sequence[Mount], ready: Callable[[], None] = lambda: None) -> None:
    """Serve until a signal (SIGINT, SIGTERM, SIGHUP) or until one of them is unmounted; then all are.

    `ready` is called once, when all answer. Only on the main thread of a process. Raises CannotError.
    """
    module = mfusepy()
    for mount in mounts:
        prepare(mount.point)
    *others, last = mounts
    # libfuse's signals go to the file system that came last: it must be the one of this thread.
    sessions = [_MountSession(module, mount, lambda: unmount(last.point)) for mount in others]
    failed = [session.failure for session in sessions if session.failure is not None]
    try:
        if not failed:
            _run(module, last, ready)
    except RuntimeError as error:
        failed.append(error)
    finally:
        quiet = (
            _CapturedMessages()
        )  # libfuse thinks of its signals as one file system's and says so when others end
        for session in sessions:
            session.end()
        quiet.end()
    if failed:
        raise CannotError(f"nothing could be mounted at {last.point}: {failed[0]}.")


class _MountSession:
    """A file system on a thread of its own; made when it answers, or has failed."""

    def __init__(self, module: ModuleType, mount: Mount, ended: Callable[[], None]) -> None:
        self.failure: Exception | None = None
        self._mount = mount
        self._ended = ended
        self._ending = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(module,), daemon=True)
        self._thread.start()
        self._ready.wait()

    def _work(self, module: ModuleType) -> None:
        try:
            _run(module, self._mount, self._ready.set)
        except RuntimeError as error:
            self.failure = error
        finally:
            if self._ready.is_set() and not self._ending:
                self._ended()
            self._ready.set()

    def end(self) -> None:
        self._ending = True
        if str(self._mount.point.resolve()) in mount_points():
            unmount(self._mount.point)
        self._thread.join()


def _run(module: ModuleType, mount: Mount, ready: Callable[[], None]) -> None:
    """Serve one tree. Raises RuntimeError with what libfuse said, if it never came to answer."""
    quiet = _CapturedMessages()

    def answers() -> None:
        quiet.end()
        ready()

    # Unmounting itself after a kill is fusermount3's art; without it the next start clears up (prepare).
    options = {"auto_unmount": True} if shutil.which("fusermount3") else {}
    try:
        _file_system(module)(
            FuseOperations(mount.files, answers),
            str(mount.point),
            foreground=True,
            fsname=NAME,
            subtype=NAME,
            direct_io=True,
            # Files come and go by what is written elsewhere, so whether one is there is always asked. Only which
            # name was which is remembered: it saves a question for each directory on the way. To remember more would
            # save next to nothing: whatever is read or written must be asked for again, for its times.
            attr_timeout=0,
            entry_timeout=NAMES_S,
            negative_timeout=0,
            **options,
        )
    except RuntimeError as error:
        said = quiet.end()
        if said is not None:
            raise RuntimeError(said or f"its status is {error}") from None
        # A signal ended it, which libfuse counts as a failure.
    finally:
        quiet.end()


def _file_system(module: ModuleType) -> Callable[..., object]:
    """mfusepy's class with a getattr of its own: that is half of all calls, and there are but a few answers to it."""
    base: Any = module.FUSE
    answers: dict[int, bytes] = {}

    class FileSystem(base):  # type: ignore[misc]
        def getattr_fuse_3(self, path: bytes, buf: Any, fip: object) -> int:
            served: FuseOperations = self.operations
            mode = served.mode(path.decode(self.encoding, self.errors))
            answer = answers.get(mode)
            if answer is None:
                stat = module.c_stat()
                module.set_st_attrs(stat, served.attributes(mode), use_ns=True)
                answer = answers[mode] = bytes(stat)
            ctypes.memmove(buf, answer, len(answer))
            return 0

    return FileSystem


class _CapturedMessages:
    """What libfuse has to say meanwhile is kept: of its complaints only those matter that come with a failure
    (version 3.14 complains of its own default each time)."""

    def __init__(self) -> None:
        self._kept = os.memfd_create("stderr", os.MFD_CLOEXEC)
        self._real: int | None = os.dup(2)
        os.dup2(self._kept, 2)

    def end(self) -> str | None:
        """Let it speak again; returns what it said, None when it could speak already."""
        if self._real is None:
            return None
        os.dup2(self._real, 2)
        os.close(self._real)
        self._real = None
        text = os.pread(self._kept, 1 << 16, 0).decode(errors="replace")
        os.close(self._kept)
        return "; ".join(line for line in text.splitlines() if line)
