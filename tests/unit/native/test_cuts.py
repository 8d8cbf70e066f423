"""Where regions may be cut, and what is at stake there."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import nlargest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from udamon.native._native import regions_cuts

COLD, HOT, HOLE = 0, 5, 255
UNSEEN, LEVEL, AGE = 0.1, 0.5, 0.25


def cuts(
    bounds: Sequence[int],
    states: Sequence[int],
    heights: Sequence[float],
    ages: Sequence[int],
    end: int = 1000,
    room: int = 1 << 40,
) -> list[tuple[int, float]]:
    """With a worth of `LEVEL` and `AGE`."""
    columns = (array("Q", bounds), bytes(states), array("d", heights), array("Q", ages))
    found = regions_cuts(
        **named("regions_cuts", columns), end=end, unseen=UNSEEN, level=LEVEL, age=AGE, room=room
    )
    return list(zip(*found, strict=True))


def test_a_step_is_worth_the_smaller_side_by_its_height() -> None:
    assert cuts([0, 100, 1000], [COLD, HOT], [0.5], [0]) == [(100, 100 * (0.5 + LEVEL))]
    assert cuts([0, 900, 1000], [HOT, COLD], [-0.5], [0]) == [(900, 100 * (0.5 + LEVEL))]


def test_beside_a_hole_what_is_not_accessed_is_not_cut_off() -> None:
    assert cuts([0, 100, 1000], [HOLE, COLD], [0.0625], [0]) == []
    assert cuts([0, 100, 1000], [COLD, HOLE], [-0.0625], [0]) == []
    assert cuts([0, 100, 1000], [COLD, HOLE], [-0.125], [0]) == [(100, 62.5)]
    assert cuts([0, 100, 1000], [COLD, HOT], [0.0625], [0]) == [(100, 56.25)]


def test_ages_alone_are_worth_less() -> None:
    assert cuts([0, 1000], [COLD], [], [0, 200, 300]) == [(200, 100 * AGE), (300, 100 * AGE)]
    assert cuts([0, 1000], [COLD], [], [0, 990]) == [(990, 10 * AGE)]


def test_a_step_where_an_age_begins_is_one_place_and_counts_as_a_step() -> None:
    assert cuts([0, 100, 1000], [COLD, HOT], [0.5], [0, 100]) == [(100, 100.0)]
    assert cuts([0, 100, 1000], [HOLE, COLD], [0.0], [0, 100]) == [(100, 100 * AGE)]


def test_all_of_them_in_order() -> None:
    found = cuts([0, 200, 400, 1000], [COLD, HOT, COLD], [1.0, -1.0], [0, 100, 300, 400, 900])
    assert [place for place, _ in found] == [100, 200, 300, 400, 900]


@pytest.mark.parametrize(
    ("bounds", "states", "heights", "ages", "end"),
    [
        ([0], [], [], [0], 9),
        ([0, 5], [0, 0], [1.0], [0], 9),
        ([0, 5, 9], [0, 0], [], [0], 9),
        ([0, 5, 5], [0, 0], [1.0], [0], 9),
        ([5, 0, 9], [0, 0], [1.0], [0], 9),
        ([0, 9], [0], [], [0, 5, 4], 9),
        ([0, 9], [0], [], [0, 9], 9),
    ],
)
def test_what_makes_no_sense_is_refused(
    bounds: list[int], states: list[int], heights: list[float], ages: list[int], end: int
) -> None:
    with pytest.raises(ValueError, match=r"make no sense|must have"):
        cuts(bounds, states, heights, ages, end)


WORDS = st.lists(st.integers(1, 999), max_size=8, unique=True).map(sorted)


@given(WORDS, WORDS, st.integers(0, 20))
def test_of_too_many_those_with_most_at_stake(steps: list[int], ages: list[int], room: int) -> None:
    """And of those with as much the first ones."""
    states, heights = [COLD] * (len(steps) + 1), [0.5] * len(steps)
    every = cuts([0, *steps, 1000], states, heights, [0, *ages])
    most = nlargest(room, every, key=lambda cut: cut[1])
    assert cuts([0, *steps, 1000], states, heights, [0, *ages], room=room) == sorted(most)


@given(WORDS, WORDS, st.data())
def test_every_step_that_counts_and_every_age_once(
    steps: list[int], ages: list[int], data: st.DataObject
) -> None:
    number = len(steps) + 1
    states = data.draw(st.lists(st.sampled_from([COLD, HOT, HOLE]), min_size=number, max_size=number))
    heights = data.draw(st.lists(st.sampled_from([0.0, 0.5, -0.5]), min_size=len(steps), max_size=len(steps)))
    found = cuts([0, *steps, 1000], states, heights, [0, *ages])
    counted = {
        place
        for k, (place, height) in enumerate(zip(steps, heights, strict=True))
        if height or HOLE not in states[k : k + 2]
    }
    assert [place for place, _ in found] == sorted(counted | set(ages))
    assert all(0 < stake <= 500 for _, stake in found)
