"""How long a look will stop a target: from what is resident, then from what was measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.unit.linux.test_fake import FakeProc
from udamon.core.target import Target
from udamon.linux.held import Held
from udamon.linux.procfs import ProcessId
from udamon.linux.urgent import urgent
from udamon.ops import calibration, pauses
from udamon.ops.base import TOUCH_NS
from udamon.ops.calibration import page_ns
from udamon.ops.pauses import Pauses
from udamon.ops.tlb import HotSet, hot_set

GIB = 1 << 30


def held(*calls_ns: int) -> Held:
    found = Held()
    found.longest_ns, found.total_ns = max(calls_ns), sum(calls_ns)
    return found


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path)


def process(fake: FakeProc, resident: int) -> Target:
    """A process with so many bytes in memory, all in small pages for all that can be told."""
    fake.process(9, start_time=100)
    with open(fake.root / "9/status", "a") as status:
        status.write(f"VmRSS:\t{resident >> 10} kB\n")
    return Target(4, 9, 100)


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "page_ns", lambda: 40.0)
    monkeypatch.setattr(pauses, "may_be_urgent", lambda: True)


def test_the_forecast_follows_what_is_resident(fake: FakeProc) -> None:
    found = Pauses(fake.root)
    assert found.forecast_ns(process(fake, 64 << 20)) == int(16384 * calibration.PAGE_NS), (
        "not worth calibrating"
    )
    assert found.forecast_ns(process(fake, GIB)) == 262144 * 40


def test_who_may_not_hurry_waits_for_others(fake: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as this process has waited so far, for what it ran; and so does who would hurry for too long."""
    monkeypatch.setattr(pauses, "contention", lambda: 3.0)
    alone = 262144 * 40
    assert Pauses(fake.root).forecast_ns(process(fake, GIB)) == alone
    assert Pauses(fake.root).forecast_ns(process(fake, 16 * GIB)) == 3 * 16 * alone
    monkeypatch.setattr(pauses, "may_be_urgent", lambda: False)
    assert Pauses(fake.root).forecast_ns(process(fake, GIB)) == 3 * alone


@pytest.mark.parametrize(("share", "expected"), [(3.0, 3.0), (1.0, 1.0), (0.5, 1.0)])
def test_how_crowded_it_is(share: float, expected: float) -> None:
    """By clocks: who gets a third of a processor takes three times as long, and nobody takes less than alone."""
    worked = [0]
    found = calibration.slowed(
        lambda: worked.append(1_000_000), lambda: int(share * sum(worked)), lambda: sum(worked)
    )
    assert found == pytest.approx(expected)
    assert calibration.contention() >= 1


def test_a_walk_that_was_disturbed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind the shortest, and each with its pages touched and our caches displaced just before."""
    done: list[str] = []

    class Child:
        def rounds(self) -> bool:
            done.append("touched")
            return True

    def walk(name: str, *took: int) -> Callable[..., None]:
        left = list(took)

        def run(*, held: Held, prioritized: bool) -> None:
            done.append(name)
            held.longest_ns = left.pop(0)

        return run

    monkeypatch.setattr(calibration, "_read", lambda others: done.append("displaced"))
    walks = walk("clear", 900, 30, 31, 800, 33), walk("smaps", 44, 40, 41, 42, 700)
    assert calibration._shortest(cast("HotSet", Child()), *walks) == [30, 40]
    assert done == ["touched", "displaced", "clear", "touched", "displaced", "smaps"] * 5


def test_the_forecast_follows_what_was_measured(fake: FakeProc) -> None:
    """The median of the last looks: one that was disturbed does not count."""
    found, target = Pauses(fake.root), process(fake, GIB)
    for took in (10_000_000, 900_000_000, 12_000_000):
        found.cleared(target, held(took))
        found.looked(target, held(1_000_000, 8_000_000), GIB, 1000)
    assert found.forecast_ns(target) == pytest.approx(12_000_000)
    assert found.forecast_ns(process(fake, 2 * GIB)) == pytest.approx(24_000_000)
    assert found.longest_ns == 900_000_000
    assert found.cost_ns == 3 * 1000 * TOUCH_NS + 922_000_000, "smaps lets page faults go on"


def test_what_is_said_before_the_first_look(fake: FakeProc) -> None:
    assert Pauses(fake.root).warning(process(fake, 64 << 20)) is None
    said = Pauses(fake.root).warning(process(fake, 4 * GIB))
    assert said is not None
    assert "stops process 9 for about 42 ms" in said


def test_a_limit(fake: FakeProc) -> None:
    """One sentence with the time it would take."""
    assert Pauses(fake.root, 20_000_000).too_long(process(fake, GIB)) is None
    said = Pauses(fake.root, 10_000_000).too_long(process(fake, 4 * GIB))
    assert said is not None
    assert "for about 42 ms, longer than --max-pause 10 ms, and refs cannot look at it by pieces" in said


class PageBytes:
    """Windows of one target at a limit of 20 ms, each with a look that takes what a test says."""

    def __init__(self, fake: FakeProc, resident: int = GIB) -> None:
        self.pauses = Pauses(fake.root, 20_000_000)
        self.target = process(fake, resident)
        self._fake = fake

    def resident(self, size: int) -> None:
        self.target = process(self._fake, size)

    def window(self, took_ns: int, *, look_ns: int | None = None, size: int = GIB) -> bool:
        """Clear and look, where that is allowed; returns whether it was."""
        allowed = self.pauses.too_long(self.target) is None
        if allowed:
            self.pauses.cleared(self.target, held(took_ns))
        self.pauses.window_over({self.target.index})
        if allowed:
            self.pauses.looked(self.target, held(took_ns if look_ns is None else look_ns), size, 0)
        return allowed


def test_one_look_that_was_disturbed_refuses_nobody_for_ever(fake: FakeProc) -> None:
    """Be it the first, and be it ten times as long; later, none is even left out for it."""
    looked = PageBytes(fake)
    assert looked.window(200_000_000)
    said = looked.pauses.too_long(looked.target)
    assert said == (
        "a look at process 9 took longer than --max-pause 20 ms, and only one in 100 windows may; the next one is "
        "after 99 windows."
    )
    assert looked.pauses.backed_off(looked.target)
    assert [looked.window(12_000_000) for _ in range(99)] == [False] * 99
    assert not looked.pauses.backed_off(looked.target)
    assert all(looked.window(12_000_000) for _ in range(150))
    assert looked.window(200_000_000)
    assert all(looked.window(12_000_000) for _ in range(150))
    assert looked.pauses.longest_ns == 200_000_000


def test_clearing_and_looking_that_take_too_long_are_one_window(fake: FakeProc) -> None:
    looked = PageBytes(fake)
    assert all(looked.window(12_000_000) for _ in range(101))
    assert looked.window(30_000_000, look_ns=25_000_000)
    assert all(looked.window(12_000_000) for _ in range(99))


def test_who_is_always_stopped_for_longer_than_forecast_is_refused_in_the_end(fake: FakeProc) -> None:
    """After looks enough that it is no disturbance; and looked at again when it has shrunk."""
    for good in (0, 150):
        looked = PageBytes(fake)
        assert all(looked.window(12_000_000) for _ in range(good))
        tried = [looked.window(25_000_000) for _ in range(1000)]
        assert tried.count(True) == (3 if good else 2)
        said = looked.pauses.too_long(looked.target)
        assert said is not None
        assert "would stop process 9 for about 25 ms, longer than --max-pause 20 ms" in said
        assert not looked.pauses.backed_off(looked.target)
        looked.resident(GIB // 2)
        assert looked.pauses.too_long(looked.target) is None


def test_who_has_grown_is_not_looked_at_to_try(fake: FakeProc) -> None:
    """Neither when its looks were short, nor when the last one was disturbed."""
    for last_ns in (12_000_000, 200_000_000):
        looked = PageBytes(fake)
        assert all(looked.window(12_000_000) for _ in range(101))
        assert looked.window(last_ns)
        looked.resident(4 * GIB)
        said = looked.pauses.too_long(looked.target)
        assert said is not None
        assert "would stop process 9" in said
        assert not looked.pauses.backed_off(looked.target)
        looked.resident(GIB)
        assert looked.pauses.too_long(looked.target) is None


def test_what_is_known_of_targets_that_are_gone_is_forgotten(fake: FakeProc) -> None:
    looked = PageBytes(fake)
    looked.window(25_000_000)
    assert looked.pauses.backed_off(looked.target)
    looked.pauses.window_over(set())
    assert looked.pauses.too_long(looked.target) is None


def test_a_process_that_ended_stops_nobody(fake: FakeProc) -> None:
    target = process(fake, GIB)
    fake.process(9, start_time=200)
    assert Pauses(fake.root).forecast_ns(target) == 0
    fake.remove(9)
    assert Pauses(fake.root, 1).too_long(target) is None


def test_a_page_is_measured_on_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some nanoseconds to some microseconds, whatever the machine does meanwhile."""
    assert 1 < page_ns() < 100_000


@pytest.mark.needs("pagemap_scan")
def test_huge_pages_are_not_small_ones() -> None:
    """Of a child without any: all of it counts."""
    with hot_set(16 << 20) as child:
        assert child.access(16 << 20)
        process = (child.target.pid or 0, child.target.start_time or 0)
        assert pauses._huge_bytes(ProcessId(*process), Path("/proc")) < 16 << 20


def test_hurrying_is_over_afterwards() -> None:
    def state() -> tuple[int, int]:
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    before = state()
    for wanted in (True, False):
        with pytest.raises(KeyError), urgent(wanted), urgent(wanted):
            raise KeyError
        assert state() == before
