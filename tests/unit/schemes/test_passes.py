"""The apply pass (docs/damon.md#apply-pass), stats (#statistics), tried regions (#tried-regions), commits
(#commits), watermarks (#watermarks)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.actors import ALL, COLD, PAGE, Bench, Numbers, region
from udamon.acting.base import Applied
from udamon.core.attrs import Attrs
from udamon.core.scheme import (
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)  # fmt: skip
from udamon.core.tried import TriedRegions
from udamon.errors import NotPermitted, NotSupported, UsageError
from udamon.model import Range
from udamon.schemes.installed import Installed
from udamon.schemes.pattern import PatternLimits, matches
from udamon.schemes.quota import ChargedQuota
from udamon.schemes.watermarks import WatermarkState

FREE = WatermarkMetric.FREE_MEM_RATE
MARKS = Watermarks(FREE, 5_000_000, 500, 400, 200)


@pytest.mark.parametrize(
    ("size", "nr_bp", "age", "expected"),
    [
        (1, 39_999, 5, True),
        (1, 40_000, 5, False),
        (1, 19_999, 5, False),
        (2, 20_000, 7, True),
        (2, 20_000, 8, False),
        (3, 20_000, 7, False),
    ],
)
def test_patterns_are_closed_and_go_by_the_moving_sum(
    size: int, nr_bp: int, age: int, expected: bool
) -> None:
    pattern = AccessPattern(Bounds(PAGE, 2 * PAGE), Bounds(2, 3), Bounds(5, 7))
    of = region(0, size, nr_accesses=9, age=age)
    of.nr_accesses_bp = nr_bp
    assert matches(PatternLimits.of(pattern), of) is expected


def test_an_action_begins_an_age_anew_and_stat_does_not() -> None:
    for action, age in ((Action.PAGEOUT, 0), (Action.STAT, 7)):
        bench = Bench(Scheme(ALL, action), regions=[region(0, 4, age=7)])
        bench.apply()
        assert bench.targets[0].regions[0].age == age
        assert [(a.target.index, a.start, a.end) for a in bench.acted] == [(0, 0, 4 * PAGE)] * (age == 0)


def test_stats_count_what_was_tried_applied_passed_and_moved() -> None:
    bench = Bench(
        Scheme(COLD, Action.PAGEOUT), regions=[region(0, 4), region(4, 5), region(5, 9, nr_accesses=1)]
    )
    answers = iter([Applied(3 * PAGE, 2 * PAGE, PAGE), Applied(0, 0)])
    bench.actor.answer = lambda target, start, end: next(answers)
    bench.apply()
    stats = bench.stats()
    assert (stats.nr_tried, stats.sz_tried) == (2, 5 * PAGE)
    assert (stats.nr_applied, stats.sz_applied) == (1, 3 * PAGE)
    assert (stats.sz_ops_filter_passed, stats.sz_moved, stats.nr_snapshots) == (2 * PAGE, PAGE, 1)


def test_nobody_looked_is_not_nothing_moved() -> None:
    bench = Bench(Scheme(ALL, Action.PAGEOUT), regions=[region(0, 4)])
    bench.apply()
    assert bench.stats().sz_moved is None
    bench.actor.answer = lambda target, start, end: Applied(end - start, 0, 0)
    bench.apply()
    assert bench.stats().sz_moved == 0


def test_every_region_is_shown_to_every_scheme_before_the_next_one() -> None:
    bench = Bench(
        Scheme(ALL, Action.COLD), Scheme(ALL, Action.STAT), regions=[region(0, 1, age=4), region(1, 2)]
    )
    bench.apply()
    assert [(scheme, start, age) for scheme, _, _, start, age in bench.told.before] == [
        (0, 0, 4), (1, 0, 0), (0, PAGE, 0), (1, PAGE, 0),
    ]  # fmt: skip


def test_intervals_of_their_own() -> None:
    fast = Scheme(ALL, apply_interval_us=10_000)
    bench = Bench(fast, Scheme(ALL), regions=[region(0, 1)])
    assert bench.schemes.next_due() == 2
    for _ in range(20):
        bench.apply(after_ms=10)
    assert (bench.stats(0).nr_tried, bench.stats(1).nr_tried) == (20, 2)
    assert bench.told.passes[-1] == (1, 2)


def test_what_was_cut_off_by_one_scheme_is_shown_to_the_next() -> None:
    small = Scheme(ALL, Action.COLD, quotas=Quota(bytes=PAGE, reset_interval_ms=10**6))
    bench = Bench(small, Scheme(ALL, Action.STAT), regions=[region(0, 4, age=1)])
    assert bench.apply() == [(0, 1), (0, 1), (1, 4)]
    assert bench.layout() == [(0, 1), (1, 4)], "their ages differ now"


def test_what_a_later_scheme_cuts_off_is_not_shown_to_an_earlier_one_again() -> None:
    small = Scheme(ALL, Action.COLD, quotas=Quota(bytes=PAGE, reset_interval_ms=10**6))
    bench = Bench(Scheme(ALL, Action.PAGEOUT), small, regions=[region(0, 4, age=1)])
    assert bench.apply() == [(0, 4), (0, 1)]
    assert bench.stats(0).nr_snapshots == 1


def test_cuts_keep_bytes_touched_bytes_and_the_moving_sum() -> None:
    bench = Bench(
        Scheme(ALL, quotas=Quota(bytes=PAGE, reset_interval_ms=10**6)), regions=[region(0, 3), region(9, 99)]
    )
    whole = bench.targets[0].regions[0]
    whole.touched, whole.nr_accesses, whole.nr_accesses_bp = 10_001, 3, 47_000
    bench.schemes._cuts.cut(bench.targets[0], 0, PAGE)  # as a quota would
    parts = bench.targets[0].regions[:2]
    assert sum(r.touched for r in parts) == 10_001
    assert [r.nr_accesses_bp for r in parts] == [47_000] * 2
    bench.apply()
    joined = bench.targets[0].regions[0]
    assert (joined.size, joined.touched, joined.nr_accesses_bp) == (3 * PAGE, 10_001, 47_000)


def test_snapshots_are_counted_by_target_and_limit_a_scheme() -> None:
    bench = Bench(Scheme(ALL, max_nr_snapshots=3), regions=[[region(0, 1)], [region(2, 3)]])
    assert bench.apply() == [(0, 1), (2, 3)]
    assert bench.stats().nr_snapshots == 2
    assert bench.apply() == [(0, 1)], "the third is the last"
    assert bench.apply() == []
    assert "3 snapshots" in bench.schemes.status()[0].why


def test_a_full_quota_counts_no_snapshot() -> None:
    bench = Bench(Scheme(ALL, quotas=Quota(bytes=PAGE)), regions=[region(0, 1), region(1, 2)])
    bench.apply()
    assert bench.stats().nr_snapshots == 0


def test_targets_that_are_not_valid_are_left_alone() -> None:
    bench = Bench(Scheme(ALL), regions=[[region(0, 1)], [region(2, 3)]])
    bench.schemes.apply(bench.targets, 20, lambda target: target.index == 1)
    assert bench.actor.ranges() == [(2 * PAGE, 3 * PAGE)]


def test_a_permission_that_is_lost_ends_it_for_that_target_alone() -> None:
    bench = Bench(Scheme(ALL, Action.PAGEOUT), regions=[[region(0, 1)], [region(2, 3)]])

    def refuse(target: object, start: int, end: int) -> Applied:
        if start == 0:
            raise NotPermitted("CAP_SYS_NICE is gone; run as root.")
        return Applied(end - start, end - start)

    bench.actor.answer = refuse
    assert bench.apply() == [(0, 1), (2, 3)]
    assert bench.apply() == [(2, 3)]
    assert len(bench.notes) == 1
    assert "target 0" in bench.notes[0]
    assert "CAP_SYS_NICE" in bench.schemes.status()[0].why
    assert bench.stats().sz_applied == 2 * PAGE
    bench.schemes.commit([Scheme(ALL, Action.PAGEOUT)])
    assert bench.apply() == [(0, 1), (2, 3)]


def test_what_the_actor_cannot_do_is_said_before_anything_is_done() -> None:
    bench = Bench(Scheme(ALL), regions=[region(0, 1)])
    bench.actor.lacks = {Action.HUGEPAGE: "no call offers it; use --via kernel."}
    with pytest.raises(NotSupported, match="scheme 1 .hugepage. cannot act here: no call offers it"):
        bench.schemes.commit([Scheme(COLD), Scheme(ALL, Action.HUGEPAGE)])
    assert bench.schemes.status()[0].scheme == Scheme(ALL)


# Tried regions.


def test_a_walk_tells_one_full_pass_of_every_scheme() -> None:
    slow = Scheme(COLD, Action.PAGEOUT, apply_interval_us=200_000)
    bench = Bench(Scheme(ALL), slow, regions=[region(0, 1, age=5), region(1, 4, nr_accesses=2, age=6)])
    found: list[Sequence[TriedRegions] | None] = []
    bench.schemes.walk(found.append)
    with pytest.raises(UsageError, match="ask again"):
        bench.schemes.walk(found.append)
    bench.apply()
    assert not found, "the slow one had no pass yet"
    bench.apply()
    assert found[0] is not None
    first, second = found[0]
    assert [tuple(r) for r in first.regions] == [
        (0, 0, PAGE, 0, 5, PAGE), (0, PAGE, 4 * PAGE, 2, 6, 3 * PAGE),
    ]  # fmt: skip
    assert first.total_bytes == 4 * PAGE
    assert [(r.start, r.age) for r in second.regions] == [(0, 5)], "the age from before the action"
    bench.apply()
    assert len(found) == 1


def test_a_walk_ends_when_nothing_is_going_to_be_tried() -> None:
    found: list[object] = []
    Bench().schemes.walk(found.append)
    marks = replace(MARKS, interval_us=0)  # the kdamond does not even rest
    bench = Bench(Scheme(ALL, watermarks=marks), regions=[region(0, 1)], numbers=Numbers(free=900))
    bench.schemes.walk(found.append)
    bench.schemes.wait_us()
    bench.schemes.walk(found.append)
    bench.schemes.finish()
    assert found == [None, None, None]


# Commits.


@pytest.mark.parametrize("metric", list(GoalMetric))
def test_a_goal_takes_all_values_and_keeps_what_growth_counts_from(metric: GoalMetric) -> None:
    quota = ChargedQuota(Quota(goals=(Goal(metric, 3, 1, 2, "/a"),)), PAGE)
    aimed = quota.goals.aimed[0]
    aimed.baseline = 77
    quota.commit(Quota(goals=(Goal(metric, 9, 8, 2, "/a"),)))
    assert quota.goals.aimed[0] is aimed
    assert aimed.goal == Goal(metric, 9, 8, 2, "/a")
    assert aimed.baseline == 77
    current = aimed.current(lambda goal: 123)
    assert (current == 8) is (metric is GoalMetric.USER_INPUT), (
        "the current value is the user's in user_input alone"
    )


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 1), (1, 0), (3, 3), (2, 3), (3, 2)])
def test_lists_become_those_of_the_source(before: int, after: int) -> None:
    def scheme(number: int, add: int) -> Scheme:
        return Scheme(
            dests=tuple(Destination(4 + n + add, 5 + n + add) for n in range(number)),
            quotas=Quota(goals=tuple(Goal(target_value=1 + n + add) for n in range(number))),
            action=Action.MIGRATE_HOT,
        )

    old, new = scheme(before, 0), scheme(after, 10)
    installed = Installed(0, old, PAGE)
    installed.commit(new)
    assert tuple(aimed.goal for aimed in installed.quota.goals.aimed) == new.quotas.goals
    assert installed.request.dests == new.dests


def test_a_quota_takes_all_values() -> None:
    old = Quota(2, 3, 1, Weights(4, 5, 6), (), GoalTuner.CONSIST, 2, 3)
    new = Quota(8, 9, 7, Weights(10, 11, 12), (), GoalTuner.TEMPORAL, 1, 1024)
    quota = ChargedQuota(old, PAGE)
    quota.commit(new)
    assert quota.quota == new


@pytest.mark.parametrize(
    "filter",
    [
        Filter(FilterType.ANON, True, False),
        Filter(FilterType.ACTIVE, True, False),
        Filter(FilterType.YOUNG, True, False),
        Filter(FilterType.UNMAPPED, True, False),
        Filter(FilterType.MEMCG, True, False, memcg_path="/123"),
        Filter(FilterType.HUGEPAGE_SIZE, True, False, size=Bounds(234, 345)),
    ],
)
def test_a_filter_of_pages_becomes_that_of_the_source(filter: Filter) -> None:
    installed = Installed(0, Scheme(ops_filters=(Filter(FilterType.ANON, False, True),)), PAGE)
    installed.commit(Scheme(ops_filters=(filter,)))
    assert installed.request.page_filters == (filter,)


@pytest.mark.parametrize(
    ("filter", "allowed"),
    [
        (Filter(FilterType.ADDR, True, True, addr=Range(4 * PAGE, 6 * PAGE)), [(4, 6)]),
        (Filter(FilterType.TARGET, True, True, damon_target_idx=6), []),
    ],
)
def test_a_filter_of_regions_becomes_that_of_the_source(
    filter: Filter, allowed: list[tuple[int, int]]
) -> None:
    bench = Bench(
        Scheme(ALL, Action.COLD, core_filters=(Filter(FilterType.TARGET, True, True),)),
        regions=[region(0, 8, age=1)],
    )
    assert bench.apply() == [(0, 8)]
    bench.schemes.commit([Scheme(ALL, Action.COLD, core_filters=(filter,))])
    assert bench.apply() == allowed


def test_a_scheme_becomes_the_source_and_keeps_its_past() -> None:
    old = Scheme(AccessPattern(Bounds(1, 2), Bounds(3, 4), Bounds(5, 6)), Action.PAGEOUT, 1_000_000)
    new = Scheme(AccessPattern(Bounds(2, 3), Bounds(4, 5), Bounds(6, 7)), Action.PAGEOUT, 2_000_000)
    installed = Installed(0, old, PAGE)
    installed.stats.nr_tried = 7
    for scheme in (new, replace(new, action=Action.MIGRATE_HOT, target_nid=5)):
        installed.commit(scheme)
        assert installed.scheme == scheme
        assert (installed.request.action, installed.request.target_nid) == (scheme.action, scheme.target_nid)
    assert installed.stats.nr_tried == 7


def test_commits_overwrite_drop_and_append_by_index() -> None:
    bench = Bench(Scheme(ALL), regions=[region(0, 2, age=3)])
    bench.apply()
    bench.schemes.commit([Scheme(ALL, quotas=Quota(bytes=PAGE)), Scheme(ALL)])
    assert [s.stats.nr_tried for s in bench.schemes.status()] == [1, 0]
    bench.apply()
    assert [s.stats.nr_tried for s in bench.schemes.status()] == [2, 2], "the appended one saw both parts"
    bench.schemes.commit([])
    assert bench.apply() == []
    assert bench.schemes.next_due() is None


def test_a_window_that_has_begun_keeps_its_size() -> None:
    def scheme(size: int) -> Scheme:
        return Scheme(ALL, quotas=Quota(bytes=size, reset_interval_ms=1_000))

    bench = Bench(scheme(3 * PAGE), regions=[region(0, 9)])
    assert bench.apply() == [(0, 3)]
    bench.schemes.commit([scheme(5 * PAGE)])
    assert bench.apply() == []
    assert bench.schemes.status()[0].effective_bytes == 3 * PAGE
    assert bench.apply(after_ms=1_000) == [(3, 8)]


def test_patterns_in_seconds_follow_the_intervals() -> None:
    bench = Bench(Scheme(ALL, Action.PAGEOUT), regions=[region(0, 1, age=20)])

    def old_for_2s(attrs: Attrs) -> Sequence[AccessPattern]:
        return [AccessPattern(ALL.sz, ALL.nr_accesses, Bounds(2_000_000 // attrs.aggr_us, 2**32 - 1))]

    bench.schemes.commit([Scheme(ALL, Action.PAGEOUT)], old_for_2s)
    bench.attrs = Attrs(sample_us=10_000, aggr_us=200_000)
    bench.schemes.change(bench.attrs, bench.sis)
    assert bench.schemes.status()[0].scheme.access_pattern.age.min == 10
    assert bench.apply() == [(0, 1)]
    assert bench.apply() == []


# Watermarks.


@pytest.mark.parametrize(
    ("was", "free", "active", "wait"),
    [
        (True, 501, False, 5_000_000),
        (True, 500, True, 0),
        (True, 400, True, 0),
        (True, 200, True, 0),
        (True, 199, False, 5_000_000),
        (False, 500, False, 5_000_000),
        (False, 400, False, 5_000_000),
        (False, 399, True, 0),
        (False, 200, True, 0),
        (False, 199, False, 5_000_000),
        (True, None, False, 5_000_000),
    ],
)
def test_watermarks(was: bool, free: int | None, active: bool, wait: int) -> None:
    gate = WatermarkState(MARKS)
    assert gate.active, "new schemes start active"
    gate.active = was
    assert gate.check(lambda: free) == wait
    assert gate.active is active
    assert bool(gate.why) is not active
    gate.commit(MARKS)
    assert gate.active


def test_without_a_metric_nothing_is_asked() -> None:
    gate = WatermarkState(Watermarks(high=5, mid=4, low=3, interval_us=7))
    assert gate.check(lambda: pytest.fail("asked")) == 0


def test_the_kdamond_rests_only_while_all_schemes_do_and_for_the_shortest_time() -> None:
    other = Watermarks(FREE, 1_000_000, 100, 80, 0)
    bench = Bench(Scheme(ALL, watermarks=MARKS), Scheme(ALL, watermarks=other), regions=[region(0, 1)])
    bench.numbers.free = 600
    assert bench.schemes.wait_us() == 1_000_000
    assert bench.schemes.next_due() is None
    assert bench.apply() == []
    (told,) = [data["schemes"] for name, data in bench.events if name == "schemes"]
    assert [scheme["active"] for scheme in told] == [False, False]  # type: ignore[attr-defined]
    bench.numbers.free = 300
    assert bench.schemes.wait_us() == 0
    assert bench.apply() == [(0, 1)]
    assert [s.active for s in bench.schemes.status()] == [True, False]
    assert "30.0 % of memory is free, above the high watermark of 10.0 %" in bench.schemes.status()[1].why


def test_free_memory_that_cannot_be_read_holds_back_and_is_told() -> None:
    bench = Bench(
        Scheme(ALL, watermarks=MARKS), regions=[region(0, 1)], numbers=Numbers(free=OSError("no /proc"))
    )
    assert bench.apply() == []
    assert bench.apply() == []
    assert len(bench.notes) == 1


# What is told.


def test_an_event_with_the_totals_at_most_once_a_second_and_only_of_changes() -> None:
    bench = Bench(Scheme(COLD, Action.PAGEOUT), regions=[region(0, 1)])
    for _ in range(25):
        bench.apply()
    totals = [data["schemes"] for name, data in bench.events if name == "schemes"]
    assert [t[0]["nr_tried"] for t in totals] == [1, 11, 21]  # type: ignore[index]
    bench.schemes.finish()
    bench.schemes.finish()
    assert bench.events[-1][1]["schemes"][0]["nr_tried"] == 25  # type: ignore[index]
    assert len([name for name, _ in bench.events if name == "schemes"]) == 4
