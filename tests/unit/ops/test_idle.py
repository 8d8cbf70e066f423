"""The native sampler and the primitive idle, on a fake root: answers, spans, huge pages, failures, time."""

from __future__ import annotations

import errno
import functools
import os
import struct
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fake_idle import (
    HEAD,
    HUGETLB,
    LRU,
    PAGE,
    PRESENT,
    START_TIME,
    SWAPPED,
    TAIL,
    ZERO_PAGE,
    FakeIdle,
    Toucher,
)
from tests.unit.native_calls import named
from udamon.core.policy import ACCESSED, NO_PAGE, NOT_ACCESSED, Answers, Slots
from udamon.core.target import Target
from udamon.errors import NotPermitted, NotSupported, OutOfFiles
from udamon.linux.roots import Roots
from udamon.native._native import Sampled, idle_sample
from udamon.ops.idle import IdleSampler

PID = 4321
TICK = 80_000_000  # long enough for a toucher on a busy machine


@pytest.fixture
def fake(tmp_path: Path) -> FakeIdle:
    return FakeIdle(tmp_path)


@pytest.fixture
def sampler(fake: FakeIdle) -> Iterator[IdleSampler]:
    made = IdleSampler(fake.roots)
    yield made
    made.close()


TARGET = Target(0, PID, START_TIME)


def slots_of(*slots: tuple[int, int, int, int]) -> Slots:
    """(first page, pages, checks, span) each."""
    made = Slots()
    for first, pages, checks, span in slots:
        made.add(0, first * PAGE, (first + pages) * PAGE, checks, span)
    return made


def sample(sampler: IdleSampler, slots: Slots, ticks: int = 1, target: Target = TARGET) -> Answers:
    return sampler.sample([target], slots, time.monotonic_ns(), ticks, TICK, seed=1)


class Meanwhile:
    """Does something once a frame was marked idle, and so many ticks later; remembers when it was done.

    A busy machine may run it too late. A test therefore compares the time with that of the look, and tries again
    while it came after the look: what is not in the span proves nothing.
    """

    def __init__(self, fake: FakeIdle, frame: int, ticks: float, act: Callable[[], None]) -> None:
        self.done_ns = 0
        self._prepared: Callable[[], bool] = functools.partial(fake.is_idle, frame)
        self._ticks = ticks
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        while not self._prepared():
            time.sleep(0.001)
        time.sleep(self._ticks * TICK / 1e9)
        self._act()
        self.done_ns = time.monotonic_ns()


def in_time(tries: Iterator[tuple[Answers, int, int]]) -> Answers:
    """The answers of the first try in which something was done before the end of a tick.

    A try is what was answered, when it was done, and when that tick was due.
    """
    for answers, done_ns, due_ns in tries:
        if done_ns < due_ns:
            return answers
    raise AssertionError("this machine was too busy in every try: nothing was shown")


def while_touched(
    fake: FakeIdle, sampler: IdleSampler, frame: int, slots: Slots, ticks: int = 1, target: Target = TARGET
) -> Answers:
    """The answers of the first try in which `frame` was surely accessed within each tick."""
    for _ in range(20):
        fake.access([frame])
        with Toucher(fake, [frame]) as toucher:
            begin = time.monotonic_ns()
            answers = sampler.sample([target], slots, begin, ticks, TICK, seed=1)
        if toucher.in_each(begin, ticks, TICK):
            return answers
    raise AssertionError("this machine was too busy in every try: nothing was shown")


def frame_of(page: int) -> int:
    return 64 * (page + 1)


def test_hot_is_accessed_cold_is_not_and_nothing_is_no_page(fake: FakeIdle, sampler: IdleSampler) -> None:
    fake.process(PID, {page: PRESENT | frame_of(page) for page in (0, 1)} | {2: SWAPPED | 99})
    slots = slots_of((0, 1, 3, 1), (1, 1, 3, 1), (2, 1, 3, 1), (3, 1, 3, 1))
    answers = while_touched(fake, sampler, frame_of(0), slots, ticks=3)
    assert list(answers.hits) == [3, 0, 0, 0]
    assert list(answers.no_page) == [0, 0, 3, 3]
    assert answers.ticks == len(answers.late_ns) == 3
    assert sorted(zip(answers.slot, answers.answer, strict=True)) == (
        [(0, ACCESSED)] * 3 + [(1, NOT_ACCESSED)] * 3 + [(2, NO_PAGE)] * 3 + [(3, NO_PAGE)] * 3
    )
    assert set(answers.span) == {1}
    assert dict(answers.errnos) == {}


@pytest.mark.parametrize("flags", [0, LRU | HUGETLB | HEAD, LRU | ZERO_PAGE, HUGETLB | TAIL])
def test_pages_that_do_not_take_the_idle_bit_are_no_page(
    fake: FakeIdle, sampler: IdleSampler, flags: int
) -> None:
    """They read as not idle at once, which must not look like an access."""
    fake.process(PID, {0: PRESENT | 64})
    fake.flag(64, flags)
    answers = sample(sampler, slots_of((0, 1, 1, 1)))
    assert list(answers.answer) == [NO_PAGE]
    assert not fake.is_idle(64)


@pytest.mark.parametrize(("pages", "shift"), [(512, 21), (16, 16), (2, 13)])
def test_a_large_folio_answers_by_its_head(
    fake: FakeIdle, sampler: IdleSampler, pages: int, shift: int
) -> None:
    base = 1024 + (0 if pages == 512 else 3 * pages)
    for frame in range(base, base + pages):
        fake.flag(frame, HEAD | LRU if frame == base else TAIL)
    inside = base + pages // 2
    fake.process(PID, {0: PRESENT | inside})
    answers = sample(sampler, slots_of((0, 1, 1, 1)))
    assert (list(answers.answer), list(answers.shift)) == ([NOT_ACCESSED], [shift])
    assert fake.is_idle(base)
    assert list(while_touched(fake, sampler, base, slots_of((0, 1, 1, 1))).answer) == [ACCESSED]


def test_a_frame_that_moved_between_prepare_and_look_is_no_page(fake: FakeIdle, sampler: IdleSampler) -> None:
    def tries() -> Iterator[tuple[Answers, int, int]]:
        for _ in range(20):
            fake.process(PID, {0: PRESENT | 64, 1: PRESENT | 128})
            fake.access([64])
            with Meanwhile(fake, 64, 0.3, lambda: fake.map(PID, {0: PRESENT | 64 * 50})) as moved:
                begin = time.monotonic_ns()
                answers = sample(sampler, slots_of((0, 1, 1, 1), (1, 1, 1, 1)))
            yield answers, moved.done_ns, begin + TICK

    assert list(in_time(tries()).answer) == [NO_PAGE, NOT_ACCESSED]


def test_a_page_that_comes_in_the_middle_of_a_long_tick_is_found_at_the_next(
    fake: FakeIdle, sampler: IdleSampler
) -> None:
    """Pages of long ticks are found just before the tick begins, not a whole tick earlier."""
    tick = 6 * TICK

    def tries() -> Iterator[tuple[Answers, int, int]]:
        for _ in range(20):
            fake.process(PID, {1: PRESENT | 128})
            fake.access([128])
            with Meanwhile(fake, 128, 2, lambda: fake.map(PID, {0: PRESENT | 64})) as came:
                begin = time.monotonic_ns()
                slots = slots_of((0, 1, 2, 1), (1, 1, 2, 1))
                answers = sampler.sample([TARGET], slots, begin, 2, tick, seed=1)
            yield answers, came.done_ns, begin + tick - TICK

    answers = in_time(tries())
    first = [a for s, a in zip(answers.slot, answers.answer, strict=True) if s == 0]
    assert first == [NO_PAGE, NOT_ACCESSED]


def test_a_long_span_sees_one_access_in_the_middle(fake: FakeIdle, sampler: IdleSampler) -> None:
    fake.process(PID, {0: PRESENT | 64, 1: PRESENT | 128})

    def tries() -> Iterator[tuple[Answers, int, int]]:
        for _ in range(20):
            fake.access([64, 128])
            with Meanwhile(fake, 64, 1.5, lambda: fake.access([64])) as once:
                begin = time.monotonic_ns()
                answers = sample(sampler, slots_of((0, 1, 1, 4), (1, 1, 1, 4)), ticks=4)
            yield answers, once.done_ns, begin + 4 * TICK

    answers = in_time(tries())
    assert list(answers.answer) == [ACCESSED, NOT_ACCESSED]
    assert list(answers.span) == [4, 4]


def test_a_short_check_does_not_wipe_out_what_a_long_one_must_see(
    fake: FakeIdle, sampler: IdleSampler
) -> None:
    """Accessed in tick 0 only; then one-tick checks set the idle bit again and again."""
    fake.process(PID, {0: PRESENT | 64})

    def tries() -> Iterator[tuple[Answers, int, int]]:
        for _ in range(20):
            fake.access([64])
            with Meanwhile(fake, 64, 0.2, lambda: fake.access([64])) as once:
                begin = time.monotonic_ns()
                answers = sample(sampler, slots_of((0, 1, 1, 6), (0, 1, 6, 1)), ticks=6)
            yield answers, once.done_ns, begin + TICK

    answers = in_time(tries())
    by_slot = [[a for s, a in zip(answers.slot, answers.answer, strict=True) if s == i] for i in (0, 1)]
    assert by_slot[0] == [ACCESSED]
    assert by_slot[1] == [ACCESSED] + [NOT_ACCESSED] * 5


def test_withheld_frame_numbers_are_an_error_not_cold(fake: FakeIdle, sampler: IdleSampler) -> None:
    fake.process(PID, {0: PRESENT})
    with pytest.raises(NotPermitted, match="frame numbers"):
        sample(sampler, slots_of((0, 1, 1, 1)))


def test_physical_addresses_need_no_page_map(fake: FakeIdle, sampler: IdleSampler) -> None:
    slots = slots_of((64, 1, 1, 1), (128, 1, 1, 1))
    answers = while_touched(fake, sampler, 64, slots, target=Target(0))
    assert list(answers.answer) == [ACCESSED, NOT_ACCESSED]


def test_a_process_that_ended_or_whose_pid_was_reused_is_no_page(
    fake: FakeIdle, sampler: IdleSampler
) -> None:
    slots = slots_of((0, 1, 2, 1))
    assert list(sample(sampler, slots).answer) == [NO_PAGE, NO_PAGE]
    fake.process(PID, {0: PRESENT | 64}, start_time=START_TIME + 1)
    assert list(sample(sampler, slots).answer) == [NO_PAGE, NO_PAGE]


def test_an_address_space_that_ended_is_opened_anew(fake: FakeIdle, sampler: IdleSampler) -> None:
    """As after exec: the page map that was open reads nothing, the new one does."""
    fake.process(PID, {0: PRESENT | 64})
    slots = slots_of((0, 1, 1, 1))
    assert list(sample(sampler, slots).answer) == [NOT_ACCESSED]
    page_map = fake.roots.proc / str(PID) / "pagemap"
    old = page_map.with_name("old")
    page_map.rename(old)
    old.write_bytes(b"")
    page_map.write_bytes(struct.pack("<Q", PRESENT | 128))
    assert list(sample(sampler, slots).answer) == [NO_PAGE]
    assert list(sample(sampler, slots).answer) == [NOT_ACCESSED]


def test_interrupt_ends_within_a_tick_and_answers_for_what_was_prepared(
    fake: FakeIdle, sampler: IdleSampler
) -> None:
    fake.process(PID, {0: PRESENT | 64})
    timer = threading.Timer(TICK * 2.5e-9, sampler.interrupt)
    timer.start()
    answers = sample(sampler, slots_of((0, 1, 1_000, 1)), ticks=1_000)
    timer.join()
    assert 1 <= answers.ticks < 1_000
    assert answers.checks == answers.ticks, "one check a tick, and none that was not made"
    again = sample(sampler, slots_of((0, 1, 1, 1)))
    assert again.ticks == 1, "an interrupt is used up"


def test_same_cpu_visits_where_the_target_ran_and_works_elsewhere(fake: FakeIdle) -> None:
    """While it waits, it may run everywhere but there; afterwards everywhere again, and as urgently as before."""
    allowed = os.sched_getaffinity(0)
    ran = max(allowed)
    fake.process(PID, {0: PRESENT | 64})
    stat = fake.roots.proc / str(PID) / "stat"
    fields = stat.read_text().split()
    fields[38] = str(ran)
    thread_stat = stat.parent / "task" / str(PID) / "stat"
    thread_stat.parent.mkdir(parents=True, exist_ok=True)
    thread_stat.write_text(" ".join(fields))
    sampler = IdleSampler(fake.roots, same_cpu=True)
    seen: set[frozenset[int]] = set()
    after: list[tuple[set[int], int]] = []

    def run() -> None:
        sample(sampler, slots_of((0, 1, 1_000, 1)), ticks=1_000)
        after.append((os.sched_getaffinity(0), os.sched_getscheduler(0)))

    thread = threading.Thread(target=run)
    thread.start()
    elsewhere = frozenset(allowed - {ran} or allowed)
    while thread.is_alive() and elsewhere not in seen:
        assert thread.native_id is not None
        with suppress(ProcessLookupError):
            seen.add(frozenset(os.sched_getaffinity(thread.native_id)))
    sampler.interrupt()
    thread.join()
    sampler.close()
    assert elsewhere in seen
    assert seen <= {elsewhere, frozenset(allowed), frozenset({ran})}
    assert after == [(allowed, os.SCHED_OTHER)]


def call(
    buffers: Sequence[array[int]], flags: int = -1, bitmap: int = -1, event: int = -1, *, ticks: int = 1
) -> Sampled:
    return idle_sample(
        **named("idle_sample", buffers), flags_fd=flags, bitmap_fd=bitmap, event_fd=event, begin_ns=0, ticks=ticks,
        tick_ns=1_000, seed=1,
    )  # fmt: skip


@pytest.mark.parametrize("cpu", [-1, 8192, 2**31 - 1])
def test_a_processor_that_cannot_be_visited_is_left_out(fake: FakeIdle, cpu: int) -> None:
    flags, bitmap, event = os.open(fake.flags, os.O_RDONLY), os.open(fake.bitmap, os.O_RDWR), os.eventfd(0)
    before = os.sched_getaffinity(0), os.sched_getscheduler(0)
    slots = slots_of((64, 1, 5, 1))
    arrays = (array("i", [-2]), slots.target, slots.start, slots.end, slots.checks, slots.span)
    try:
        out = call([*arrays, array("i", [cpu])], flags, bitmap, event, ticks=5)
    finally:
        for fd in (flags, bitmap, event):
            os.close(fd)
    assert out.done == 5
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == before


def test_interrupt_after_close_does_nothing(fake: FakeIdle) -> None:
    made = IdleSampler(fake.roots)
    made.close()
    made.interrupt()
    made.close()


def test_descriptors_come_and_go_with_targets(fake: FakeIdle, sampler: IdleSampler) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for pid in range(5000, 5050):
        fake.process(pid, {0: PRESENT | 64})
        target = Target(pid, pid, START_TIME)
        sampler.sample([target], slots_of((0, 1, 1, 1)), time.monotonic_ns(), 1, 1_000, seed=1)
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_what_fails_of_one_process_leaves_the_others_answered(fake: FakeIdle, sampler: IdleSampler) -> None:
    """It is not one without pages."""
    fake.process(PID, {0: PRESENT | 64})
    fake.process(6000, {})
    page_map = fake.roots.proc / "6000/pagemap"
    page_map.unlink()
    page_map.symlink_to(page_map)  # ELOOP
    slots = Slots()
    for target in (0, 1):
        slots.add(target, 0, PAGE, 1)
    broken = Target(5, 6000, START_TIME)
    found = sampler.sample([broken, TARGET], slots, time.monotonic_ns(), 1, TICK, seed=1)
    assert [found.answer[list(found.slot).index(slot)] for slot in (0, 1)] == [NO_PAGE, NOT_ACCESSED]
    assert list(sampler.refused) == [5]
    assert "could not be read" in str(sampler.refused[5])


def test_a_sampler_that_cannot_be_made_leaves_no_file_open(
    fake: FakeIdle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    before = os.listdir("/proc/self/fd")
    with pytest.raises(NotSupported):
        IdleSampler(Roots(fake.roots.proc, tmp_path / "none"))
    monkeypatch.setattr(os, "eventfd", full)
    with pytest.raises(OutOfFiles, match="ulimit -n"):
        IdleSampler(fake.roots)
    assert os.listdir("/proc/self/fd") == before


def test_a_bitmap_that_refuses_counts_its_errno(fake: FakeIdle) -> None:
    flags, bitmap = os.open(fake.flags, os.O_RDONLY), os.open(fake.bitmap, os.O_RDONLY)
    event = os.eventfd(0)
    slots = slots_of((64, 1, 5, 1))
    buffers = (array("i", [-2]), slots.target, slots.start, slots.end, slots.checks, slots.span, array("i"))
    try:
        out = call(buffers, flags, bitmap, event)
    finally:
        for fd in (flags, bitmap, event):
            os.close(fd)
    assert out.answer == bytes([NO_PAGE] * 5)
    assert out.errnos[errno.EBADF] == 1, "five checks of one word are one call"


def test_a_machine_without_idle_page_tracking_says_what_would_help(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="CONFIG_IDLE_PAGE_TRACKING"):
        IdleSampler(Roots(tmp_path, tmp_path, ()))


def test_neighbours_share_system_calls(fake: FakeIdle, sampler: IdleSampler) -> None:
    """16 checks of 16 adjacent pages whose frames are adjacent too: one call of each kind serves all."""
    fake.process(PID, {page: PRESENT | (640 + page) for page in range(16)})
    answers = sample(sampler, slots_of(*((page, 1, 1, 1) for page in range(16))))
    assert sampler.calls == [2, 1, 1, 1]  # page map twice: to prepare, and to confirm at the look
    assert list(answers.answer) == [NOT_ACCESSED] * 16, "every one of them was marked"


def test_frames_share_system_calls_whatever_the_order_of_their_pages(
    fake: FakeIdle, sampler: IdleSampler
) -> None:
    """Of three pages the first and the last have frames of one word of the bitmap."""
    fake.process(PID, {0: PRESENT | 641, 1: PRESENT | 64, 2: PRESENT | 642})
    answers = sample(sampler, slots_of(*((page, 1, 1, 1) for page in range(3))))
    assert sampler.calls == [2, 2, 2, 2]
    assert list(answers.answer) == [NOT_ACCESSED] * 3


@pytest.mark.parametrize("slot", [(5, 5, 1, 1), (9, 5, 1, 1), (0, 4096, 1, 0), (0, 2**64 - 1, 2**32 - 1, 1)])
def test_slots_that_make_no_sense_are_refused(slot: tuple[int, int, int, int]) -> None:
    start, end, checks, span = slot
    arrays = (array("i", [-1]), array("I", [0]), array("Q", [start]), array("Q", [end]), array("I", [checks]))
    with pytest.raises((ValueError, MemoryError)):
        call([*arrays, array("I", [span]), array("i")])


def test_a_slot_of_no_target_and_arrays_of_unlike_length_are_refused() -> None:
    one, none = array("I", [1]), array("I")
    wide = (array("Q", [0]), array("Q", [9]))
    for slots in ((array("I", [1]), *wide, one, one), (array("I", [0]), *wide, none, one)):
        with pytest.raises(ValueError, match=r"target|must have"):
            call([array("i", [-1]), *slots, array("i")])


ADDRESSES = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 64 * PAGE))


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), ADDRESSES, ADDRESSES, st.integers(0, 40), st.integers(1, 30)),
        max_size=12,
    ),
    st.integers(1, 12),
    st.integers(0, 2**64 - 1),
)
def test_any_slots_are_answered(
    tmp_path_factory: pytest.TempPathFactory,
    wanted: list[tuple[int, int, int, int, int]],
    ticks: int,
    seed: int,
) -> None:
    """Fuzz: a page map, physical memory and a dead target; every planned check is answered, in its slot."""
    fake = FakeIdle(tmp_path_factory.mktemp("fuzz"))
    fake.process(PID, {page: PRESENT | (page * 7 + 3) for page in range(0, 64, 2)})
    fake.flag(0, *[LRU, LRU | HEAD, TAIL, 0, HUGETLB] * 100)
    slots = Slots()
    for target, a, b, checks, span in wanted:
        if a != b:
            slots.add(target, min(a, b), max(a, b), checks, span)
    targets = [Target(0, PID, START_TIME), Target(1), Target(2, PID + 1, 1)]
    sampler = IdleSampler(fake.roots)
    try:
        answers = sampler.sample(targets, slots, time.monotonic_ns(), ticks, 1_000, seed)
    finally:
        sampler.close()
    assert answers.ticks == ticks
    assert answers.checks == sum(slots.checks)
    for slot, address, span, answer in zip(
        answers.slot, answers.address, answers.span, answers.answer, strict=True
    ):
        assert slots.start[slot] // PAGE * PAGE <= address < slots.end[slot]
        assert 1 <= span <= max(slots.span[slot], 1)
        assert answer in (NOT_ACCESSED, ACCESSED, NO_PAGE)
        assert slots.target[slot] != 2 or answer == NO_PAGE
    assert sum(answers.hits) == list(answers.answer).count(ACCESSED)
    assert sum(answers.no_page) == list(answers.answer).count(NO_PAGE)
