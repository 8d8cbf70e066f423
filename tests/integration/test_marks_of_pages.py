"""What sets the page's own "referenced" flag, which `refs` counts beside accessed bits, and what sets accessed bits of
pages that nobody accessed: why a lower bound for shared memory follows from page frames and their flags alone, even
where all that map it are watched. Two processes are looked at in each test, so frames are read where they may be."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.programs import MIB, in_child
from udamon.core.target import Target
from udamon.linux import features, procfs
from udamon.model import PAGE_SIZE
from udamon.native._native import address_of
from udamon.ops.base import Shared, Touched
from udamon.ops.refs import Refs
from udamon.ops.tlb import way

pytestmark = pytest.mark.needs("clear_refs")

SIZE = 16 * MIB
AROUND = 16
"""Pages that the kernel maps at a first read, where they are there: fault_around_bytes, 64 KiB by default."""


def memory(kind: int) -> mmap.mmap:
    area = mmap.mmap(-1, SIZE, kind | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, SIZE, PAGE_SIZE):
        area[page] = 1
    return area


def read(area: mmap.mmap, step: int = 1) -> None:
    for page in range(0, SIZE, step * PAGE_SIZE):
        area[page]


@contextmanager
def member(work: Callable[[], None]) -> Iterator[tuple[int, Callable[[], None]]]:
    """A child that has the same memory: its pid, and what has it do `work` and then rest."""
    (start, started), (ready, done) = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.read(start, 1)
            work()
            os.write(done, b"1")
            signal.pause()
        finally:
            os._exit(1)

    def go() -> None:
        os.write(started, b"1")
        assert os.read(ready, 1) == b"1"

    try:
        yield pid, go
    finally:
        if pid in children():
            end(pid)
        for number in (start, started, ready, done):
            os.close(number)


def children() -> list[int]:
    return procfs.children(os.getpid())


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Group:
    """Processes that are looked at together, not for the first time, and what is told of `area` in each."""

    def __init__(self, area: mmap.mmap, *pids: int) -> None:
        self.start = address_of(area)
        self.targets = [Target(n, pid, procfs.read_stat(pid).start_time) for n, pid in enumerate(pids)]
        self.refs = Refs(tlb=way())
        self.refs.begin(self.targets)
        for target in self.targets:
            self.refs.look(target)
            self.refs.prepare(target)

    def look(self) -> list[tuple[Touched, Shared]]:
        found = []
        self.refs.begin(self.targets)
        for target in self.targets:
            seen, shared = self.refs.look(target), self.refs.shared(target)
            assert shared is not None
            (known,) = [
                (one, other)
                for one, other in zip(seen, shared, strict=True)
                if one.start <= self.start < one.end
            ]
            assert known[1] is not None
            found.append((known[0], known[1]))
        return found

    def pss(self) -> int:
        """Bytes of the area by Pss, of all members: as many as there are where nobody else maps it."""
        total = 0
        for target in self.targets:
            entries = Path(f"/proc/{target.pid}/smaps").read_text().split("VmFlags:")
            (entry,) = [text for text in entries if f"{self.start:x}-" in text]
            total += int(entry.split("\nPss:")[1].split()[0]) << 10
        return total


@contextmanager
def resting(area: mmap.mmap) -> Iterator[int]:
    """A member that has all of the memory mapped, and rests."""
    with member(lambda: read(area)) as (pid, go):
        go()
        yield pid


def nothing_is_sure(found: list[tuple[Touched, Shared]]) -> None:
    assert [shared.touched_min for _, shared in found] == [0] * len(found)


def test_while_nobody_does_anything_nothing_is_touched() -> None:
    """Else the other tests say nothing."""
    area = memory(mmap.MAP_SHARED)
    with member(lambda: read(area)) as (pid, go):
        go()
        group = Group(area, os.getpid(), pid)
        found = group.look()
    assert [touched.touched for touched, _ in found] == [0, 0]
    assert [touched.resident for touched, _ in found] == [SIZE, SIZE]


@contextmanager
def reading(area: mmap.mmap, size: int) -> Iterator[tuple[int, Callable[[], None]]]:
    """A member that reads the first `size` bytes of the memory over and over, without page faults after a while; and
    what waits until it has read all of them once more."""
    rounds = mmap.mmap(-1, 8, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)

    def work() -> None:
        while True:
            for page in range(0, size, PAGE_SIZE):
                area[page]
            rounds[:] = (int.from_bytes(rounds, "little") + 1).to_bytes(8, "little")

    def wait(number: int = 3) -> None:
        begin = int.from_bytes(rounds, "little")
        while int.from_bytes(rounds, "little") < begin + number:
            time.sleep(0.001)

    if (pid := os.fork()) == 0:
        try:
            work()
        finally:
            os._exit(1)
    try:
        wait(100)
        yield pid, wait
    finally:
        end(pid)


@pytest.mark.needs("root")
@pytest.mark.skipif(not features.frame_numbers(), reason="page frames may not be seen")
@pytest.mark.parametrize("share", [1, 4])
def test_what_is_read_again_is_sure(share: int) -> None:
    """Nothing was mapped in the window and no frame is marked, so it was the member itself that accessed the pages.
    Those that in-kernel DAMON has sampled are left out."""
    area = memory(mmap.MAP_SHARED)
    with reading(area, SIZE // share) as (pid, wait), resting(area) as other:
        group = Group(area, pid, other)
        wait()
        found = group.look()
    sure = [shared.touched_min for _, shared in found]
    # Of what is seen: what a TLB may hide even so is the subject of test_tlb.py.
    assert found[0][0].touched >= SIZE / share / 2
    assert 0.9 * found[0][0].touched <= sure[0] <= SIZE / share
    assert sure[1] == 0


@pytest.mark.needs("root")
def test_what_read_2_reads_is_not_sure() -> None:
    """Of a file that a member maps and does not access: marked once it is referenced, marked again active. Of what one
    accesses itself while others read a part of the file, the rest is sure."""
    fd = os.memfd_create("read")
    os.truncate(fd, SIZE)
    area = mmap.mmap(fd, SIZE)
    for page in range(0, SIZE, PAGE_SIZE):
        area[page] = 1
    with resting(area) as other:
        for times in (1, 2, 3):
            group = Group(area, os.getpid(), other)
            for _ in range(times):
                for page in range(0, SIZE, PAGE_SIZE):
                    os.pread(fd, 1, page)
            nothing_is_sure(group.look())
        group = Group(area, os.getpid(), other)
        read(area)
        os.pread(fd, SIZE // 2, 0)
        own, _ = group.look()
    os.close(fd)
    assert own[1].touched_min <= SIZE // 2


def test_a_first_read_touches_what_is_around() -> None:
    """All that map the memory are watched, and none of them ends: still a member that reads every sixteenth page has
    touched all, by its accessed bits."""
    area = memory(mmap.MAP_SHARED)
    with member(lambda: read(area, AROUND)) as (pid, go):
        group = Group(area, os.getpid(), pid)
        go()
        found = group.look()
        assert group.pss() == pytest.approx(SIZE, rel=0.01)
    idle, reading = found
    assert idle[0].touched == 0
    assert reading[0].touched >= 0.95 * SIZE, f"the truth is {SIZE // AROUND}"
    nothing_is_sure(found)


def test_what_is_dropped_and_mapped_again_is_not_sure() -> None:
    """As many pages are resident at both looks, and no frame is marked: that pages are new only page faults tell."""
    area = memory(mmap.MAP_SHARED)
    with resting(area) as other:
        group = Group(area, os.getpid(), other)
        area.madvise(mmap.MADV_DONTNEED)
        read(area, AROUND)
        found = group.look()
    reading, _ = found
    assert reading[0].resident >= 0.95 * SIZE
    assert reading[0].touched >= 0.95 * SIZE, f"the truth is {SIZE // AROUND}"
    nothing_is_sure(found)


def test_a_short_lived_child_hands_on_what_it_touched() -> None:
    """It begins and ends within the window: at both looks the idle members are all that map the memory."""
    area = memory(mmap.MAP_SHARED)
    with resting(area) as other:
        group = Group(area, os.getpid(), other)
        assert group.pss() == SIZE
        in_child(lambda: read(area))
        found = group.look()
        assert group.pss() == SIZE
    assert found[0][0].touched >= 0.95 * SIZE, "the truth is 0"
    nothing_is_sure(found)


def test_a_member_that_ends_hands_on_what_it_touched_before() -> None:
    """Its accesses were before the window of the others."""
    area = memory(mmap.MAP_SHARED)
    with member(lambda: read(area)) as (pid, go), resting(area) as other:
        go()
        group = Group(area, os.getpid(), other)
        end(pid)
        found = group.look()
    assert found[0][0].touched >= 0.95 * SIZE, "the truth is 0"
    nothing_is_sure(found)


@pytest.mark.needs("root")
@pytest.mark.parametrize("kind", [mmap.MAP_SHARED, mmap.MAP_PRIVATE])
def test_what_process_vm_readv_reads_is_touched(kind: int) -> None:
    """Of private memory, too: there it is taken for an access of the process itself."""
    area, reader = memory(kind), os.getpid()
    with resting(area) as other:
        read_from_outside_by(reader, area, kind, other)


def read_from_outside_by(reader: int, area: mmap.mmap, kind: int, other: int) -> None:
    group = Group(area, reader, other)

    def read_from_outside() -> None:
        copy = ctypes.create_string_buffer(SIZE)
        libc = ctypes.CDLL(None, use_errno=True)
        here, there = Place(ctypes.addressof(copy), SIZE), Place(address_of(area), SIZE)
        done = libc.process_vm_readv(reader, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        assert done == SIZE, os.strerror(ctypes.get_errno())

    in_child(read_from_outside)
    (touched, shared), _ = group.look()
    assert touched.touched >= 0.95 * SIZE
    assert shared.touched_min >= 0.95 * SIZE if kind == mmap.MAP_PRIVATE else shared.touched_min == 0


class Place(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))
