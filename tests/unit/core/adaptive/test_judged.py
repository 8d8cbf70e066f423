"""Bounds of the working set, from checks that are judged by the fit before them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.adaptive.shapes_of_bounds import SHAPES, rests
from udamon.assembly import parts
from udamon.core.adaptive.judged import Judge, Judged
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.policy import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.engine.kdamond import Kdamond
from udamon.evaluation.run import StopAt, evaluate
from udamon.model import PAGE_SIZE, Event, Snapshot
from udamon.native._native import AGES
from udamon.ops.sim import SimSpace
from udamon.units import MIB
from udamon.workload.layout import place
from udamon.workload.spec import Pattern, Workload, WorkloadPhase, WorkRegion
from udamon.workload.truth import Truth

SHARES = st.floats(0, 1)


def test_before_any_check_nothing_is_known() -> None:
    assert Judged().bounds(0.3, 0.3, 2.0) == (0.0, 1.0)


def test_none_of_a_thousand_leaves_four_thousandths() -> None:
    """z²/2 + z·√(z²/4) with z = 2."""
    low, high = Judged(1000.0).bounds(0.0, 0.0, 2.0)
    assert low == 0
    assert high == pytest.approx(0.004)


def test_as_a_binomial_where_the_fit_knows_the_mean_alone() -> None:
    """300 of 1000 where 0.3 was expected of each: squares n·p·(1 - p), the standard error √(p·(1 - p) / n)."""
    low, high = Judged(1000.0, 300.0, 300.0, 210.0, 300.0).bounds(0.3, 0.3, 2.0)
    assert low == pytest.approx(0.3 - 2 * (0.3 * 0.7 / 1000) ** 0.5, abs=0.003)
    assert high == pytest.approx(0.3 + 2 * (0.3 * 0.7 / 1000) ** 0.5, abs=0.003)


def test_a_fit_that_is_wrong_by_a_fifth_is_put_right_and_stays_within() -> None:
    """250 came of 300 that were expected: the truth is near 0.25, and what is told, 0.3, is not left outside."""
    low, high = Judged(1000.0, 250.0, 300.0, 150.0, 300.0).bounds(0.3, 0.3, 2.0)
    assert low < 0.24 < 0.26 < high
    assert high == 0.3


@given(
    checks=st.floats(0, 1e6), hits=SHARES, expected=SHARES, squares=SHARES, shares=SHARES, share=SHARES, told=SHARES
)  # fmt: skip
def test_bounds_are_shares_around_what_is_told(
    checks: float, hits: float, expected: float, squares: float, shares: float, share: float, told: float
) -> None:
    sums = (checks * part for part in (hits, expected, squares, shares))
    low, high = Judged(checks, *sums).bounds(share, told, 2.0)
    assert 0 <= low <= told <= high <= 1


def looked(judge: Judge, hits: float, expected: float, checks: float = 200.0) -> None:
    """One more aggregation, in which each check was expected to be an access alike."""
    share = expected / checks
    squares = hits * (1 - share) ** 2 + (checks - hits) * share**2
    judge.grow_older(1, 1 - 1 / 16)
    judge.take(Judged(checks, hits, expected, squares, expected))


def after(looks: int) -> Judge:
    """In each look 60 of 200 checks were accesses, as was expected."""
    judge = Judge(Parameters())
    for _ in range(looks):
        looked(judge, 60, 60)
    return judge


def test_memory_that_rests_is_seen_in_one_look_and_sums_begin_anew() -> None:
    judge = after(40)
    assert judge.moved == AGES
    looked(judge, 1, 60)
    assert (judge.moved, judge.sums.checks, judge.sums.hits) == (1, 200, 1)
    assert judge.moved_share == pytest.approx(59 / 60)


def test_memory_that_awakes_is_seen_in_one_look() -> None:
    """100 more than the 60 that were expected, of 140 that were expected to be none."""
    judge = after(40)
    looked(judge, 160, 60)
    assert (judge.moved, judge.sums.hits) == (1, 160)
    assert judge.moved_share == pytest.approx(100 / 140)


def test_a_smaller_change_takes_several_looks_and_is_dated_when_it_began() -> None:
    """A quarter less, √(200 · 0.3 · 0.7) = 6.5 being the standard error of a look: 2.3 of them in one, 4.6 in four."""
    judge = after(40)
    look = 0
    while judge.moved == AGES and look < 8:
        looked(judge, 45, 60)
        look += 1
    assert look in (2, 4)
    assert judge.moved == look
    assert judge.sums.hits == pytest.approx(45 * sum((15 / 16) ** k for k in range(look)))


def test_what_fits_usually_are_wrong_by_is_no_change() -> None:
    judge = Judge(Parameters())
    for _ in range(60):
        looked(judge, 45, 60)
    assert judge.moved == AGES


def test_a_target_that_is_seldom_looked_at_changed_as_many_aggregations_ago() -> None:
    judge = after(40)
    for _ in range(2):
        judge.grow_older(7, 0.9)
        judge.take(Judged(30.0, 2.0, 9.0, 6.0, 9.0))
    assert judge.moved == 8


@pytest.mark.parametrize(("checks", "share"), [(200, 0.4), (200, 0.95), (50, 0.1), (20, 0.5), (200, 0.001)])
def test_chance_alone_seldom_is_a_change(checks: int, share: float) -> None:
    """One in 200 looks at most, at 3.5 standard errors of the last 1, 2, 4, 8 and 16 looks."""
    random, judge, changes = Random(f"{checks} {share}"), Judge(Parameters()), 0
    for _ in range(4000):
        before = judge.moved
        judge.grow_older(1, 1 - 1 / 32)
        hits = sum(random.random() < share for _ in range(checks))
        judge.take(Judged(checks, hits, checks * share, checks * share * (1 - share), checks * share))
        changes += judge.moved < min(before + 1, AGES)
    assert changes <= 4000 / 200


@pytest.mark.parametrize("name", SHAPES)
def test_the_truth_is_within_the_bounds_in_95_of_100_windows(name: str) -> None:
    """Ten seconds of four seeds, the first windows too; in the first second bounds are not all there is, later they are
    much nearer."""
    within, margins = [], []
    for seed in range(4):
        workload = SHAPES[name](Random(f"{name} {seed}"))
        run = evaluate(Truth(workload, place(workload)), "adaptive", seed, Attrs(), 10_000_000_000)
        within += [one.score.wss_within for one in run.scored]
        margins += [one.score.wss_margin or 0.0 for one in run.scored if one.t > 2]
    assert sum(map(bool, within)) / len(within) >= 0.95
    assert sorted(margins)[len(margins) // 2] < 0.25


def test_memory_that_rests_and_awakes_is_followed_at_once() -> None:
    """Its one-tick rates hardly change; what the checks that span aggregations say did. Four seeds; windows that begin
    where it changes are left out."""
    within, errors = [], []
    for seed in range(4):
        workload = rests(Random(seed))
        run = evaluate(Truth(workload, place(workload)), "adaptive", seed, Attrs(), 12_000_000_000)
        for one in run.scored:
            if one.t > 1 and round(one.t * 10) % 10 > 1:
                within.append(one.score.wss_within)
                errors.append(abs(one.score.wss_bytes - one.score.wss_truth_bytes) / MIB)
    assert sum(map(bool, within)) / len(within) >= 0.95
    assert sum(errors) / len(errors) < 1.5


class _Changing:
    """Keeps all snapshots; after ten windows the attributes become `then`."""

    def __init__(self, kdamond: Kdamond, then: Attrs) -> None:
        self.seen: list[Snapshot] = []
        self._kdamond = kdamond
        self._then = then

    def snapshot(self, snapshot: Snapshot) -> None:
        self.seen.append(snapshot)
        if snapshot.seq == 9:
            self._kdamond.call(lambda: self._kdamond.change_attrs(self._then, "another length"))

    def event(self, event: Event) -> None:
        """Of no use here."""


@pytest.mark.parametrize("chance", [0.006, 0.05])
@pytest.mark.parametrize(("first_ms", "then_ms"), [(100, 1000), (1000, 100)])
def test_another_length_of_aggregations_is_followed_at_once(
    chance: float, first_ms: int, then_ms: int
) -> None:
    """What is touched in a window of the one length says nothing of windows of the other. Four seeds, of each the ten
    windows after the change but the first."""
    workload = Workload(
        (WorkRegion("all", 64 * MIB),),
        (WorkloadPhase("always", 60_000_000_000, (Pattern("all", True, PAGE_SIZE, 1, chance=chance),)),),
    )
    truth = Truth(workload, place(workload))
    first, then = (Attrs(sample_us=5_000, aggr_us=ms * 1_000) for ms in (first_ms, then_ms))
    share = 64 * MIB * (1 - (1 - chance) ** then.max_nr_accesses)
    within, errors = [], []
    for seed in range(4):
        clock = ManualClock()
        watch = parts.sampled_watch(AdaptivePolicy(), parts.sim_samplers([truth], clock, seed), Random(seed))
        kdamond = parts.kdamond(SimSpace(truth), watch, first, clock)
        changing = _Changing(kdamond, then)
        kdamond.bus.subscribe(changing)
        kdamond.bus.subscribe(StopAt(kdamond, (10 * first.aggr_us + 12 * then.aggr_us) * 1_000))
        kdamond.run()
        assert not kdamond.bus.failures
        later = [one for one in changing.seen if one.seq >= 11]
        assert len(later) >= 10
        within += [(one.touched_low or 0) <= share <= (one.touched_high or 0) for one in later]
        errors += [abs(sum(one.touched) - share) / share for one in later]
    assert sum(within) / len(within) >= 0.95
    assert sum(errors) / len(errors) < 0.15
