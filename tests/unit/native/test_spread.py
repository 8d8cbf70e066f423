"""Places that are spread evenly, however many were asked for before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from tests.unit.points import PAGE, range_columns
from udamon.native._native import Spread, spread


def call(columns: Sequence[array[int]], first: int, count: int, grain: int = PAGE) -> Spread:
    return spread(**named("spread", columns), first=first, count=count, grain=grain)


def pages(ranges: Sequence[tuple[int, int]], first: int, count: int, grain: int = 1) -> list[int]:
    """The pages that are given, for ranges and a grain in pages."""
    columns = range_columns([(start * PAGE, end * PAGE) for start, end in ranges])
    starts, ends = call(columns, first, count, grain * PAGE)
    assert all(end - start == PAGE and start % PAGE == 0 for start, end in zip(starts, ends, strict=True))
    return [start // PAGE for start in starts]


BLOCK = 64
"""Pages within which the order is shuffled."""


@given(st.integers(0, 2**40), st.integers(2, 500))
def test_consecutive_places_leave_no_large_gap(first: int, count: int) -> None:
    """Fractions of the multiples of the golden ratio: the largest gap of n of them is at most 1.9 / n."""
    size = 2**20
    found = pages([(0, size)], first, count)
    assert len(found) == count
    gaps = [b - a for a, b in pairwise([*found, found[0] + size])]
    assert max(gaps) <= 1.9 * size / count + 2 * BLOCK


@given(st.integers(0, 2**40), st.lists(st.integers(1, 60), min_size=1, max_size=20))
def test_several_calls_are_spread_as_one_is(first: int, counts: list[int]) -> None:
    ranges, parts, at = [(0, 2**18)], set(), first
    for count in counts:
        parts.update(pages(ranges, at, count))
        at += count
    assert parts == {*pages(ranges, first, sum(counts))}


@given(st.integers(0, 2**40), st.integers(100, 5000))
def test_a_page_comes_again_only_after_most_others(first: int, size: int) -> None:
    """n of the fractions are never nearer to each other than 0.38 / n."""
    assert len(pages([(0, size)], first, size // 3)) == size // 3
    found = {page for turn in range(2) for page in pages([(0, size)], first + turn * size, size)}
    assert found == {*range(size)}


@pytest.mark.parametrize("period", [2, 3, 16, 32, 64, 96, 610, 987])
def test_patterns_that_repeat_are_met_as_often_as_they_are_large(period: int) -> None:
    """Stripes, half of them hot. 610 and 987 are Fibonacci numbers: multiples of the golden ratio come near to each
    other there."""
    size = 40_000
    hot = [page for page in pages([(0, size)], 0, 4000) if page % period < period / 2]
    share = sum(page % period < period / 2 for page in range(size)) / size
    assert abs(len(hot) / 4000 - share) < 3 * (share * (1 - share) / 4000) ** 0.5


def test_ranges_are_counted_through_as_if_they_were_one() -> None:
    """A range has as many of the places as its size is a part of all."""
    ranges = [(0, 3000), (10_000, 10_001), (20_000, 26_000), (90_000, 90_999)]
    whole = pages([(0, 10_000)], 7, 1000)
    assert len(whole) == 1000
    there = [page for start, end in ranges for page in range(start, end)]
    assert pages(ranges, 7, 1000) == [there[page] for page in whole]


@given(st.integers(1, 40), st.integers(0, 10**6))
def test_of_a_unit_one_page_is_given_and_another_one_later(units: int, first: int) -> None:
    grain = 512
    found = pages([(0, units * grain)], first, 8 * units, grain)
    assert len({page // grain for page in found}) == len(found) <= units
    turns = {
        page for turn in range(40) for page in pages([(0, units * grain)], first + turn * units, units, grain)
    }
    assert {page // grain for page in turns} == {*range(units)}
    assert len({page % grain for page in turns}) > 20


def test_the_last_unit_may_be_smaller() -> None:
    found = {page for first in range(300) for page in pages([(5, 5 + 2 * 64 + 3)], first, 1, 64)}
    assert max(found) in range(5 + 128, 5 + 131)
    assert min(found) >= 5


def test_nothing_of_nothing() -> None:
    assert pages([], 3, 9) == []
    assert pages([(0, 9)], 3, 0) == []
    assert len(pages([(4, 5)], 2**64 - 1, 2**28)) == 1


@pytest.mark.parametrize(
    ("ranges", "count", "grain"),
    [
        ([(0, PAGE)], 1, PAGE - 1),
        ([(0, PAGE)], 1, 2**48 + PAGE),
        ([(0, PAGE)], 2**28 + 1, PAGE),
        ([(PAGE, PAGE)], 1, PAGE),
        ([(0, PAGE), (2 * PAGE, PAGE)], 1, PAGE),
        ([(0, 2**63)], 1, PAGE),
    ],
)
def test_units_and_ranges_of_no_sense_are_refused(
    ranges: list[tuple[int, int]], count: int, grain: int
) -> None:
    with pytest.raises(ValueError, match="empty or too large"):
        call(range_columns(ranges), 0, count, grain)


def test_starts_without_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="must have"):
        call([array("Q", [0]), array("Q")], 0, 1)


WORD = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(WORD, WORD), max_size=5), WORD, st.integers(0, 2000), st.integers(0, 2**50))
def test_no_numbers_are_too_strange(
    ranges: list[tuple[int, int]], first: int, count: int, grain: int
) -> None:
    try:
        starts, ends = call(range_columns(ranges), first, count, grain)
    except ValueError:
        return
    assert len(starts) <= count
    for place in zip(starts, ends, strict=True):
        assert any(start <= place[0] < place[1] <= end for start, end in ranges)
