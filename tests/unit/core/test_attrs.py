"""Attributes, their online change, the feedback function and interval tuning
(docs/damon.md#commits, #interval-tuning, #feedback, #unit-tests, #worked-numbers)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.core.tuning import accesses_bp, feedback, rescale, tuned_intervals
from udamon.errors import AttrsError


def test_accesses_bp_of_the_largest_possible_maximum() -> None:
    assert accesses_bp(123, Attrs(sample_us=10, aggr_us=10 * 2**32)) == 0


def test_rescale() -> None:
    region = Region(3, 7)
    region.nr_accesses, region.age = 15, 20
    old = Attrs(sample_us=10, aggr_us=1_000)
    for sample, aggr, expected in [(100, 10_000, (15, 2)), (1, 1_000, (150, 2)), (1, 100, (150, 20))]:
        rescale([region], old, Attrs(sample_us=sample, aggr_us=aggr), aggregated=True)
        assert (region.nr_accesses, region.age) == expected


def test_rescale_in_mid_aggregation_drops_the_running_count() -> None:
    region = Region(0, 1)
    region.nr_accesses, region.last_nr_accesses, region.nr_accesses_bp = 3, 10, 70_000
    rescale([region], Attrs(), Attrs(sample_us=10_000), aggregated=False)
    assert (region.last_nr_accesses, region.nr_accesses, region.nr_accesses_bp) == (5, 0, 50_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_nr_regions": 1},
        {"max_nr_regions": 9},
        {"aggr_us": 4_999},
        {"min_nr_regions": 2, "max_nr_regions": 2},
        {"sample_us": -1},
        {"goal": IntervalsGoal(400, 3, 10_000, 5_000)},
        {"goal": IntervalsGoal(400, 3, 6_000, 10_000)},
    ],
)
def test_attributes_that_damon_refuses(wrong: dict[str, int]) -> None:
    with pytest.raises(AttrsError, match=r"\.$"):
        replace(Attrs(), **wrong)  # type: ignore[arg-type]


def test_attributes_that_damon_takes() -> None:
    assert Attrs(5_000, 100_000, 0, 10, 1_000).max_nr_accesses == 20
    assert Attrs(sample_us=0, aggr_us=0).max_nr_accesses == 1
    assert Attrs(min_nr_regions=3, max_nr_regions=3).min_nr_regions == 3


@pytest.mark.parametrize(
    ("last", "score", "result"),
    [
        (10_000, 0, 20_000),
        (10_000, 5_000, 15_000),
        (10_000, 15_000, 10_000),
        (100_000_000, 5_000, 150_000_000),
        (100_000_000, 15_000, 50_000_000),
        (100_000_000, 20_000, 10_000),
        (900_000, 200, 1_782_000),
        (900_000, 250_000_000, 10_000),
        (900_000, 2_000, 1_620_000),
        (900_000, 10_000, 900_000),
        (2**64 - 1, 0, 2**64 - 1),
    ],
)
def test_feedback(last: int, score: int, result: int) -> None:
    assert feedback(last, score) == result


GOAL = IntervalsGoal(access_bp=400, aggrs=3, min_sample_us=5_000, max_sample_us=10_000_000)


@pytest.mark.parametrize(
    ("nr_accesses", "sample_us"),
    [
        (0, 30_000),  # score 0: adapt 20000, the largest step up
        (20, 10_000),  # score ≥ 20000: adapt 1 → 5000, half
    ],
)
def test_tuned_intervals_move_by_at_most_a_factor_of_two(nr_accesses: int, sample_us: int) -> None:
    target = Target(0)
    target.regions = [Region(0, 1 << 30)]
    target.regions[0].nr_accesses = nr_accesses
    before = Attrs(sample_us=15_000 if nr_accesses == 0 else 20_000, aggr_us=400_000, goal=GOAL)
    after = tuned_intervals([target], replace(before, aggr_us=before.sample_us * 20))
    assert (after.sample_us, after.aggr_us) == (sample_us, sample_us * 20)


def test_tuned_intervals_stay_in_their_bounds() -> None:
    target = Target(0)
    target.regions = [Region(0, 1 << 30)]
    target.regions[0].nr_accesses = 20
    assert tuned_intervals([target], Attrs(goal=GOAL)).sample_us == 5_000
