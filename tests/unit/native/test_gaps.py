"""Steps that are not known well enough: which they are, where they may lie, what is at stake, and who is asked."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from tests.unit.points import PAGE
from udamon.native._native import Gaps, steps_gaps

EXACT, FINEST, ONCE = PAGE, 4.0, 3


class Gap(NamedTuple):
    """In pages."""

    start: float
    end: float
    stake: float
    checks: int


def gaps(
    bounds: Sequence[int],
    low: Sequence[int],
    high: Sequence[int],
    reach: Sequence[int],
    height: Sequence[float],
) -> list[Gap]:
    places = (array("Q", [page * PAGE for page in column]) for column in (bounds, low, high, reach))
    found = call([*places, array("d", height)], EXACT, FINEST)
    pages = [[n / PAGE for n in column] for column in (found.start, found.end, found.stake)]
    return list(map(Gap, *pages, found.checks))


def call(
    buffers: Sequence[array[int] | array[float]],
    exact: int,
    finest: float,
    once: int = ONCE,
    room: int = 1 << 40,
) -> Gaps:
    return steps_gaps(**named("steps_gaps", buffers), exact=exact, finest=finest, once=once, room=room)


def test_a_wide_gap_is_doubtful_and_a_narrow_one_is_not() -> None:
    """At 64 of 128 pages, a gap is narrow up to a quarter of 64."""
    assert gaps([0, 64, 128], [50], [67], [0], [-0.5]) == [Gap(50, 67, 0.5 * 17, ONCE)]
    assert gaps([0, 64, 128], [50], [66], [0], [-0.5]) == []


def test_the_smaller_segment_decides() -> None:
    assert gaps([0, 8, 128], [6], [9], [0], [1.0]) == [Gap(6, 9, 3, ONCE)]
    assert gaps([0, 120, 128], [118], [121], [0], [1.0]) == [Gap(118, 121, 3, ONCE)]


def test_one_page_is_known_whatever_is_beside_it() -> None:
    assert gaps([0, 1, 2], [0], [1], [0], [1.0]) == []


def test_what_may_have_moved_is_looked_for_on_both_sides_within_its_segments() -> None:
    assert gaps([0, 64, 128], [60], [68], [10], [1.0]) == [Gap(50, 78, 28, 2 * ONCE)]
    assert gaps([0, 64, 128], [60], [68], [100], [1.0]) == [Gap(0, 128, 128, 2 * ONCE)]
    assert gaps([16, 64, 80], [60], [68], [50], [1.0]) == [Gap(16, 80, 64, 2 * ONCE)]


def test_each_step_for_itself_in_their_order() -> None:
    found = gaps([0, 64, 128, 192], [40, 128], [64, 129], [0, 20], [1.0, 0.5])
    assert found == [Gap(40, 64, 24, ONCE), Gap(108, 149, 20.5, 2 * ONCE)]


def test_without_steps_there_are_none() -> None:
    assert gaps([0, 64], [], [], [], []) == []


@pytest.mark.parametrize(
    ("which", "values"),
    [(0, [0, 1]), (0, [5, 1, 9]), (0, [0, 9, 5]), (1, [9]), (1, [3]), (2, [0]), (2, []), (4, [])],
)
def test_what_makes_no_sense_is_refused(which: int, values: list[int]) -> None:
    buffers: list[array[int] | array[float]] = [array("Q", [0, 1, 2]), *(array("Q", [n]) for n in (0, 2, 0))]
    buffers.append(array("d", [1.0]))
    assert len(call(buffers, 0, 1.0).start) == 1
    buffers[which] = array("d", values) if which == 4 else array("Q", values)
    with pytest.raises(ValueError, match=r"make no sense|must have"):
        call(buffers, 0, 1.0)


WORDS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 9 * PAGE))


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS, st.floats()), max_size=4), WORDS, WORDS)
def test_no_bytes_are_too_strange(
    rows: list[tuple[int, int, int, int, float]], first: int, second: int
) -> None:
    """Refused or answered, within the segments beside each step."""
    bounds = array("Q", [first, *(row[0] for row in rows), second])
    columns = [array("Q", [row[k] for row in rows]) for k in (1, 2, 3)]
    try:
        found = call([bounds, *columns, array("d", [row[4] for row in rows])], PAGE, 64.0)
    except ValueError:
        return
    for start, end in zip(found.start, found.end, strict=True):
        assert first <= start <= end <= second


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, -0.5]), st.booleans()), max_size=30),
    st.integers(1, 3),
    st.integers(0, 120),
)
def test_those_with_most_at_stake_are_asked(steps: list[tuple[float, bool]], once: int, room: int) -> None:
    """As many as there is room for, the first ones of those with as much at stake, in the order of addresses."""
    number = len(steps)
    bounds = array("Q", [64 * PAGE * k for k in range(number + 2)])
    low = array("Q", [(64 * k + 64 - k % 5) * PAGE for k in range(number)])
    high = array("Q", [(64 * k + 90) * PAGE for k in range(number)])
    reach = array("Q", [PAGE * moved for _, moved in steps])
    columns: list[array[int] | array[float]] = [
        bounds,
        low,
        high,
        reach,
        array("d", [height for height, _ in steps]),
    ]
    every = list(zip(*call(columns, PAGE, FINEST, once), strict=True))
    order = sorted(every, key=lambda gap: gap[2], reverse=True)
    taken = takewhile(
        lambda known: known[1] <= room, zip(order, accumulate(gap[3] for gap in order), strict=False)
    )
    found = list(zip(*call(columns, PAGE, FINEST, once, room), strict=True))
    assert found == sorted(gap for gap, _ in taken)
