"""pte as a sampler on a made-up kcore: what is advised, what answers, and what does not.

The advice is real, on memory of this process; the page tables that lead to it are made up, so nothing is ever cleared
in them: what was accessed goes on showing so.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.fake_idle import HEAD, LRU, TAIL
from tests.unit.fake_kcore import ACCESSED as SET
from tests.unit.fake_kcore import LEAF, RAM_AT, SPECIAL, USER, VALID, FakeKcore, opened
from tests.unit.linux.test_fake import FakeProc
from udamon.core.policy import ACCESSED, NO_PAGE, NOT_ACCESSED, Answers, Slots
from udamon.core.target import Target
from udamon.errors import NotPermitted, NotSupported, UsageError
from udamon.linux.features import SystemCall
from udamon.linux.roots import Roots
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE
from udamon.native._native import address_of
from udamon.ops import pte_sampler
from udamon.ops.opening import open_sampler
from udamon.ops.pte_sampler import PteSampler

OWN = VALID | USER | 2
PRESENT, EXCLUSIVE = 1 << 63, 1 << 56
PAGES = 4 << 10  # mapped, of which the tables begin with the first whole huge page
TICK = 20_000_000
PROBE = 100
FRAMES = 1 << 12


class Machine:
    """A process, which is this one, with page tables of which tests say what is in them."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory = mmap.mmap(-1, PAGES * PAGE_SIZE)
        self.start = -(-address_of(self.memory) // HUGE_PAGE_SIZE) * HUGE_PAGE_SIZE
        (place / "proc").mkdir()
        self.fake = FakeProc(place / "proc")
        self.anonymous = True
        self.kcore = FakeKcore(place / "kcore", frames=1024)
        self.root = self.kcore.frame()
        self.page_map = place / "proc/9/pagemap"
        self.write_maps()
        self.make_page_map()
        (place / "proc/kpageflags").write_bytes(struct.pack("<Q", LRU) * FRAMES)
        self.flags = place / "proc/kpageflags"
        self.bitmap = place / "sys/kernel/mm/page_idle/bitmap"
        self.roots = Roots(place / "proc", place / "sys")
        self.opened = opened(self.kcore.path, self.kcore.virtual(self.root))
        monkeypatch.setattr(pte_sampler, "open_process", lambda process, root: os.pidfd_open(os.getpid()))
        self.probe = self.map(PROBE, 0)  # it proves that the tables are the process's own

    def write_maps(self, *, file: bool = False) -> None:
        end = self.start + PAGES // 2 * PAGE_SIZE + HUGE_PAGE_SIZE
        line = f"{self.start:x}-{end:x} rw-p 00000000 {'08:01 77 /file' if file else '00:00 0 '}\n"
        self.fake.process(9, start_time=100, maps=line, smaps="")

    def make_page_map(self) -> None:
        self.page_map.touch()
        self.put_page_map(2 * PAGES, 0)

    def address(self, page: int) -> int:
        return self.start + page * PAGE_SIZE

    def map(self, page: int, bits: int, *, exclusive: bool = True, frame: int | None = None) -> int:
        """Map a small page, and say so in the page map; returns its frame number."""
        physical = self.kcore.frame() if frame is None else frame
        self.kcore.map(self.root, self.address(page), physical | OWN | bits)
        self.put_page_map(page, PRESENT | (EXCLUSIVE if exclusive else 0) | physical // PAGE_SIZE)
        return physical // PAGE_SIZE

    def map_huge(self, page: int, bits: int) -> int:
        physical = HUGE_PAGE_SIZE
        self.kcore.map(self.root, self.address(page), physical | OWN | LEAF | bits, 1)
        for i in range(512):
            self.put_page_map(page + i, PRESENT | EXCLUSIVE | physical // PAGE_SIZE + i)
        return physical // PAGE_SIZE

    def put_page_map(self, page: int, entry: int) -> None:
        with self.page_map.open("r+b") as file:
            file.seek(self.address(page) // PAGE_SIZE * 8)
            file.write(struct.pack("<Q", entry))

    def flag(self, frame: int, flags: int) -> None:
        with self.flags.open("r+b") as file:
            file.seek(frame * 8)
            file.write(struct.pack("<Q", flags))

    def track_idle_pages(self) -> None:
        self.bitmap.parent.mkdir(parents=True)
        self.bitmap.write_bytes(bytes(FRAMES // 8))

    def idle(self) -> set[int]:
        bits = int.from_bytes(self.bitmap.read_bytes(), "little")
        return {frame for frame in range(FRAMES) if bits >> frame & 1}

    def entry(self, page: int, change: Callable[[int], int], level: int = 0) -> None:
        place = self.kcore.place(self.root, self.address(page), level)
        self.kcore.put_word(place, change(self.kcore.word(place)))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path, monkeypatch)
    yield made
    made.memory.close()


@pytest.fixture
def sampler(machine: Machine) -> Iterator[PteSampler]:
    made = PteSampler(machine.opened, machine.roots)
    yield made
    made.close()


TARGET = Target(4, 9, 100)


def check(
    machine: Machine, sampler: PteSampler, *pages: int, ticks: int = 1, span: int = 1, target: Target = TARGET
) -> Answers:
    slots = Slots()
    for page in pages:
        slots.add(0, machine.address(page), machine.address(page + 1), ticks if span == 1 else 1, span)
    return sampler.sample([target], slots, time.monotonic_ns(), ticks, TICK, seed=1)


def answers(machine: Machine, sampler: PteSampler, *pages: int) -> list[int]:
    return list(check(machine, sampler, *pages).answer)


def test_clear_pages_are_not_advised_and_read_as_they_are(machine: Machine, sampler: PteSampler) -> None:
    """Holes, the zero page, what is no RAM and pages of the kernel are no pages."""
    machine.map(0, 0)
    machine.map(1, SET | SPECIAL)
    machine.map(2, SET, frame=1 << 40)
    machine.map(3, 0)
    machine.entry(3, lambda entry: entry & ~USER)
    machine.put_page_map(3, 0)
    found = check(machine, sampler, 0, 1, 2, 3, 4, 100_000)
    assert list(found.answer) == [NOT_ACCESSED] + [NO_PAGE] * 5
    assert set(found.shift) == {12}
    assert dict(found.errnos) == {}
    assert (sampler.advised, sampler.advice_calls) == (0, 0)


def after_marks(machine: Machine, sampler: PteSampler, page: int, change: Callable[[], None]) -> Answers:
    """The answer when `change` comes between the marks and the look, of a try in which it did."""
    for _ in range(20):
        timer = threading.Timer(TICK * 5 / 1e9, change)
        begin = time.monotonic()
        timer.start()
        found = check(machine, sampler, page, ticks=20, span=20)
        if time.monotonic() - begin < TICK * 25 / 1e9:
            timer.join()
            return found
    raise AssertionError("this machine was too busy in every try: nothing was shown")


def test_an_access_between_marks_and_look_is_seen(machine: Machine, sampler: PteSampler) -> None:
    machine.map(0, 0)
    found = after_marks(machine, sampler, 0, lambda: machine.entry(0, lambda entry: entry | SET))
    assert list(found.answer) == [ACCESSED]


@pytest.mark.parametrize("change", ["frame", "table", "memory"])
def test_what_is_not_the_page_any_more_is_no_page(machine: Machine, sampler: PteSampler, change: str) -> None:
    machine.map(0, 0)
    other = machine.kcore.frame()

    def happens() -> None:
        if change == "frame":
            machine.entry(0, lambda _: other | OWN | SET)
        elif change == "table":
            machine.entry(0, lambda _: other | VALID | USER | 2, 1)
        else:
            machine.page_map.write_bytes(b"")

    assert list(after_marks(machine, sampler, 0, happens).answer) == [NO_PAGE]


def test_huge_pages_answer_as_wholes(machine: Machine, sampler: PteSampler) -> None:
    machine.map_huge(512, 0)
    found = check(machine, sampler, 512, 700, 1023)
    assert list(found.answer) == [NOT_ACCESSED] * 3
    assert set(found.shift) == {21}
    head = machine.map_huge(512, SET)
    for i in range(512):
        machine.flag(head + i, LRU | HEAD if i == 0 else TAIL)
    assert answers(machine, sampler, 512, 700, 1023) == [ACCESSED] * 3
    assert sampler.advised == 1, "three checks of one huge page are one range"


def test_accessed_pages_are_advised_many_in_a_call(machine: Machine, sampler: PteSampler) -> None:
    """What still shows accessed then was accessed again: it is on an LRU list, and nobody else maps it."""
    for page in range(1, 500, 2):
        machine.map(page, SET)
    found = check(machine, sampler, *range(1, 500, 2))
    assert set(found.answer) == {ACCESSED}
    assert (sampler.advised, sampler.advice_calls) == (250, 2)
    assert sampler.longest_pause_ns > 0


def test_a_short_pause_takes_smaller_calls(machine: Machine) -> None:
    sampler = PteSampler(machine.opened, machine.roots, max_pause_ns=1_000_000)  # 100 pages a call
    for page in range(250):
        machine.map(page, SET)
    check(machine, sampler, *range(250))
    assert (sampler.advised, sampler.advice_calls) == (250, 4)
    sampler.close()


def test_what_cannot_be_advised_does_not_stop_the_rest(machine: Machine, sampler: PteSampler) -> None:
    for page in range(4):
        machine.map(page, SET)
    ctypes.CDLL(None).munmap(ctypes.c_void_p(machine.address(2)), ctypes.c_size_t(PAGE_SIZE))
    assert answers(machine, sampler, 0, 1, 2, 3) == [ACCESSED, ACCESSED, NO_PAGE, ACCESSED]
    found = check(machine, sampler, 0, 1, 2, 3)
    assert dict(found.errnos) == {errno.ENOMEM: 1}


@pytest.mark.parametrize("tracked", [False, True])
def test_shared_pages(machine: Machine, tracked: bool) -> None:
    """Advice leaves them as they are. Marked idle their bits are cleared; otherwise there is no answer."""
    if tracked:
        machine.track_idle_pages()
    sampler = PteSampler(machine.opened, machine.roots)
    shared, waiting = machine.map(0, SET, exclusive=False), machine.map(1, SET)
    machine.flag(waiting, 0)  # on no LRU list
    assert answers(machine, sampler, 0, 1) == [ACCESSED if tracked else NO_PAGE, NO_PAGE]
    if tracked:
        assert machine.idle() == {shared}
    sampler.close()


def large(machine: Machine, first: int, frame: int) -> None:
    """Four accessed pages in frames that are one large page."""
    for i in range(4):
        machine.map(first + i, SET, frame=(frame + i) * PAGE_SIZE)
        machine.flag(frame + i, LRU | HEAD if i == 0 else TAIL)


@pytest.mark.parametrize("tracked", [False, True])
def test_parts_of_large_pages_are_never_advised(machine: Machine, tracked: bool) -> None:
    """That would split them. A file's are looked up; anonymous ones lie in memory as in the address space."""
    if tracked:
        machine.track_idle_pages()
    machine.write_maps(file=True)
    sampler = PteSampler(machine.opened, machine.roots)
    first = RAM_AT // PAGE_SIZE + 512
    large(machine, 1, first)
    machine.map(9, SET)
    expected = [ACCESSED if tracked else NO_PAGE] * 4
    assert answers(machine, sampler, 1, 2, 3, 4, 9) == [*expected, ACCESSED]
    assert sampler.advised == 1
    if tracked:
        assert machine.idle() == {first}
    sampler.close()


@pytest.mark.parametrize(("enabled", "advised"), [("never", 4), ("inherit", 0), ("madvise", 0)])
def test_the_smallest_large_page_of_anonymous_memory(machine: Machine, enabled: str, advised: int) -> None:
    place = machine.roots.sys / "kernel/mm/transparent_hugepage"
    sizes = {2048: "always", 16: enabled}
    for size, chosen in sizes.items():
        (place / f"hugepages-{size}kB").mkdir(parents=True)
        words = " ".join(f"[{w}]" if w == chosen else w for w in ("always", "inherit", "madvise", "never"))
        (place / f"hugepages-{size}kB/enabled").write_text(words)
    (place / "enabled").write_text("[always] madvise never")
    sampler = PteSampler(machine.opened, machine.roots)
    large(machine, 4, RAM_AT // PAGE_SIZE + 512)
    check(machine, sampler, 4, 5, 6, 7)
    assert sampler.advised == advised
    sampler.close()


def test_a_second_mark_does_not_wipe_out_what_a_long_check_must_see(
    machine: Machine, sampler: PteSampler
) -> None:
    """Accessed before it: the bit is read before it is cleared."""
    machine.map(0, 0)
    timer = threading.Timer(TICK * 2.5e-9, lambda: machine.entry(0, lambda entry: entry | SET))
    slots = Slots()
    slots.add(0, machine.address(0), machine.address(1), 1, 10)
    slots.add(0, machine.address(0), machine.address(1), 10, 1)
    timer.start()
    found = sampler.sample([TARGET], slots, time.monotonic_ns(), 10, TICK, seed=1)
    timer.join()
    assert found.answer[list(found.slot).index(0)] == ACCESSED


def test_processes_that_went_and_came_back(machine: Machine, sampler: PteSampler) -> None:
    """After an exec the page map that was open reads nothing; the new one is found, and nothing leaks."""
    machine.map(0, 0)
    assert answers(machine, sampler, 0) == [NOT_ACCESSED]
    before = len(os.listdir("/proc/self/fd"))
    old = machine.page_map.with_name("old")
    machine.page_map.rename(old)
    old.write_bytes(b"")
    machine.make_page_map()
    machine.map(1, 0)
    assert answers(machine, sampler, 0, 1) == [NOT_ACCESSED] * 2
    assert len(os.listdir("/proc/self/fd")) == before
    machine.page_map.write_bytes(b"")
    assert answers(machine, sampler, 0) == [NO_PAGE]
    assert len(os.listdir("/proc/self/fd")) == before - 2
    gone = Target(5, 9, 101)
    assert list(check(machine, sampler, 0, target=gone).answer) == [NO_PAGE]


def test_tables_that_are_not_one_process_leave_the_others_answered(
    machine: Machine, sampler: PteSampler
) -> None:
    """If page tables and page map of a process disagree, no page of it is sampled and its files are closed."""
    frame = machine.map(0, 0)
    other = Target(5, 8, 100)
    machine.fake.process(8, start_time=100, maps=(machine.page_map.parent / "maps").read_text(), smaps="")
    right = machine.page_map.parent.parent / "8/pagemap"
    for path, frames in (
        (right, {0: frame, PROBE: machine.probe, 2 * PAGES: 0}),
        (machine.page_map, {PROBE: 1}),
    ):
        with path.open("r+b" if path.exists() else "wb") as file:
            for page, number in frames.items():
                file.seek(machine.address(page) // PAGE_SIZE * 8)
                file.write(struct.pack("<Q", number and PRESENT | EXCLUSIVE | number))
    before = len(os.listdir("/proc/self/fd"))
    slots = Slots()
    for target in (0, 1):
        slots.add(target, machine.address(0), machine.address(1), 1)
    found = sampler.sample([TARGET, other], slots, time.monotonic_ns(), 1, TICK, seed=1)
    assert [found.answer[list(found.slot).index(slot)] for slot in (0, 1)] == [NO_PAGE, NOT_ACCESSED]
    assert list(sampler.refused) == [TARGET.index]
    assert isinstance(sampler.refused[TARGET.index], NotSupported)
    assert len(os.listdir("/proc/self/fd")) == before + 2


def test_a_process_whose_main_thread_has_ended_is_refused(machine: Machine, sampler: PteSampler) -> None:
    """A pidfd leads to the main thread, which has no memory: each of its pages would be none."""
    machine.map(0, 0)
    machine.fake.process(9, start_time=100, maps="", state="Z", threads=2)
    thread = machine.page_map.parent / "task/11"
    thread.mkdir()
    (thread / "stat").write_text("11 (x) S 1\n")
    (machine.page_map.parent / "task/9/stat").write_text("9 (x) Z 1\n")
    assert answers(machine, sampler, 0) == [NO_PAGE]
    assert "main thread of process 9 has ended" in str(sampler.refused[TARGET.index])


def test_who_may_not_advise(machine: Machine, sampler: PteSampler) -> None:
    with pytest.raises(NotPermitted, match="CAP_SYS_NICE"):
        sampler._refuse({errno.EPERM: 1})
    sampler._refuse({errno.ENOMEM: 1})


def test_kernels_without_the_call(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pte_sampler, "process_madvise", lambda root: SystemCall.MISSING)
    with pytest.raises(NotSupported, match=r"Linux 5\.10"):
        PteSampler(machine.opened, machine.roots)


def test_opening_takes_consent(machine: Machine) -> None:
    with pytest.raises(NotPermitted, match="with consent only"):
        open_sampler("pte", machine.roots)
    with pytest.raises(UsageError, match="choose idle or pte"):
        open_sampler("refs", machine.roots)
