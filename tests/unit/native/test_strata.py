"""Even samples of ranges, counted through them as if they were one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from tests.unit.points import PAGE, range_columns
from udamon.native._native import Strata, strata


def call(columns: Sequence[array[int]], offset: int, cell: int, width: int, inside: int) -> Strata:
    return strata(**named("strata", columns), offset=offset, cell=cell, width=width, inside=inside)


def places(
    ranges: Sequence[tuple[int, int]], cell: int, width: int, offset: int = 0, inside: int = 0
) -> list[tuple[int, int]]:
    """In pages."""
    columns = range_columns([(start * PAGE, end * PAGE) for start, end in ranges])
    sizes = (size * PAGE for size in (offset, cell, width, inside))
    starts, ends = call(columns, *sizes)
    assert all(place % PAGE == 0 for place in [*starts, *ends])
    return [(start // PAGE, end // PAGE) for start, end in zip(starts, ends, strict=True)]


def test_a_place_in_every_cell() -> None:
    assert places([(100, 140)], cell=16, width=2) == [(100, 102), (116, 118), (132, 134)]
    assert places([(100, 140)], cell=16, width=2, offset=8) == [(108, 110), (124, 126)]
    assert places([(100, 140)], cell=16, width=2, offset=40) == []


def test_cells_go_on_from_one_range_to_the_next() -> None:
    """The first cell has 10 pages in one range and 6 in the next: so the second begins at 206."""
    assert places([(100, 110), (200, 230)], cell=16, width=2) == [(100, 102), (206, 208), (222, 224)]
    assert places([(0, 2), (4, 6), (8, 10), (12, 14)], cell=4, width=1) == [(0, 1), (8, 9)]
    assert places([(0, 2), (4, 6), (8, 10), (12, 14)], cell=4, width=1, offset=3) == [(5, 6), (13, 14)]


def test_no_place_reaches_beyond_its_range() -> None:
    assert places([(100, 110), (200, 230)], cell=16, width=4, offset=8)[0] == (108, 110)
    assert places([(0, 1), (3, 4)], cell=1, width=9) == [(0, 1), (3, 4)]


def test_of_a_place_in_several_ranges_the_part_is_given_that_has_a_certain_byte() -> None:
    """The place is 101, 102, 200 and 300."""
    ranges = [(100, 103), (200, 201), (300, 310)]
    parts = [places(ranges, cell=100, width=4, offset=1, inside=inside) for inside in range(4)]
    assert parts == [[(101, 103)], [(101, 103)], [(200, 201)], [(300, 301)]]
    assert places([(100, 103)], cell=100, width=4, inside=2) == [(100, 103)]
    assert places([(100, 103)], cell=100, width=4, inside=3) == [], "it would lie beyond"


def test_nothing_of_nothing() -> None:
    assert places([], cell=1, width=1) == []


@st.composite
def range_lists(draw: st.DrawFn) -> list[tuple[int, int]]:
    bounds = sorted(draw(st.lists(st.integers(0, 300), max_size=16, unique=True)))
    return list(zip(bounds[::2], bounds[1::2], strict=False))


@given(range_lists(), st.integers(1, 40), st.integers(1, 40), st.integers(0, 50), st.integers(0, 39))
def test_places_are_those_of_the_contract(
    ranges: list[tuple[int, int]], cell: int, width: int, offset: int, inside: int
) -> None:
    inside %= width
    pages = [(page, r) for r, (start, end) in enumerate(ranges) for page in range(start, end)]
    expected = []
    for first in range(offset, len(pages) - inside, cell):
        place = pages[first : first + width]
        part = [page for page, r in place if r == place[inside][1]]
        expected.append((part[0], part[-1] + 1))
    assert places(ranges, cell, width, offset, inside) == expected


@pytest.mark.parametrize(
    ("ranges", "cell", "width"),
    [
        ([(0, PAGE)], 0, PAGE),
        ([(0, PAGE)], PAGE, 0),
        ([(0, PAGE)], 2**48 + 1, PAGE),
        ([(PAGE, PAGE)], PAGE, PAGE),
        ([(0, PAGE), (2 * PAGE, PAGE)], PAGE, PAGE),
        ([(0, 2**63)], 2**48, PAGE),
    ],
)
def test_cells_and_ranges_of_no_sense_are_refused(
    ranges: list[tuple[int, int]], cell: int, width: int
) -> None:
    with pytest.raises(ValueError, match="empty or too large"):
        call(range_columns(ranges), 0, cell, width, 0)


@pytest.mark.parametrize(("offset", "width", "inside"), [(0, 5, 5), (2**64 - 2, 9, 4)])
def test_a_byte_outside_of_its_place_is_refused(offset: int, width: int, inside: int) -> None:
    with pytest.raises(ValueError, match="empty or too large"):
        call(range_columns([(0, PAGE)]), offset, PAGE, width, inside)


def test_starts_without_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="must have"):
        call([array("Q", [0]), array("Q")], 0, PAGE, PAGE, 0)


WORD = st.integers(0, 2**64 - 1)


@given(st.lists(st.tuples(WORD, WORD), max_size=5), WORD, st.integers(2**44, 2**49), WORD, WORD)
def test_no_numbers_are_too_strange(
    ranges: list[tuple[int, int]], offset: int, cell: int, width: int, inside: int
) -> None:
    columns = range_columns(ranges)
    try:
        starts, ends = call(columns, offset, cell, width, inside)
    except ValueError:
        return
    for place in zip(starts, ends, strict=True):
        assert any(start <= place[0] < place[1] <= end for start, end in ranges)
