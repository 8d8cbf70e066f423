"""Bounds of the working set, from checks that are judged by the fit before them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.adaptive.shapes_of_bounds import SHAPES
from udamon.assembly import parts
from udamon.core.adaptive.judged import Judged
from udamon.core.adaptive.policy import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.engine.kdamond import Kdamond
from udamon.evaluation.run import StopAt, evaluate
from udamon.model import PAGE_SIZE, Event, Snapshot
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
