"""Comparisons of evaluations whose curves are short enough to work out by hand."""

from __future__ import annotations

import pytest

from udamon.core.attrs import Attrs
from udamon.evaluation.compare import at, f1_after, level_of, spread
from udamon.evaluation.results import Evaluation, Scored, mean_f1, reached, settled_checks
from udamon.evaluation.score import Score


def evaluation(*points: tuple[float, int, float]) -> Evaluation:
    """Snapshots as (t, checks, f1)."""
    scored = [Scored(t, checks, 10, Score(f1, f1, f1, 0, 0, 0.0)) for t, checks, f1 in points]
    return Evaluation("p", 1, Attrs(), scored, 0.0, 0.0)


RUN = evaluation((0.1, 100, 0.0), (0.2, 300, 0.4), (0.3, 300, 0.5), (0.4, 400, 0.9), (0.5, 440, 0.8))


def test_at_a_time_it_is_the_last_snapshot_that_ended() -> None:
    assert at(RUN, 0.05) is None
    assert [s.t for s in (at(RUN, 0.3), at(RUN, 0.39), at(RUN, 9)) if s] == [0.3, 0.3, 0.5]


def test_f1_between_two_numbers_of_checks_is_linear() -> None:
    assert f1_after(RUN, 100) == 0.0
    assert f1_after(RUN, 150) == pytest.approx(0.1)
    assert f1_after(RUN, 300) == 0.4
    assert f1_after(RUN, 350) == pytest.approx(0.7)
    assert f1_after(RUN, 430) == pytest.approx(0.825)


def test_outside_of_its_checks_nothing_is_known() -> None:
    assert f1_after(RUN, 99) is None
    assert f1_after(RUN, 441) is None
    assert f1_after(evaluation(), 1) is None


def test_a_level_is_reached_once_and_need_not_be_kept() -> None:
    assert [s and s.checks for s in (reached(RUN, 0.5), reached(RUN, 0.85), reached(RUN, 0.95))] == [
        300, 400, None,
    ]  # fmt: skip


def test_the_level_to_reach_is_that_of_the_end_but_never_above_095() -> None:
    assert level_of(RUN) == 0.8
    assert level_of(RUN, 0.2) == 0.4
    assert level_of(RUN, 0.01) == 0.0
    assert level_of(evaluation((1, 1, 1.0))) == 0.95


def test_means_and_settled_checks() -> None:
    assert mean_f1(RUN) == pytest.approx(2.6 / 5)
    # From the snapshot at 0.3 s to the last one: 140 checks in 0.2 s.
    assert settled_checks(RUN) == pytest.approx(700)
    assert (mean_f1(evaluation()), settled_checks(evaluation((1, 1, 1)))) == (None, None)


def test_a_spread_counts_what_was_never_reached_as_endless() -> None:
    assert spread([3, 1, 2]) == (2, 1, 3)
    assert spread([3, None, 2]) == (3, 2, float("inf"))
    assert spread([None, None, 2]) is None
    assert spread([]) is None
