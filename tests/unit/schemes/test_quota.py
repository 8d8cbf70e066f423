"""Quotas and goals: windows, effective sizes, priorities, charges, and where a window goes on
(docs/damon.md#quotas)."""

from __future__ import annotations

import pytest

from tests.unit.actors import ALL, COLD, PAGE, Bench, Numbers, region
from udamon.acting.base import Applied
from udamon.core.regions import Region
from udamon.core.scheme import (
    U64_MAX,
    Action,
    ActionRequest,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    Weights,
)  # fmt: skip
from udamon.core.target import Target
from udamon.core.tuning import feedback
from udamon.model import Range
from udamon.modules.dry_run import DryActor
from udamon.schemes.goals import Goals
from udamon.schemes.quota import ChargedQuota

MIB = 1 << 20
MS = 1_000_000


def unread(goal: Goal) -> int | None:
    raise AssertionError(f"{goal} is nobody's business")


def fixed(value: int | None) -> Goal:
    return Goal(GoalMetric.USER_INPUT, 10_000, 0 if value is None else value)


@pytest.mark.parametrize(
    ("last", "score", "expected"),
    [
        (900_000, 200, 1_782_000),
        (900_000, 250_000_000, 10_000),
        (900_000, 2_000, 1_620_000),
        (10_000, 0, 20_000),
        (10_000, 5_000, 15_000),
        (10_000, 15_000, 10_000),
    ],
)
def test_feedback(last: int, score: int, expected: int) -> None:
    assert feedback(last, score) == expected


def test_from_nothing_the_effective_size_doubles_each_window() -> None:
    goals = Goals([fixed(0)])
    sizes = [goals.tune(GoalTuner.CONSIST, 0, unread) for _ in range(12)]
    assert sizes == [2**n for n in range(1, 13)]
    assert sizes.index(4096) == 11, "one page in the 12th window"
    for _ in range(100):
        goals.tune(GoalTuner.CONSIST, 0, unread)
    goals.commit([fixed(20_000)])
    assert goals.tune(GoalTuner.CONSIST, 0, unread) == 1, "and it never falls below 1 byte"


def test_the_temporal_tuner_is_all_or_nothing() -> None:
    goals = Goals([fixed(9_999)])
    assert goals.tune(GoalTuner.TEMPORAL, 7 * PAGE, unread) == 7 * PAGE
    assert goals.tune(GoalTuner.TEMPORAL, 0, unread) == U64_MAX // 10_000
    goals.commit([fixed(10_000)])
    assert goals.tune(GoalTuner.TEMPORAL, 7 * PAGE, unread) == 0


def test_the_goal_that_is_met_best_counts() -> None:
    goals = Goals([Goal(target_value=100, current_value=50), Goal(target_value=1_000, current_value=900)])
    goals.tune(GoalTuner.CONSIST, 0, unread)
    assert goals.last_score == 9_000


def test_a_goal_of_0_is_none() -> None:
    assert not Goals([Goal(GoalMetric.SOME_MEM_PSI_US, 0)])
    assert not ChargedQuota(Quota(goals=(Goal(),)), PAGE).is_set


def test_stall_time_counts_from_the_last_look() -> None:
    goals = Goals([Goal(GoalMetric.SOME_MEM_PSI_US, 1_000)])
    totals = iter([5_000_000, 5_000_500, None, 5_001_000, 5_003_000])
    scores = []
    for _ in range(5):
        goals.tune(GoalTuner.CONSIST, 0, lambda goal: next(totals))
        scores.append(goals.last_score)
    # Nothing to count from; 500 of 1000; unread; nothing to count from; 2000 of 1000.
    assert scores == [None, 5_000, None, None, 20_000]


def test_what_cannot_be_read_changes_nothing() -> None:
    goals = Goals([Goal(GoalMetric.FILE, 10, path="/x")])
    goals.tune(GoalTuner.CONSIST, 0, lambda goal: 0)
    assert goals.tune(GoalTuner.CONSIST, 0, lambda goal: None) == 2


def test_windows_open_by_the_clock() -> None:
    quota = ChargedQuota(Quota(bytes=8 * PAGE, reset_interval_ms=1_000), PAGE)
    assert not quota.window(5 * MS, unread), "the first window is limited like all others"
    assert quota.esz == 8 * PAGE
    charge(quota, region(0, 8), 8 * PAGE, 0)
    assert quota.full
    assert not quota.window(1_004 * MS, unread)
    assert quota.full
    assert quota.window(1_005 * MS, unread), "and this one ended full"
    assert not quota.full
    assert (quota.charged_sz, quota.total_charged_sz) == (0, 8 * PAGE)
    assert not quota.window(2_005 * MS, unread), "the last one did not"


def test_without_an_interval_every_pass_opens_a_window() -> None:
    quota = ChargedQuota(Quota(bytes=PAGE), PAGE)
    quota.window(0, unread)
    charge(quota, region(0, 1), 0, 0)
    assert quota.window(0, unread)


@pytest.mark.parametrize(
    ("size", "least"), [(PAGE - 1, 99), (PAGE, 99), (PAGE + 1, 40), (3 * PAGE, 40), (3 * PAGE + 1, 0)]
)
def test_priorities_that_fit_whole_and_the_one_that_does_not(size: int, least: int) -> None:
    """A page of priority 99 and two of 40 match: the least is the one with which the size is used up."""
    quota = ChargedQuota(Quota(bytes=size), PAGE)
    quota.window(0, unread)
    quota.prefer([0] * 40 + [2 * PAGE] + [0] * 58 + [PAGE])
    assert quota.min_score == least


def test_less_than_a_region_left_is_full() -> None:
    quota = ChargedQuota(Quota(bytes=2 * PAGE - 1), PAGE)
    quota.window(0, unread)
    assert not quota.full
    assert quota.room == PAGE
    charge(quota, region(0, 1), 0, 0)
    assert quota.full


def test_time_is_a_size_by_throughput() -> None:
    quota = ChargedQuota(Quota(ms=10, reset_interval_ms=1_000), PAGE)
    quota.window(0, unread)
    assert quota.esz == 10 * 1024 * PAGE, "4 MiB a millisecond while nothing was measured"
    charge(quota, region(0, 256), MIB, 2 * MS)  # 1 MiB in 2 ms
    quota.window(1_000 * MS, unread)
    assert quota.esz == 10 * MIB // 2


def test_a_slow_beginning_is_forgotten() -> None:
    """A page in 5 ms, then 1 MiB in 1 ms: what counts is the faster of the last window and of all together."""
    quota = ChargedQuota(Quota(ms=10, reset_interval_ms=1_000), PAGE)
    quota.window(0, unread)
    charge(quota, region(0, 1), PAGE, 5 * MS)
    quota.window(1_000 * MS, unread)
    assert quota.esz == 8190, "4 KiB in 5 ms: 819 bytes a ms"
    charge(quota, region(0, 256), MIB, 1 * MS)
    quota.window(2_000 * MS, unread)
    assert quota.esz == 10 * MIB


def test_time_that_is_used_up_ends_the_window_whatever_was_estimated() -> None:
    quota = ChargedQuota(Quota(ms=10, reset_interval_ms=1_000), PAGE)
    quota.window(0, unread)
    charge(quota, region(0, 1), PAGE, 10 * MS)
    assert quota.full
    quota.window(1_000 * MS, unread)
    assert not quota.full


def test_the_least_of_goal_time_and_size_counts() -> None:
    quota = ChargedQuota(Quota(ms=1, bytes=3 * PAGE, goals=(fixed(0),), goal_tuner=GoalTuner.TEMPORAL), PAGE)
    quota.window(0, unread)
    assert quota.esz == 3 * PAGE
    quota.commit(Quota(ms=1, bytes=5 * MIB))
    quota.window(0, unread)
    assert quota.esz == 4 * MIB


def test_what_fails_is_charged_a_part() -> None:
    quota = ChargedQuota(Quota(bytes=10**12, fail_charge_num=1, fail_charge_denom=1024), PAGE)
    quota.window(0, unread)
    charge(quota, region(0, 1000 * 256), 700 * MIB, 0)
    assert quota.charged_sz == 700 * MIB + 300 * 1024


def test_a_quota_that_is_taken_away_limits_nothing() -> None:
    quota = ChargedQuota(Quota(bytes=PAGE), PAGE)
    quota.window(0, unread)
    charge(quota, region(0, 1), 0, 0)
    quota.commit(Quota())
    assert not quota.full
    assert not quota.is_set


def test_the_coldest_come_first() -> None:
    """Three regions of 4 pages, 8 pages a window: the two that were cold longest."""
    scheme = Scheme(COLD, Action.PAGEOUT, quotas=Quota(bytes=8 * PAGE, weights=Weights(0, 0, 1)))
    regions = [region(0, 4, age=0), region(4, 8, age=1200), region(8, 12, age=160)]
    bench = Bench(scheme, regions=regions)
    assert bench.apply() == [(4, 8), (8, 12)]
    assert bench.told.esz == [(0, 8 * PAGE)]


def test_priorities_see_what_filters_leave() -> None:
    """The oldest is rejected, so the budget reaches down to the next ones."""
    keep = Filter(FilterType.ADDR, matching=True, allow=False, addr=Range(4 * PAGE, 8 * PAGE))
    scheme = Scheme(
        COLD, Action.PAGEOUT, quotas=Quota(bytes=8 * PAGE, weights=Weights(0, 0, 1)), core_filters=(keep,)
    )
    bench = Bench(scheme, regions=[region(0, 4, age=0), region(4, 8, age=1200), region(8, 12, age=160)])
    assert bench.apply() == [(0, 4), (8, 12)]


def test_a_window_goes_on_where_the_last_one_was_full() -> None:
    scheme = Scheme(ALL, quotas=Quota(bytes=3 * PAGE))
    bench = Bench(scheme, regions=[region(0, 2, age=1), region(2, 8, age=2), region(8, 10, age=3)])
    assert [bench.apply() for _ in range(5)] == [
        [(0, 2), (2, 3)],
        [(3, 6)],
        [(6, 8), (8, 9)],
        [(9, 10)],  # at the end of the target the window is not begun again
        [(0, 2), (2, 3)],
    ]
    stats = bench.stats()
    assert stats.sz_tried == (3 + 3 + 3 + 1 + 3) * PAGE
    assert stats.qt_exceeds == 3


def test_other_targets_wait_until_the_first_is_through() -> None:
    scheme = Scheme(ALL, quotas=Quota(bytes=2 * PAGE))
    bench = Bench(scheme, regions=[[region(0, 3, age=1)], [region(10, 12, age=1)]])
    assert [bench.apply() for _ in range(4)] == [[(0, 2)], [(2, 3), (10, 11)], [(11, 12)], [(0, 2)]]


def test_a_straddling_region_is_cut_and_goes_on_in_its_rest() -> None:
    scheme = Scheme(ALL, quotas=Quota(bytes=2 * PAGE))
    bench = Bench(scheme, regions=[region(0, 6, age=1), region(10, 30, age=1)])
    assert bench.apply() == [(0, 2)]
    bench.targets[0].regions = [region(0, 6, age=2), region(10, 30, age=2)]  # merged since
    assert bench.apply() == [(2, 4)]
    assert bench.layout() == [(0, 6), (10, 30)], "nothing tells the parts apart, so the cuts are undone"


def test_a_target_that_is_gone_is_not_where_to_go_on() -> None:
    scheme = Scheme(ALL, quotas=Quota(bytes=2 * PAGE))
    bench = Bench(scheme, regions=[[region(0, 6, age=1)], [region(10, 12, age=1)]])
    bench.apply()
    del bench.targets[0]
    assert bench.apply() == [(10, 12)]


def test_the_last_region_gets_its_turn() -> None:
    """Windows of one region's size: the kernel never comes to the last one."""
    bench = Bench(Scheme(ALL, Action.PAGEOUT, quotas=Quota(bytes=PAGE)), regions=[region(0, 1), region(1, 2)])
    assert [bench.apply() for _ in range(4)] == [[(0, 1)], [(1, 2)], [], [(0, 1)]]


def test_failing_costs_little_with_a_fail_charge() -> None:
    quota = Quota(bytes=2 * PAGE, fail_charge_num=1, fail_charge_denom=4096)
    bench = Bench(Scheme(ALL, Action.PAGEOUT, quotas=quota), regions=[region(n, n + 1) for n in range(5)])
    bench.actor.answer = lambda target, start, end: Applied(PAGE if start == 2 * PAGE else 0, PAGE)
    # Each failure costs a byte: beside two of them and the one that works not a whole page is left.
    assert bench.apply() == [(0, 1), (1, 2), (2, 3)]
    assert bench.stats().sz_applied == PAGE


def test_a_dry_run_is_charged_as_if_it_succeeded() -> None:
    """Else its quota would be that of failures: more than the real run may do in one window, and less after it."""
    quota = Quota(bytes=2 * PAGE, fail_charge_num=1, fail_charge_denom=4096)
    bench = Bench(Scheme(ALL, Action.PAGEOUT, quotas=quota), regions=[region(n, n + 1) for n in range(5)])
    bench.actor.answer = lambda target, start, end: DryActor().apply(
        target, start, end, ActionRequest(Action.PAGEOUT)
    )
    assert bench.apply() == [(0, 1), (1, 2)]
    assert bench.stats().sz_applied == 0


def test_eligible_memory_is_asked_of_what_matches() -> None:
    numbers = Numbers()
    asked: list[list[tuple[int, int]]] = []
    numbers.eligible = lambda matching: asked.append([(m.start, m.end) for m in matching]) or 0  # type: ignore[func-returns-value]
    goal = Goal(GoalMetric.NODE_ELIGIBLE_MEM_BP, 5_000)
    bench = Bench(
        Scheme(COLD, Action.PAGEOUT, quotas=Quota(goals=(goal,))),
        regions=[region(0, 1), region(1, 2, nr_accesses=5), region(2, 4)],
        numbers=numbers,
    )
    bench.apply()
    assert asked == [[(0, PAGE), (2 * PAGE, 4 * PAGE)]]


def test_a_metric_that_raises_is_told_once_and_holds_the_size() -> None:
    numbers = Numbers(values={"file": OSError("no such file")})
    goal = Goal(GoalMetric.FILE, 10, path="/x")
    bench = Bench(
        Scheme(ALL, Action.PAGEOUT, quotas=Quota(goals=(goal,))), regions=[region(0, 1)], numbers=numbers
    )
    for _ in range(3):
        assert bench.apply() == []
    assert len(bench.notes) == 1
    assert "no such file" in bench.notes[0]
    assert bench.schemes.status()[0].why == "its goals cannot be measured"


def charge(quota: ChargedQuota, region: Region, applied: int, took_ns: int) -> None:
    quota.charge(_target(), region, region.size, applied, took_ns)


def _target() -> Target:
    return Target(0)
