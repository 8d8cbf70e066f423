"""How likely an answer is under a rate, and a step in a distance."""

from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.core.adaptive.likelihood import (
    CHANGES,
    STATE_RATES,
    answer_table,
    chance,
    enter_table,
    jump_table,
    weight_table,
)  # fmt: skip
from udamon.core.adaptive.parameters import COARSE_LEVELS, LEVELS
from udamon.native._native import GAPS

STATES = len(STATE_RATES)

TABLE = answer_table(20, 0.01)


def answered(kind: int, new: bool, state: int) -> float:
    """The chance that the table gives to an answer."""
    return exp(TABLE[(2 * kind + new) * STATES + state])


def test_a_page_is_accessed_in_a_span_unless_it_is_missed_in_every_tick() -> None:
    assert chance(0.5, 3) == 0.875
    assert chance(0.5, 1) == 0.5


def test_every_level_and_every_change_between_coarse_ones_is_a_state() -> None:
    assert list(STATE_RATES[: len(LEVELS)]) == list(LEVELS)
    assert list(STATE_RATES[len(LEVELS) :]) == [after for _, after in CHANGES]
    assert set(CHANGES) == {(a, b) for a in COARSE_LEVELS for b in COARSE_LEVELS} - {
        (a, a) for a in COARSE_LEVELS
    }


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("state", range(STATES))
def test_an_answer_is_noise_once_in_a_hundred_and_else_as_its_rate_has_it(state: int, new: bool) -> None:
    rate = LEVELS[state] if state < len(LEVELS) else CHANGES[state - len(LEVELS)][new]
    for kind, span in ((1, 1), (3, 20)):
        hit = 0.5 * 0.01 + 0.99 * (1 - (1 - rate) ** span)
        assert answered(kind, new, state) == pytest.approx(hit)
        assert answered(kind - 1, new, state) == pytest.approx(1 - hit)


def test_a_hole_is_of_the_lowest_level_and_nothing_else() -> None:
    for new in (False, True):
        assert [answered(4, new, state) for state in range(STATES)] == [1.0] + [0.0] * (STATES - 1)


def test_levels_are_alike_at_first_and_changes_as_rare_as_they_are_said_to_be() -> None:
    """A change to anything between nearly never and nearly always is rarer, also while many segments change."""
    table = enter_table(16.5, 0.5)
    assert sum(map(exp, table[: len(LEVELS)])) == pytest.approx(1)
    odds = dict(zip(CHANGES, table[len(LEVELS) :], strict=True))
    assert {odd for (_, after), odd in odds.items() if 0.1 < after < 0.9} == {-16.5}
    assert {odd for (_, after), odd in odds.items() if not 0.1 < after < 0.9} == {-0.5}


def index_of(distance: int) -> int:
    """Its logarithm in eighths of an octave, linear within one; up to 8 bytes, the distance itself."""
    octave = distance.bit_length() - 1
    return 8 * octave + (distance * 8 >> octave) - 8 if distance >= 8 else distance


@given(st.integers(1, 2**48), st.integers(1, 5000), st.integers(2**12, 2**45))
def test_a_step_is_as_likely_as_the_distance_is_long(distance: int, steps: int, size: int) -> None:
    """The distance is rounded down by up to an eighth, the density to a quarter of an octave; and at most every
    second gap has a step."""
    expected = log(min(steps / size * distance, 0.5))
    found = jump_table(steps, size)[index_of(distance)]
    assert expected - log(1.125) - log(2) / 8 - 1e-9 <= found <= expected + log(2) / 8 + 1e-9
    assert len(jump_table(steps, size)) == GAPS


def test_weights_fall_with_age() -> None:
    """To 1 - 0.75 at the end of the memory, and no further."""
    weights = weight_table(0.75, 2)
    assert (len(weights), list(weights[:3])) == (256, [1.0, 0.5, 0.25])
    assert set(weights[3:]) == {0.25}
