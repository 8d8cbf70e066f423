"""Where a target can be asked: its resident bytes, its holes, and even samples of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.points import PAGE
from udamon.core.adaptive.space import Space, gaps_of
from udamon.model import Range


def pages(*ranges: tuple[int, int]) -> list[Range]:
    return [Range(start * PAGE, end * PAGE) for start, end in ranges]


def in_pages(ranges: list[Range]) -> list[tuple[int, int]]:
    return [(start // PAGE, end // PAGE) for start, end in ranges]


def all_pages(ranges: list[Range]) -> set[int]:
    return {page for start, end in in_pages(ranges) for page in range(start, end)}


def test_where_residency_is_unknown_all_can_be_asked() -> None:
    space = Space(pages((2, 5), (8, 9)), None, 1)
    assert (space.resident, space.holes, space.total) == (pages((2, 5), (8, 9)), pages((5, 8)), 4 * PAGE)


def test_holes_are_where_nothing_is_resident_for_long_enough() -> None:
    space = Space(pages((0, 40)), pages((4, 10), (12, 20), (30, 36)), 4 * PAGE)
    assert in_pages(space.resident) == [(4, 10), (12, 20), (30, 36)]
    assert in_pages(space.holes) == [(0, 4), (20, 30), (36, 40)], "two pages are no hole"
    assert space.total == 20 * PAGE


def test_what_is_resident_outside_the_ranges_is_nothing_to_them() -> None:
    space = Space(pages((10, 20), (30, 40)), pages((0, 12), (18, 32), (34, 50)), PAGE)
    assert in_pages(space.resident) == [(10, 12), (18, 20), (30, 32), (34, 40)]
    assert in_pages(space.holes) == [(12, 18), (20, 30), (32, 34)]


def test_a_hole_may_be_larger_than_a_point() -> None:
    """As between the heap and the mappings of a process: for C it is several, side by side."""
    space = Space(pages((0, 10), (9 << 32, (9 << 32) + 10)), None, PAGE)
    assert in_pages(space.holes) == [(10, 9 << 32)]
    starts, ends = space.hole_columns
    assert (starts[0], ends[-1], list(starts[1:])) == (10 * PAGE, (9 << 32) * PAGE, list(ends[:-1]))
    assert max(end - start for start, end in zip(starts, ends, strict=True)) < (1 << 32) * PAGE


def test_where_nothing_is_resident_all_is_a_hole() -> None:
    space = Space(pages((10, 20)), [], PAGE)
    assert (in_pages(space.holes), space.total) == ([(10, 20)], 0)
    assert [len(column) for column in space.strata(9, 3)] == [0, 0]


@st.composite
def range_lists(draw: st.DrawFn, size: int = 12) -> list[Range]:
    bounds = sorted(draw(st.lists(st.integers(0, 300), max_size=size, unique=True)))
    return pages(*zip(bounds[::2], bounds[1::2], strict=False))


@given(range_lists(), range_lists(), st.integers(1, 30))
def test_resident_is_part_of_the_ranges_and_holes_are_the_rest(
    ranges: list[Range], resident: list[Range], smallest: int
) -> None:
    space = Space(ranges, resident, smallest * PAGE)
    there = all_pages(ranges) & all_pages(resident)
    assert all_pages(space.resident) == there
    missing = set(range(min(all_pages(ranges), default=0), max(all_pages(ranges), default=0) + 1)) - there
    assert all_pages(space.holes) <= missing
    assert all(hole.size >= smallest * PAGE for hole in space.holes)
    for start, end in in_pages(gaps_of(resident, ranges)):
        if end - start >= smallest:
            assert set(range(start, end)) <= all_pages(space.holes)


@given(range_lists(), range_lists())
def test_gaps_are_what_is_not_covered(ranges: list[Range], within: list[Range]) -> None:
    gaps = gaps_of(ranges, within)
    assert all_pages(gaps) == all_pages(within) - all_pages(ranges)
    assert all(a.end <= b.start for a, b in pairwise(gaps))


@given(range_lists(), st.integers(1, 40), st.integers(0, 100))
def test_samples_are_pages_of_resident_ranges_and_no_more_than_asked_for(
    ranges: list[Range], cells: int, phase: int
) -> None:
    starts, ends = Space(ranges, None, PAGE).strata(cells, phase)
    assert len(starts) <= cells
    assert all(start % PAGE == end % PAGE == 0 for start, end in zip(starts, ends, strict=True))
    for place in map(Range, starts, ends):
        assert any(r.start <= place.start < place.end <= r.end for r in ranges)


def seen_by(space: Space, cells: int, phases: range) -> Counter[int]:
    """How many checks each page can expect."""
    seen: Counter[int] = Counter()
    for phase in phases:
        for place in map(Range, *space.strata(cells, phase)):
            seen.update(all_pages([place]))
    return seen


@given(st.integers(1, 3000), st.integers(1, 40), st.integers(0, 9))
def test_eight_phases_look_at_every_page_of_a_range(size: int, cells: int, turn: int) -> None:
    """But for the last place, which may be cut short and left out then."""
    space = Space(pages((7, 7 + size)), None, PAGE)
    cell = -(-size // cells)
    width = -(-cell // 8) if turn else 0
    seen = seen_by(space, cells, range(8 * turn, 8 * turn + 8))
    assert {*seen} >= {*range(7, 7 + size - width)}


def test_small_ranges_do_not_hide_behind_each_other() -> None:
    """3 pages here, 3 pages there: a place of 32 lies in eleven of them, and is one of these each time."""
    space = Space(
        pages((0, 9 * 256)), pages(*((start, start + 3) for start in range(0, 9 * 256, 9))), 64 * PAGE
    )
    assert (space.total // PAGE, space.holes) == (768, [])
    assert len(seen_by(space, 3, range(8))) <= 3 * 8 * 3
    assert len(seen_by(space, 3, range(8 * 40))) == 768


def test_as_many_samples_as_asked_for_where_pages_go_round() -> None:
    """A cell has 24 pages, its eighths have 3; each phase lies farthest from those before."""
    space = Space(pages((0, 24), (1000, 1072)), None, PAGE)
    first_cell = []
    for phase in range(8):
        starts, ends = (list(column) for column in space.strata(4, phase))
        assert [start // PAGE - starts[0] // PAGE for start in starts] == [0, 1000, 1024, 1048]
        assert {end - start for start, end in zip(starts, ends, strict=True)} == {3 * PAGE}
        first_cell.append(starts[0] // PAGE)
    assert first_cell == [0, 12, 6, 18, 3, 15, 9, 21]


def test_huge_pages_are_asked_one_in_a_cell_and_all_of_them_in_time() -> None:
    """64 huge pages in 8 cells: each place is one, and after a few times eight none was left out."""
    huge = 512
    space = Space(pages((0, 64 * huge)), None, 1)
    seen: Counter[int] = Counter()
    for turn in range(13):
        starts, ends = space.strata(8, turn, huge * PAGE)
        assert [end - start for start, end in zip(starts, ends, strict=True)] == [huge * PAGE] * 8
        seen.update(start // (huge * PAGE) for start in starts)
    assert seen.keys() == set(range(64))
