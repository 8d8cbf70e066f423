"""The store of points: what is taken in, what is forgotten, and that it stays sorted."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from tests.unit.points import (
    HIT,
    HOLE,
    HUGE,
    LAYOUT,
    MISS,
    PAGE,
    WHOLE,
    Answer,
    Point,
    Ranges,
    pack,
    range_columns,
    take,
    take_buffers,
    unpack,
)
from udamon.core.adaptive.steps import StalePoints
from udamon.native._native import points_take

PAGE_SHIFT, HUGE_SHIFT = PAGE.bit_length() - 1, HUGE.bit_length() - 1
MANY = HUGE // PAGE


def at(*pages: int, age: int = 0) -> list[Point]:
    return [Point(page * PAGE, age=age) for page in pages]


def pages_of(points: list[Point]) -> list[int]:
    return [p.start // PAGE for p in points]


def test_new_answers_come_among_the_old_points_by_address() -> None:
    answers = [Answer(2 * PAGE, 1), Answer(6 * PAGE, 0)]
    assert take(at(1, 4, 9), answers) == [
        Point(1 * PAGE), Point(2 * PAGE, HIT), Point(4 * PAGE), Point(6 * PAGE), Point(9 * PAGE),
    ]  # fmt: skip


def test_answers_in_any_order_are_sorted_and_equal_ones_keep_theirs() -> None:
    places = [7, 3, 9, 1, 3, 8, 2, 0]
    answers = [Answer(page * PAGE, number % 2) for number, page in enumerate(places)]
    found = take([], answers)
    assert pages_of(found) == sorted(places)
    assert [p.kind for p in found if p.start == 3 * PAGE] == [1, 0], "the second answer, then the fifth"
    assert take(at(3, age=4), answers)[3] == Point(3 * PAGE, MISS, 4), "old ones come before new ones"


def test_an_address_anywhere_in_its_page_speaks_for_the_page() -> None:
    assert take([], [Answer(5 * PAGE + 4095, 1)]) == [Point(5 * PAGE, HIT)]


def test_a_huge_page_is_one_aligned_point_of_all_its_pages() -> None:
    assert take([], [Answer(3 * HUGE + 77 * PAGE, 1, shift=HUGE_SHIFT)]) == [Point(3 * HUGE, HIT, 0, MANY)]


def test_of_a_huge_page_only_what_lies_in_the_space_is_a_point() -> None:
    answers = [Answer(HUGE - PAGE, 1, shift=HUGE_SHIFT), Answer(4 * HUGE + PAGE, 1, shift=HUGE_SHIFT)]
    found = take([], answers, begin=HUGE - 3 * PAGE, end=4 * HUGE + 2 * PAGE)
    assert found == [Point(HUGE - 3 * PAGE, HIT, 0, 3), Point(4 * HUGE, HIT, 0, 2)]
    assert take([], answers, begin=HUGE, end=4 * HUGE) == []


def test_what_is_no_access_is_a_miss() -> None:
    assert [p.kind for p in take([], [Answer(0, 0), Answer(PAGE, 1), Answer(2 * PAGE, 2)])] == [
        MISS,
        HIT,
        MISS,
    ]


def test_only_spans_of_at_least_the_whole_are_whole() -> None:
    answers = [Answer(page * PAGE, page % 2, span=13 + page) for page in range(4)]
    assert [p.kind for p in take([], answers, whole=15)] == [MISS, HIT, WHOLE, WHOLE + HIT]


def test_only_answers_of_the_targets_own_slots_are_taken() -> None:
    answers = [Answer(page * PAGE, 1, slot=page % 3) for page in range(6)]
    assert pages_of(take([], answers, slots=[4, 7, 4], target=4)) == [0, 2, 3, 5]
    assert pages_of(take([], answers, slots=[4, 7, 4], target=7)) == [1, 4]
    assert take([], answers, slots=[4, 7, 4], target=1) == []


def test_points_age_and_are_forgotten_beyond_the_limit() -> None:
    old = [Point(page * PAGE, age=14 + page) for page in range(3)]
    assert take(old, older=0) == old
    assert [p.age for p in take(old, older=1)] == [15, 16]
    assert [p.age for p in take(old, [Answer(9 * PAGE, 1)], older=2)] == [16, 0], "a new one is of now"


def test_the_greatest_age_is_no_overflow() -> None:
    old = [Point(0, age=254), Point(PAGE, age=255)]
    assert take(old, older=1, limit=255) == [Point(0, age=255)]
    assert take(old, older=255, limit=255) == []


def test_dropping_spares_what_lies_outside_the_ranges_and_what_is_new() -> None:
    old = at(0, 1, 2, 3, 4, 5, 6)
    drop = [StalePoints(1 * PAGE, 3 * PAGE, 0), StalePoints(5 * PAGE, 6 * PAGE, 0)]
    answers = [Answer(1 * PAGE, 1), Answer(5 * PAGE, 1)]
    found = take(old, answers, drop=drop)
    assert found == [
        Point(0), Point(PAGE, HIT), Point(3 * PAGE), Point(4 * PAGE), Point(5 * PAGE, HIT), Point(6 * PAGE),
    ]  # fmt: skip


@pytest.mark.parametrize("older", [0, 1])
def test_points_are_dropped_by_the_age_they_have_had_so_far(older: int) -> None:
    """What is said of them was said before they grew older."""
    old = [Point(page * PAGE, age=page) for page in range(4)]
    for age in range(5):
        found = take(old, drop=[StalePoints(0, 9 * PAGE, age)], older=older)
        assert found == [Point(page * PAGE, age=page + older) for page in range(min(age, 4))]


def test_every_range_has_an_age_of_its_own() -> None:
    old = [Point(page * PAGE, age=age) for page in range(6) for age in (1, 4)]
    found = take(
        old,
        drop=[
            StalePoints(first * PAGE, end * PAGE, age)
            for first, end, age in ((0, 1, 0), (2, 3, 2), (3, 5, 5))
        ],
    )
    assert [(p.start // PAGE, p.age) for p in found] == [
        (1, 1), (1, 4), (2, 1), (3, 1), (3, 4), (4, 1), (4, 4), (5, 1), (5, 4),
    ]  # fmt: skip


def test_points_that_spanned_the_aggregation_become_outdated_and_stay_so() -> None:
    """From the age on, in the range alone; others, of one tick, are what they were."""
    old = [
        Point(page * PAGE, kind, age) for page in range(4) for age in (1, 4) for kind in (MISS, WHOLE | HIT)
    ]
    found = take(old, drop=[StalePoints(PAGE, 3 * PAGE, 2, outdate=2)], older=1)
    assert len(found) == len(old)
    outdated = [(p.start // PAGE, p.kind, p.age, p.outdated) for p in found if p.outdated]
    assert outdated == [(1, WHOLE | HIT, 5, 2), (2, WHOLE | HIT, 5, 2)]
    again = take(found, drop=[StalePoints(0, 2 * PAGE, 0, outdate=1)], older=1)
    later = [(p.start // PAGE, p.age, p.outdated) for p in again if p.outdated]
    assert later == [(0, 3, 1), (0, 6, 1), (1, 3, 1), (1, 6, 3), (2, 6, 2)]


def test_holes_are_points_and_nothing_else_lies_in_them() -> None:
    holes = [(0, 2 * PAGE), (4 * PAGE, 7 * PAGE)]
    answers = [Answer(6 * PAGE, 0), Answer(7 * PAGE, 1)]
    assert take(at(1, 2, 3, 4, 5), answers, holes=holes) == [
        Point(0, HOLE, pages=2), Point(2 * PAGE), Point(3 * PAGE), Point(4 * PAGE, HOLE, pages=3),
        Point(7 * PAGE, HIT),
    ]  # fmt: skip


def test_holes_are_those_of_now_only() -> None:
    before = take(at(1), holes=[(2 * PAGE, 4 * PAGE)])
    assert take(before, holes=[(5 * PAGE, 6 * PAGE)], older=1) == [
        Point(PAGE, age=1), Point(5 * PAGE, HOLE, pages=1),
    ]  # fmt: skip
    assert take(before, holes=[]) == at(1)


def test_a_hole_larger_than_a_point_can_say_is_as_large_as_it_can() -> None:
    assert take([], holes=[(0, PAGE << 33)]) == [Point(0, HOLE, pages=2**32 - 1)]


def model(
    old: list[Point], answers: list[Answer], slots: list[int], holes: Ranges, drop: list[StalePoints],
    older: int, limit: int, begin: int, end: int,
) -> list[Point]:  # fmt: skip
    """The contract, for target 0 and whole spans of 15, one point after the other."""

    def stale(point: Point) -> StalePoints | None:
        found = (one for one in drop if one.start <= point.start < one.end and point.age >= one.age)
        return next(found, None)

    def aged(point: Point, why: StalePoints | None) -> Point:
        outdated = point.outdated | (why.outdate if why and point.kind & WHOLE else 0)
        return point._replace(age=point.age + older, outdated=outdated)

    def hidden(point: Point) -> bool:
        return any(start <= point.start < end for start, end in holes)

    kept = [aged(p, why) for p in old if p.kind != HOLE and ((why := stale(p)) is None or why.outdate)]
    kept = [p for p in kept if p.age <= limit]
    for a in answers:
        if slots[a.slot] == 0:
            size = 1 << a.shift
            first = a.address // size * size
            pages = [page for page in range(first, first + size, PAGE) if begin <= page < end]
            kind = HIT * (a.answer == 1) + WHOLE * (a.span >= 15)
            kept += [Point(pages[0], kind, 0, len(pages))] if pages else []
    points = [p for p in kept if not hidden(p)]
    points += [Point(start, HOLE, 0, (end - start) // PAGE) for start, end in holes]
    return sorted(points, key=lambda p: p.start)


@st.composite
def page_ranges(draw: st.DrawFn) -> list[tuple[int, int]]:
    cuts = draw(st.lists(st.integers(0, 1200), max_size=8, unique=True).map(sorted))
    return [(start * PAGE, end * PAGE) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]


SPACE = st.integers(0, 1200 * PAGE)
OLD = st.builds(
    lambda page, kind, age, huge: Point(page // MANY * HUGE if huge else page * PAGE, kind, age, MANY if huge else 1),
    st.integers(0, 1200), st.sampled_from([0, 1, 2, 3, 4]), st.integers(0, 20), st.booleans(),
)  # fmt: skip
ANSWER = st.builds(
    Answer,
    SPACE,
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from([1, 14, 15, 20]),
    st.sampled_from([PAGE_SHIFT, HUGE_SHIFT]),
)


@given(
    st.lists(OLD, max_size=30).map(sorted), st.lists(ANSWER, max_size=30), st.lists(st.integers(0, 1), min_size=3),
    page_ranges(), page_ranges(), st.lists(st.integers(0, 20), min_size=4, max_size=4), st.integers(0, 3),
    st.integers(0, 20), st.integers(0, 1200), st.integers(0, 1200),
)  # fmt: skip
def test_points_are_those_of_the_contract(
    old: list[Point], answers: list[Answer], slots: list[int], holes: list[tuple[int, int]],
    places: list[tuple[int, int]], ages: list[int], older: int, limit: int, begin: int, end: int,
) -> None:  # fmt: skip
    drop = [StalePoints(start, end, age, age % 4) for (start, end), age in zip(places, ages, strict=False)]
    begin, end = begin * PAGE, end * PAGE
    found = take(
        old, answers, slots=slots, holes=holes, drop=drop, older=older, limit=limit, begin=begin, end=end
    )
    assert found == model(old, answers, slots, holes, drop, older, limit, begin, end)
    assert all(a.start <= b.start for a, b in pairwise(found))


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(0, 1, slot=1),
        Answer(0, 1, slot=2**32 - 1),
        Answer(0, 1, shift=11),
        Answer(0, 1, shift=41),
        Answer(0, 1, shift=255),
    ],
)
def test_answers_of_no_slot_or_of_no_page_are_refused(wrong: Answer) -> None:
    with pytest.raises(ValueError, match="no slot, or not for pages"):
        take([], [Answer(0, 1), wrong])


@pytest.mark.parametrize("longer", [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12])
def test_columns_of_different_lengths_are_refused(longer: int) -> None:
    """Not the points, and not the slots, which have lengths of their own."""
    buffers = take_buffers(pack([]), [Answer(0, 1)], [0], [*range_columns([]), *range_columns([])])
    values: dict[str, Any] = {
        "target": 0,
        "whole": 15,
        "older": 0,
        "limit": 16,
        "begin": 0,
        "end": 1 << 62,
        "least": 0,
    }
    assert points_take(**named("points_take", buffers), **values) != b""
    column = buffers[longer]
    assert isinstance(column, array)
    column.append(0)
    with pytest.raises(ValueError, match="must have"):
        points_take(**named("points_take", buffers), **values)


def test_of_a_segment_of_which_little_is_known_points_are_not_forgotten() -> None:
    """Three of the first segment and one of the second, whose last looks are as old."""
    old = [Point(page * PAGE, age=16) for page in (1, 2, 3, 12)]
    segments = [(10 * PAGE, 3.0), (20 * PAGE, 0.6)]
    assert take(old, older=1, segments=segments, least=2) == [Point(12 * PAGE, age=17)]
    assert take(old, older=1, segments=segments, least=0) == []
    assert take(old, older=1, segments=segments, least=4) == [point._replace(age=17) for point in old]


def test_no_point_is_older_than_an_age_can_be() -> None:
    old = [Point(PAGE, age=250)]
    assert take(old, older=100, segments=[(20 * PAGE, 0.6)], least=2) == [Point(PAGE, age=255)]


@pytest.mark.parametrize(("older", "limit"), [(256, 16), (0, 256), (2**32 - 1, 255)])
def test_ages_that_do_not_fit_are_refused(older: int, limit: int) -> None:
    with pytest.raises(ValueError, match="must fit into 8 bits"):
        take(at(1), older=older, limit=limit)


COLUMN = st.lists(st.integers(0, 2**64 - 1), max_size=6)


@given(
    st.binary(max_size=100), st.lists(ANSWER, max_size=12), st.lists(COLUMN, min_size=5, max_size=5),
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_no_bytes_are_too_strange(
    old: bytes, answers: list[Answer], columns: list[list[int]], older: int, limit: int, begin: int, end: int
) -> None:
    """Unsorted points, ranges that overlap or end before they start: not the contract, but no crash either."""
    size = min(map(len, columns))
    ranges = [array("Q", column[:size]) for column in columns[:4]]
    dropped = [word % 256 for word in columns[4][:size]], [word % 2 for word in columns[4][:size]]
    old = old[: len(old) // LAYOUT.size * LAYOUT.size]
    buffers = take_buffers(old, answers, [0, 1, 0], ranges, dropped)
    values: dict[str, Any] = {"target": 0, "whole": 15, "older": older, "limit": limit, "least": 0}
    values |= {"begin": begin, "end": end}
    found = unpack(points_take(**named("points_take", buffers), **values))
    assert len(found) <= len(old) // LAYOUT.size + len(answers) + size
