"""What sorted ranges share with others, against counting page by page."""

from __future__ import annotations

from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from udamon.native._native import overlaps

Ranges = list[tuple[int, int]]


def columns(ranges: Ranges) -> list[array[int]]:
    return [array("Q", [start for start, _ in ranges]), array("Q", [end for _, end in ranges])]


def shared(ranges: Ranges, others: Ranges) -> list[int]:
    return overlaps(**named("overlaps", [*columns(ranges), *columns(others)])).tolist()


@st.composite
def range_lists(draw: st.DrawFn) -> Ranges:
    bounds = sorted(draw(st.lists(st.integers(0, 60), max_size=12, unique=True)))
    pairs = list(pairwise(bounds))
    return [pair for pair in pairs if draw(st.booleans())]


@given(range_lists(), range_lists())
def test_it_is_what_counting_finds(ranges: Ranges, others: Ranges) -> None:
    known = {n for start, end in others for n in range(start, end)}
    assert shared(ranges, others) == [sum(n in known for n in range(start, end)) for start, end in ranges]


def test_the_whole_address_space() -> None:
    assert shared([(0, 2**64 - 1)], [(5, 9), (2**63, 2**64 - 1)]) == [4 + 2**63 - 1]


@pytest.mark.parametrize("bad", [[(5, 4)], [(0, 9), (8, 12)], [(9, 12), (0, 5)]])
def test_what_is_not_sorted_is_refused(bad: Ranges) -> None:
    for ranges, others in ((bad, [(0, 1)]), ([(0, 1)], bad)):
        with pytest.raises(ValueError, match="not sorted"):
            shared(ranges, others)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="must have n = 1 items"):
        overlaps(**named("overlaps", [array("Q", [0]), array("Q"), array("Q"), array("Q")]))
