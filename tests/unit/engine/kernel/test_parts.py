"""The pure parts of engine kernel: what is written, whose window a snapshot is, which intervals a budget affords."""

from __future__ import annotations

import pytest

from udamon.core.attrs import Attrs
from udamon.core.damon import touched_share
from udamon.core.target import Target
from udamon.engine.interval_stretch import GOAL, IntervalStretch
from udamon.engine.kernel import plan
from udamon.engine.kernel.plan import Entry
from udamon.engine.kernel.rows import Aggregated, KernelTuned
from udamon.engine.kernel.windows import KernelWindows
from udamon.model import Range

MS = 1_000_000
PAGE = 4096
TARGET = Target(3, 77)
CONTEXT = "contexts/0"


def found(time_ms: int, *counts: int, first: bool = True, age: int = 4) -> Aggregated:
    rows = [(n * PAGE, (n + 1) * PAGE, count, age) for n, count in enumerate(counts)]
    return Aggregated(time_ms * MS, 0, first, rows)


def test_targets_are_written_in_the_order_the_tree_needs() -> None:
    written = list(plan.targets([Entry(5, [Range(1, 2)]), Entry(6, obsolete=True), Entry(None)]))
    assert written == [
        (f"{CONTEXT}/targets/nr_targets", "3"),
        (f"{CONTEXT}/targets/0/pid_target", "5"),
        (f"{CONTEXT}/targets/0/regions/nr_regions", "1"),
        (f"{CONTEXT}/targets/0/regions/0/start", "1"),
        (f"{CONTEXT}/targets/0/regions/0/end", "2"),
        (f"{CONTEXT}/targets/1/pid_target", "6"),
        (f"{CONTEXT}/targets/1/obsolete_target", "Y"),
    ]


@pytest.mark.parametrize("goal", [False, True])
def test_every_attribute_is_written(goal: bool) -> None:
    written = dict(plan.attributes(Attrs(7, 80, 900, 11, 12), goal=goal))
    values = {path.split("/", 3)[3]: value for path, value in written.items()}
    assert values["intervals/sample_us"] == "7"
    assert values["intervals/aggr_us"] == "80"
    assert values["intervals/update_us"] == "900"
    assert (values["nr_regions/min"], values["nr_regions/max"]) == ("11", "12")
    assert ("intervals/intervals_goal/aggrs" in values) is goal


def spans(*times_ms: int, gapless: bool, since_ms: int = 800) -> list[tuple[int, int]]:
    windows, found_spans = KernelWindows(Attrs(5_000, 100_000)), []
    for seq, time_ms in enumerate(times_ms):
        aggregated = found(time_ms, 0, 20)
        windows.begin(aggregated, since_ms * MS, gapless=gapless)
        snapshot = windows.snapshot(aggregated, TARGET, None)
        assert (snapshot.seq, snapshot.ticks, snapshot.sample_ns) == (seq, 20, 5 * MS)
        assert (snapshot.target, snapshot.pid) == (3, 77)
        found_spans.append((snapshot.begin_ns // MS, snapshot.end_ns // MS))
    return found_spans


def test_windows_follow_one_another() -> None:
    """However late the kernel's samples come."""
    assert spans(1000, 1103, 1900, gapless=True) == [(800, 1000), (1000, 1103), (1103, 1900)]


def test_windows_after_a_gap_have_the_length_asked_for() -> None:
    assert spans(940, 1043, 1900, gapless=False) == [(800, 940), (940, 1043), (1800, 1900)]
    assert spans(1000, gapless=False) == [(900, 1000)]


def test_no_window_begins_before_it_was_begun_anew() -> None:
    windows = KernelWindows(Attrs(5_000, 100_000))
    windows.begin(found(1000, 1), 800 * MS, gapless=True)
    again = found(1200, 1)
    windows.begin(again, 1090 * MS, gapless=True)
    assert windows.snapshot(again, TARGET, None).begin_ns == 1090 * MS


def test_touched_bytes_are_estimated_as_everywhere_and_never_more_than_resident() -> None:
    windows = KernelWindows(Attrs(5_000, 100_000))
    aggregated = found(1000, 0, 3, 20, 21)
    windows.begin(aggregated, 0, gapless=True)
    plain = windows.snapshot(aggregated, TARGET, None)
    assert list(plain.touched) == [0, *(int(PAGE * touched_share(20, n, 0)) for n in (3, 20, 20))]
    assert max(plain.nr_accesses) == 20, "kernels that go by the clock may count one tick more"
    there = windows.snapshot(aggregated, TARGET, [Range(2 * PAGE, 2 * PAGE + 100)])
    assert there.resident is not None
    assert list(there.resident) == [0, 0, 100, 0]
    assert list(there.touched) == [0, 0, 100, 0]


def test_an_interval_the_kernel_chose_holds_from_the_next_window_on() -> None:
    """The tuning is told before the regions that were still watched with the old one."""
    windows = KernelWindows(Attrs(5_000, 100_000))
    windows.begin(found(1000, 1), 0, gapless=True)
    windows.tune(KernelTuned(1100 * MS, 10_000, one_more=True))
    old = found(1100, 1, age=3)
    assert not windows.begin(old, 0, gapless=True)
    snapshot = windows.snapshot(old, TARGET, None)
    assert (snapshot.sample_ns, list(snapshot.ages)) == (5 * MS, [6])
    new = found(1300, 1, age=4)
    assert windows.begin(new, 0, gapless=True)
    snapshot = windows.snapshot(new, TARGET, None)
    assert (snapshot.sample_ns, snapshot.ticks, list(snapshot.ages)) == (10 * MS, 20, [4])
    assert (windows.attrs.sample_us, windows.attrs.aggr_us) == (10_000, 200_000)


class Machine:
    """Costs so much CPU a sample; `tune` as the engine does, once an aggregation."""

    def __init__(self, share: float, ns_a_sample: int, attrs: Attrs) -> None:
        self.budget = IntervalStretch(share)
        self.attrs = attrs
        self.ns_a_sample = ns_a_sample
        self.now = self.spent = 0

    def run(self, seconds: int) -> float:
        """The share that was spent."""
        begin, before = self.now, self.spent
        while self.now < begin + seconds * 10**9:
            self.now += self.attrs.aggr_us * 1_000
            self.spent += self.attrs.max_nr_accesses * self.ns_a_sample
            self.attrs = self.budget.tune(self.attrs, self.now, self.spent) or self.attrs
        return (self.spent - before) / (self.now - begin)


@pytest.mark.parametrize("ns_a_sample", [1_000, 100_000, 5_000_000])
def test_the_budget_is_kept_and_used(ns_a_sample: int) -> None:
    machine = Machine(0.01, ns_a_sample, Attrs(5_000, 100_000))
    machine.run(120)
    assert machine.run(60) <= 0.01
    assert machine.attrs.max_nr_accesses == 20
    affordable = ns_a_sample / 0.01 / 1_000
    assert 5_000 <= machine.attrs.sample_us <= max(5_000, affordable * 2.3)
    machine.ns_a_sample = 1_000  # fewer regions now
    machine.run(3600)
    assert machine.attrs.sample_us == 5_000


def test_a_goal_keeps_its_freedom_above_what_is_affordable() -> None:
    attrs = IntervalStretch(0.01).begin(Attrs(1_000, 20_000))
    assert attrs.goal == GOAL
    assert attrs.sample_us == 5_000
    machine = Machine(0.01, 100_000, attrs)
    machine.run(60)
    assert machine.attrs.goal.min_sample_us == machine.attrs.sample_us > 5_000
    assert machine.attrs.goal.max_sample_us == GOAL.max_sample_us
