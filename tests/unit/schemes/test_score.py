"""Priorities (docs/damon.md#priority), with worked numbers (docs/damon.md#worked-numbers)."""

from __future__ import annotations

import pytest

from tests.unit.actors import region
from udamon.core.attrs import Attrs
from udamon.core.scheme import Action, Weights
from udamon.schemes.score import hotness, score

ATTRS = Attrs()  # 20 samples of 5 ms


@pytest.mark.parametrize(
    ("nr_accesses", "age", "weights", "hot", "cold"),
    [
        (0, 0, (1, 1), 24, 75),
        (0, 20, (1, 1), 22, 77),
        (0, 100, (0, 1), 42, 57),
        (0, 1200, (0, 1), 38, 61),
        (10, 50, (1, 1), 51, 48),
        (20, 0, (1, 1), 74, 25),
        (20, 1200, (1, 1), 79, 20),
    ],
)
def test_the_worked_numbers(
    nr_accesses: int, age: int, weights: tuple[int, int], hot: int, cold: int
) -> None:
    of = region(0, 1, nr_accesses, age)
    given = Weights(0, *weights)
    assert hotness(nr_accesses, age, given, ATTRS) == hot
    assert score(Action.MIGRATE_HOT, of, given, ATTRS) == hot
    assert score(Action.LRU_PRIO, of, given, ATTRS) == hot
    for action in (Action.PAGEOUT, Action.LRU_DEPRIO, Action.MIGRATE_COLD):
        assert score(action, of, given, ATTRS) == cold


def test_actions_without_a_preference_take_what_comes() -> None:
    for action in (Action.WILLNEED, Action.COLD, Action.COLLAPSE, Action.HUGEPAGE, Action.STAT):
        assert score(action, region(0, 1, 7, 7), Weights(1, 1, 1), ATTRS) == 99


def test_without_weights_all_regions_are_alike_and_size_never_counts() -> None:
    for nr_accesses, age in ((0, 0), (20, 1200), (3, 40)):
        assert hotness(nr_accesses, age, Weights(), ATTRS) == 0
        assert score(Action.PAGEOUT, region(0, 1, nr_accesses, age), Weights(), ATTRS) == 99
        assert hotness(nr_accesses, age, Weights(1000, 1, 1), ATTRS) == hotness(
            nr_accesses, age, Weights(0, 1, 1), ATTRS
        )
