"""Actions on real processes, which are left unharmed. Without swap only memory of files can be paged out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.program import Program
from udamon.core.scheme import Action, Deed
from udamon.linux import features
from udamon.model import PAGE_SIZE, Range
from udamon.ops.acting.spared import Spared
from udamon.ops.acting.vaddr import VaddrActor
from udamon.ops.refaults import Refaults

MIB = 1 << 20

pytestmark = pytest.mark.needs("root", "process_madvise")

# Commands, one a line: `map NAME BYTES KIND [PATH]` (answers the address), `check NAME` (answers the sum of the
# first bytes of all pages), `touch NAME`, `lock NAME`, `fork`. Kinds: anon (2 MiB aligned, no huge pages asked for),
# private, shared and text (executable) of the file PATH, which is made.
PROGRAM = r"""
import ctypes, mmap, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mlock.argtypes = libc.munlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PAGE, HUGE, areas = 4096, 2 << 20, {}

def map_area(size, kind, path=""):
    if kind == "anon":
        base = libc.mmap(None, size + HUGE, 3, 0x22, -1, 0)
        area = (ctypes.c_char * size).from_address(-(-base // HUGE) * HUGE)
        for page in range(0, size, PAGE):
            area[page] = page // PAGE % 251
        return area
    with open(path, "w+b") as file:
        for page in range(size // PAGE):
            file.write(bytes([page % 251]) * PAGE)
        file.flush()
        os.fsync(file.fileno())
        flags = {"private": 2, "shared": 1, "text": 2}[kind]
        prot = 5 if kind == "text" else 1 if kind == "private" else 3
        return (ctypes.c_char * size).from_address(libc.mmap(None, size, prot, flags, file.fileno(), 0))

while line := sys.stdin.readline():
    command, *words = line.split()
    answer = "done"
    if command == "map":
        area = areas[words[0]] = map_area(int(words[1]), *words[2:])
        answer = ctypes.addressof(area)
    elif command == "check":
        area = areas[words[0]]
        answer = sum(area[page][0] for page in range(0, len(area), PAGE))
    elif command == "lock":
        area = areas[words[0]]
        answer = libc.mlock(ctypes.addressof(area), len(area))
    elif command == "fork":
        answer = os.fork()
        if not answer:
            time.sleep(600)
            os._exit(0)
    print(answer, flush=True)
"""


class Worker(Program):
    """The running program."""

    def area(self, name: str, size: int, kind: str, path: Path | None = None) -> Range:
        """A new area, all of it resident."""
        start = int(self.tell("map", name, size, kind, path or ""))
        assert int(self.tell("check", name)) == content(size)
        return Range(start, start + size)

    def intact(self, name: str, area: Range) -> bool:
        return int(self.tell("check", name)) == content(area.size)


def content(size: int) -> int:
    return sum(page % 251 for page in range(size // PAGE_SIZE))


@pytest.fixture
def worker() -> Iterator[Worker]:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


@pytest.fixture
def actor() -> Iterator[VaddrActor]:
    with contextlib.closing(VaddrActor(refaults=Refaults())) as made:
        yield made


def test_pageout_of_file_memory_moves_it_and_harms_nothing(worker: Worker, tmp_path: Path) -> None:
    refaults = Refaults()
    actor = VaddrActor(refaults=refaults)
    area = worker.area("f", 8 * MIB, "private", tmp_path / "f")
    assert actor.missing(Deed(Action.PAGEOUT)) is None
    applied = actor.apply(worker.target(), *area, Deed(Action.PAGEOUT))
    assert applied.applied == area.size
    assert applied.moved == area.size
    assert (refaults.look(), refaults.watched) == (0, area.size)
    assert worker.intact("f", area)
    assert refaults.look() == area.size == refaults.bytes
    assert refaults.watched == 0
    again = actor.apply(worker.target(), *area, Deed(Action.PAGEOUT))
    assert again.moved == area.size
    actor.close()


@pytest.mark.parametrize("action", [Action.COLD, Action.LRU_DEPRIO, Action.WILLNEED])
def test_advice_that_moves_nothing(worker: Worker, actor: VaddrActor, action: Action) -> None:
    area = worker.area("a", 8 * MIB, "anon")
    assert actor.missing(Deed(action)) is None
    applied = actor.apply(worker.target(), *area, Deed(action))
    assert applied.applied == area.size
    assert applied.moved is None
    assert worker.intact("a", area)


@pytest.mark.skipif(features.has_swap(), reason="this machine has swap")
def test_without_swap_anonymous_memory_is_advised_and_does_not_move(
    worker: Worker, actor: VaddrActor
) -> None:
    area = worker.area("a", 4 * MIB, "anon")
    applied = actor.apply(worker.target(), *area, Deed(Action.PAGEOUT))
    assert (applied.applied, applied.moved) == (area.size, 0)


def test_executable_locked_and_shared_memory_is_left_unless_asked_for(
    worker: Worker, actor: VaddrActor, tmp_path: Path
) -> None:
    text = worker.area("t", 2 * MIB, "text", tmp_path / "t")
    locked = worker.area("l", 2 * MIB, "private", tmp_path / "l")
    assert worker.tell("lock", "l") == "0"
    shared, child = worker.area("s", 2 * MIB, "anon"), int(worker.tell("fork"))
    for area in (text, locked):
        applied = actor.apply(worker.target(), *area, Deed(Action.PAGEOUT))
        assert (applied.applied, applied.moved or 0) == (0, 0)
    assert (actor.left["text"], actor.left["locked"]) == (text.size, locked.size)
    applied = actor.apply(worker.target(), *shared, Deed(Action.PAGEOUT))
    assert (applied.applied, actor.left["shared"]) == (0, shared.size)
    bold = VaddrActor(spared=Spared(locked=False, shared=False, text=False))
    assert bold.apply(worker.target(), *text, Deed(Action.PAGEOUT)).moved == text.size
    applied = bold.apply(worker.target(), *locked, Deed(Action.PAGEOUT))
    assert (applied.applied, applied.moved) == (0, 0), "the kernel itself leaves locked memory"
    assert bold.apply(worker.target(), *shared, Deed(Action.PAGEOUT)).applied == shared.size
    bold.close()
    os.kill(child, signal.SIGKILL)


def test_a_target_that_is_gone_is_no_bytes(worker: Worker, actor: VaddrActor, tmp_path: Path) -> None:
    area = worker.area("f", 2 * MIB, "private", tmp_path / "f")
    target = worker.target()
    assert actor.apply(target, *area, Deed(Action.PAGEOUT)).applied == area.size
    worker._process.kill()
    worker._process.wait()
    for action in (Action.PAGEOUT, Action.COLD, Action.WILLNEED):
        assert actor.apply(target, *area, Deed(action)) == (0, 0, None)
