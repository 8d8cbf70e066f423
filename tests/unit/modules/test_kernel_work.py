"""Schemes on in-kernel DAMON: what it told last is the account, and the governor holds it still by `stat`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest

from udamon.core.attrs import Attrs
from udamon.core.scheme import AccessPattern, Action, Goal, GoalMetric, Quota, Scheme, SchemeStats
from udamon.engine.acting import PatternsFor
from udamon.engine.bus import Bus
from udamon.engine.kernel.engine import KernelEngine
from udamon.errors import NotSupported
from udamon.modules.kernel_work import KernelWork
from udamon.modules.work import schemes_for_kernel
from udamon.schemes.config.pattern import NONE, Quantity, QuantityBounds, QuantityUnit, WantedScheme
from udamon.schemes.governor import MIN_BACKOFF_NS, PressureLimits, PressureSample

SECOND = 1_000_000_000
COLD = WantedScheme(
    Scheme(AccessPattern.all(), Action.PAGEOUT),
    QuantityBounds(max=NONE),
    QuantityBounds(min=Quantity(5_000_000, QuantityUnit.US)),
)


class FakeEngine:
    """Takes commits; runs what it is asked at once."""

    def __init__(self) -> None:
        self.bus = Bus(lambda: 0)
        self.attrs = Attrs(5_000, 100_000)
        self.targets: list[object] = []
        self.committed: list[list[Scheme]] = []
        self.fed: list[list[int]] = []
        self.schemes = self

    def ask(self, request: Callable[[], Any]) -> Any:
        return request()

    def commit(self, schemes: Sequence[Scheme], patterns_for: PatternsFor | None = None) -> None:
        assert patterns_for is not None
        assert [s.access_pattern for s in schemes] == list(patterns_for(self.attrs))
        self.committed.append(list(schemes))

    def feed(self, schemes: Sequence[Scheme]) -> None:
        self.fed.append([goal.current_value for scheme in schemes for goal in scheme.quotas.goals])


class Bench:
    """A KernelWork under a clock and faults that a test sets."""

    def __init__(self, wanted: WantedScheme = COLD, *, dry: bool = False) -> None:
        self.engine = FakeEngine()
        self.now_ns = SECOND
        self.faults = 0
        self.notes: list[str] = []
        self.work = KernelWork(
            cast(KernelEngine, self.engine),
            [wanted],
            dry=dry,
            limits=PressureLimits(max_major_faults=100, max_psi=None),
            now_ns=lambda: self.now_ns,
            read=lambda: PressureSample(self.now_ns, self.faults),
        )
        self.work.keep_up()

    def second(self, faults: int) -> None:
        self.now_ns += SECOND
        self.faults += faults
        self.work.keep_up()


def test_what_the_kernel_told_last_is_the_account() -> None:
    bench = Bench()
    (before,) = bench.work.statuses()
    assert before.stats == SchemeStats()
    stats = SchemeStats(nr_tried=2, sz_tried=8192, nr_applied=1, sz_applied=4096)
    row = {"scheme": 0, "action": "pageout", "active": True, "why": "", "effective_bytes": 77}
    bench.engine.bus.emit("schemes", {"schemes": [{**row, **asdict(stats)}]})
    (status,) = bench.work.statuses()
    assert (status.stats, status.effective_bytes, status.scheme) == (stats, 77, COLD.at(bench.engine.attrs))
    assert bench.work.backend.refaulted is None


def test_the_governor_holds_the_kernel_still_by_stat() -> None:
    bench = Bench()
    bench.second(faults=50)
    assert (bench.work.held, bench.engine.committed) == ("", [])
    bench.second(faults=500)
    assert "500 major faults a second" in bench.work.held
    (held,) = bench.engine.committed.pop()
    assert held.action is Action.STAT
    assert held.access_pattern == COLD.at(bench.engine.attrs).access_pattern
    for _ in range(MIN_BACKOFF_NS // SECOND):
        bench.second(faults=0)
    assert bench.work.held == ""
    assert bench.engine.committed == [[COLD.at(bench.engine.attrs)]]


def test_what_is_committed_meanwhile_is_held_too() -> None:
    bench = Bench()
    bench.second(faults=500)
    bench.engine.committed.clear()
    bench.work.commit([COLD, COLD])
    assert [s.action for s in bench.engine.committed.pop()] == [Action.STAT, Action.STAT]
    for _ in range(MIN_BACKOFF_NS // SECOND):
        bench.second(faults=0)
    assert [s.action for s in bench.engine.committed.pop()] == [Action.PAGEOUT, Action.PAGEOUT]


def test_a_dry_run_in_the_kernel_counts() -> None:
    (scheme,) = schemes_for_kernel([COLD], Attrs(), dry=True)
    assert scheme.action is Action.STAT
    bench = Bench(dry=True)
    bench.work.commit([COLD])
    assert bench.engine.committed[0][0].action is Action.STAT


def test_a_goal_that_the_kernel_cannot_read_is_fed_to_it(tmp_path: Path) -> None:
    path = tmp_path / "latency"
    path.write_text("30\n")
    goals = Goal(GoalMetric.SOME_MEM_PSI_US, 9), Goal(GoalMetric.FILE, 40, path=str(path))
    wanted = replace(COLD, scheme=replace(COLD.scheme, quotas=Quota(goals=goals)))
    (handed,) = schemes_for_kernel([wanted], Attrs(), dry=False)
    assert handed.quotas.goals == (goals[0], Goal(GoalMetric.USER_INPUT, 40, 40)), (
        "just met until it is known"
    )
    bench = Bench(wanted)
    assert bench.engine.fed == [[0, 30]]
    path.write_text("50\n")
    bench.work.keep_up()
    assert len(bench.engine.fed) == 1, "not within the same second"
    bench.second(faults=0)
    assert bench.engine.fed[1:] == [[0, 50]]


def test_a_goal_that_cannot_be_read_is_an_error_before_anything_is_done(tmp_path: Path) -> None:
    goal = Goal(GoalMetric.FILE, 40, path=str(tmp_path / "no"))
    with pytest.raises(NotSupported, match="cannot be read"):
        Bench(replace(COLD, scheme=replace(COLD.scheme, quotas=Quota(goals=(goal,)))))


def test_without_such_goals_nothing_is_fed() -> None:
    bench = Bench()
    bench.second(faults=0)
    assert bench.engine.fed == []
