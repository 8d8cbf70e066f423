"""Programs to watch, and ways to be somebody else, for the integration tests."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pwd
import signal
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from tests.waiting import until

MIB = 1 << 20

# A and B between inaccessible guard pages, so that each is a mapping of its own; both made resident, then
# only A touched, page by page, for ever, with rests: more than once in any window of a test, and other processes
# have the processor, too. Without huge pages and larger than any TLB.
PROGRAM = """
import ctypes, mmap, os, sys, time
size, mode = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
base = libc.mmap(None, 2 * size + 3 * 4096, 0, 0x22, -1, 0)
a, b = base + 4096, base + size + 2 * 4096
for area in (a, b):
    libc.mprotect(area, size, 3)
    libc.madvise(area, size, 15)
    libc.memset(area, 1, size)
print(a, b, flush=True)
while mode == "touch":
    libc.memset(a, 2, size)
    time.sleep(0.005)
sys.stdin.read()
"""


class Watched(NamedTuple):
    """A running PROGRAM: areas A (touched) and B (not) of `size` bytes each."""

    process: subprocess.Popen[bytes]
    size: int
    a: int
    b: int

    @property
    def pid(self) -> int:
        return self.process.pid


@contextlib.contextmanager
def running(size: int = 16 * MIB, mode: str = "touch") -> Iterator[Watched]:
    """A process of this user that has touched all of A and B, and goes on with A ("touch") or rests."""
    with started([sys.executable, "-c", PROGRAM, str(size), mode]) as process:
        a, b = map(int, _line(process.stdout).split())
        yield Watched(process, size, a, b)


@contextlib.contextmanager
def started(command: list[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Any command with pipes at both ends; ended when left."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def hang_ups_end() -> Iterator[None]:
    """Programs started meanwhile are ended by SIGHUP, as in a terminal, even where pytest itself ignores it (nohup)."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _line(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.readline().decode()


def become_nobody() -> None:
    """In a forked child of root: be the user nobody for good, and an ordinary (dumpable) process of it."""
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which setuid took away


@contextlib.contextmanager
def forked(work: Callable[[], None], *, nobody: bool = False, dumpable: bool = True) -> Iterator[int]:
    """The pid of a child that has done `work` and now rests. It needs no program file nobody could read."""
    ready, ready_end = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            if nobody:
                become_nobody()
            if not dumpable:
                ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
            work()
            os.write(ready_end, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(ready_end)
    try:
        assert os.read(ready, 1) == b"1"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def as_nobody(check: Callable[[], None]) -> None:
    """Run `check` as the user nobody; fails with its traceback if it raises."""

    def work() -> None:
        become_nobody()
        check()

    in_child(work)


def in_child(work: Callable[[], None]) -> None:
    """Run `work` in a forked child; fails with its traceback if it raises."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode()[:60_000])
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as report:
        text = report.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, text or f"the child ended with status {status}"


def full_device(place: Path) -> Path:
    """A node of the kernel's full device in a directory of the test: a fault must not replace the system's. Root."""
    node = place / "full"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
    return node


def remove_group(directory: Path) -> None:
    """Remove a control group, as soon as the kernel is done with processes that have ended in it."""

    def removed() -> bool:
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    until(removed)
