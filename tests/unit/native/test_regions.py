"""Regions cut out of a step function: where they end, and the means that they carry."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from tests.unit.points import PAGE
from udamon.native._native import NOTHING, Regions, regions_cut


class Cut(NamedTuple):
    """A region, in pages; accesses in all ticks."""

    start: float
    end: float
    accesses: float
    touched: float
    since: float


class Function(NamedTuple):
    """A step function and its ages; places in pages."""

    bounds: Sequence[int]
    state: Sequence[int]
    rate: Sequence[float]
    touched: Sequence[float]
    age_start: Sequence[int]
    since: Sequence[int]


NOW, USED, IDLE = 1000, 0.5, 0.3

TWO = Function([0, 64, 128], [0, 1], [0.0, 0.5], [0.25, 1.0], [0, 32], [7, 9])
"""Cold for 64 pages, then warm for as many; the first 32 of them since 7, all others since 9."""


def cut(
    ranges: Sequence[tuple[int, int]],
    cuts: Sequence[int],
    function: Function = TWO,
    limit: int = 1 << 30,
    granularity: int = 1,
) -> list[Cut]:
    """In pages; an aggregation has 20 ticks."""
    buffers = buffers_of(ranges, cuts, function)
    start, end, count_bp, touched, _, age, _ = call(buffers, limit * PAGE, granularity * PAGE)
    pages = [[n / PAGE for n in column] for column in (start, end, touched)]
    counts = [count / 10_000 for count in count_bp]
    return list(map(Cut, pages[0], pages[1], counts, pages[2], [NOW - aggregations for aggregations in age]))


def call(
    buffers: Sequence[array[int] | array[float]],
    limit: int = PAGE,
    granularity: int = PAGE,
    aggregation: int = 1,
) -> Regions:
    """Of 20 ticks."""
    return regions_cut(
        **named("regions_cut", buffers), limit=limit, granularity=granularity, ticks=20, latest=NOW,
        aggregation=aggregation, used=USED, idle=IDLE,
    )  # fmt: skip


def buffers_of(
    ranges: Sequence[tuple[int, int]], cuts: Sequence[int], function: Function
) -> list[array[int] | array[float]]:
    places = ([start for start, _ in ranges], [end for _, end in ranges], cuts, function.bounds)
    return [
        *(array("Q", [page * PAGE for page in column]) for column in places),
        array("B", function.state),
        array("d", function.rate),
        array("d", function.touched),
        array("Q", [page * PAGE for page in function.age_start]),
        array("q", function.since),
    ]


def test_a_region_ends_where_it_is_told_to() -> None:
    assert cut([(0, 128)], [64]) == [Cut(0, 64, 0, 16, 7), Cut(64, 128, 10, 64, 9)]


def test_without_a_cut_it_is_accessed_as_its_bytes_are_on_the_average() -> None:
    assert cut([(0, 128)], []) == [Cut(0, 128, 5, 16 + 64, 7)]
    assert cut([(0, 128)], [48]) == [Cut(0, 48, 0, 12, 7), Cut(48, 128, 20 * 0.5 * 64 / 80, 4 + 64, 9)]


def test_it_is_as_old_as_its_first_byte() -> None:
    assert [r.since for r in cut([(0, 128)], [31, 32, 33])] == [7, 7, 9, 9]


def test_an_age_begins_where_a_region_can() -> None:
    """The one since 9 begins at 32: a cut there is made at 30, and what begins there is since 9."""
    assert [r[:2] + r[4:] for r in cut([(0, 128)], [32], granularity=10)] == [(0, 30, 7), (30, 128, 9)]


def test_regions_lie_in_ranges_and_nowhere_else() -> None:
    found = cut([(8, 16), (16, 24), (60, 80)], [4, 20, 30, 64, 90])
    assert [r[:2] for r in found] == [(8, 16), (16, 20), (20, 24), (60, 64), (64, 80)]


def test_cuts_at_the_ends_of_a_range_make_no_empty_regions() -> None:
    assert [r[:2] for r in cut([(8, 16), (32, 64)], [8, 16, 32, 64])] == [(8, 16), (32, 64)]
    assert [r[:2] for r in cut([(8, 16)], [10, 10, 10])] == [(8, 10), (10, 16)]


def test_cuts_are_rounded_down_to_the_granularity() -> None:
    assert [r[:2] for r in cut([(0, 64)], [7, 9, 15, 33], granularity=8)] == [(0, 8), (8, 32), (32, 64)]


def test_large_regions_are_divided() -> None:
    found = cut([(0, 128)], [64], limit=48)
    assert [r[:2] for r in found] == [(0, 48), (48, 64), (64, 112), (112, 128)]
    assert [r.accesses for r in found] == [0, 0, 10, 10]
    assert [r[:2] for r in cut([(0, 96)], [], limit=48)] == [(0, 48), (48, 96)], "and no piece is empty"


def test_the_last_segment_and_age_hold_on_beyond_their_end() -> None:
    assert cut([(0, 256)], [64, 128]) == [
        Cut(0, 64, 0, 16, 7), Cut(64, 128, 10, 64, 9), Cut(128, 256, 10, 128, 9),
    ]  # fmt: skip


def test_no_ranges_no_regions() -> None:
    assert cut([], [3, 4]) == []


SIZE = 250  # pages


def sorted_pages(low: int = 0, high: int = SIZE, size: int = 12) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), max_size=size, unique=True).map(sorted)


@st.composite
def functions(draw: st.DrawFn) -> Function:
    random = Random(draw(st.integers(0, 2**32)))
    inner, ages = draw(sorted_pages(1, SIZE - 1)), draw(sorted_pages(1, SIZE - 1))
    rate, touched = ([random.random() for _ in range(len(inner) + 1)] for _ in range(2))
    since = [random.randrange(-5, 1000) for _ in range(len(ages) + 1)]
    state = [random.choice((0, 0, 0, 1, 9, NOTHING)) for _ in rate]
    return Function([0, *inner, SIZE], state, rate, touched, [0, *ages], since)


@st.composite
def range_lists(draw: st.DrawFn) -> list[tuple[int, int]]:
    bounds = draw(sorted_pages(size=8))
    return list(zip(bounds[::2], bounds[1::2], strict=False))


def by_page(function: Function, granularity: int) -> list[tuple[float, float, int]]:
    """Rate, touched share and since when, page by page."""
    steps = [bisect_right(function.bounds, page) - 1 for page in range(SIZE)]
    begins = [page // granularity * granularity for page in function.age_start]
    ages = [bisect_right(begins, page) - 1 for page in range(SIZE)]
    return [
        (function.rate[k], function.touched[k], function.since[age])
        for k, age in zip(steps, ages, strict=True)
    ]


# A cut that lies in the last range, rounded down to a place in the one before: it is none there.
ROUNDED_OUT = Function([0, SIZE], [1], [0.8], [0.75], [0], [425])


@example([(0, 1), (2, 3), (4, 197), (198, 200)], [7, 199], ROUNDED_OUT, 4, 7)
@given(range_lists(), sorted_pages(), functions(), st.integers(4, 100), st.sampled_from([1, 2, 7]))
def test_regions_cover_the_ranges_and_keep_every_mean(
    ranges: list[tuple[int, int]], cuts: list[int], function: Function, limit: int, granularity: int
) -> None:
    found = cut(ranges, cuts, function, limit, granularity)
    covered = [page for r in found for page in range(int(r.start), int(r.end))]
    assert covered == [page for start, end in ranges for page in range(start, end)]
    inside = [
        rounded
        for start, end in ranges
        for place in cuts
        if start < place < end and start < (rounded := place // granularity * granularity)
    ]
    ends = {*inside, *(end for _, end in ranges)}
    assert all(r.end in ends or r.end - r.start == limit for r in found)
    truth = by_page(function, granularity)
    for r in found:
        assert 0 < r.end - r.start <= limit
        rates, touched, since = zip(*truth[int(r.start) : int(r.end)], strict=True)
        # Both are rounded down: to a 10 000th of an access, and to a byte.
        assert -1e-8 < 20 * sum(rates) / len(rates) - r.accesses < 1e-4 + 1e-8
        assert -1e-8 < sum(touched) - r.touched < 1 / PAGE + 1e-8
        assert r.since == since[0]
    assert set(inside) <= {r.start for r in found}, "at every place that it was told to"


@example([(0, 20)], [], Function([0, 20], [0], [0.0], [0.0], [0, 10], [425, 426]), 100, 1)
@given(range_lists(), sorted_pages(), functions(), st.integers(4, 100), st.sampled_from([1, 2, 7]))
def test_of_idle_regions_it_is_known_what_is_not_idle_or_not_for_so_long(
    ranges: list[tuple[int, int]], cuts: list[int], function: Function, limit: int, granularity: int
) -> None:
    touched = [0.0 if share > 0.5 else share for share in function.touched]
    function = function._replace(rate=[0.0] * len(touched), touched=touched)
    buffers = buffers_of(ranges, cuts, function)
    found = call(buffers, limit * PAGE, granularity * PAGE)
    mixed = 0
    for start, end, count, bytes_touched, age in zip(
        found.start, found.end, found.count, found.touched, found.age, strict=True
    ):
        for page in range(start // PAGE, end // PAGE):
            state = function.state[bisect_right(function.bounds, page) - 1]
            since = function.since[bisect_right(function.age_start, page) - 1]
            younger = max(NOW - since, 0) < age
            idle = count == 0 and bytes_touched <= IDLE * (end - start)
            mixed += idle and (state not in {0, NOTHING} or (state == 0 and younger))
    assert found.idle_mixed == mixed * PAGE


GOOD = buffers_of([(0, 8), (8, 16)], [4], TWO)


@pytest.mark.parametrize(
    ("which", "values"),
    [
        (0, [0]),  # fewer starts than ends
        (0, [0, 4 * PAGE]),  # overlapping
        (1, [0, 16 * PAGE]),  # empty
        (0, [9 * PAGE, 8 * PAGE]),  # unsorted, and ending before it starts
        (3, [0, PAGE]),  # fewer bounds than rates
        (3, [0] * 4),
        (4, [0]),
        (5, [0.5]),
        (6, [0.5] * 3),
        (7, [0]),
        (8, []),
    ],
)
def test_what_makes_no_sense_is_refused(which: int, values: list[float]) -> None:
    buffers = list(GOOD)
    assert len(call(buffers).start) == 16
    code = GOOD[which].typecode
    buffers[which] = array("d", values) if code == "d" else array(code, map(int, values))
    with pytest.raises(ValueError, match=r"make no sense|must have"):
        call(buffers)


def test_no_segments_or_ages_are_refused() -> None:
    for emptied, bounds in (((4, 5, 6), [0]), ((7, 8), [0, 1, 2])):
        buffers = list(GOOD)
        for which in emptied:
            buffers[which] = array(GOOD[which].typecode)
        buffers[3] = array("Q", bounds)
        with pytest.raises(ValueError, match=r"make no sense|must have"):
            call(buffers)


@pytest.mark.parametrize(
    ("limit", "granularity", "aggregation"), [(0, PAGE, 1), (PAGE, 0, 1), (PAGE, PAGE, 0)]
)
def test_sizes_of_nothing_are_refused(limit: int, granularity: int, aggregation: int) -> None:
    with pytest.raises(ValueError, match=r"make no sense|must have"):
        call(GOOD, limit, granularity, aggregation)


@pytest.mark.parametrize(
    ("rate", "accesses"),
    [(0.0, 0), (0.0249, 0), (0.025, 1), (0.0999, 1), (0.1, 2), (0.4999, 9), (0.5, 10), (1.0, 20)],
)
def test_accesses_are_rounded_down_but_little_is_not_nothing(rate: float, accesses: int) -> None:
    """Of 20 ticks; from half an access on, one is counted."""
    buffers = buffers_of([(0, 64)], [], Function([0, 64], [0], [rate], [0.0], [0], [0]))
    assert call(buffers, 1 << 40).count[0] == accesses


@pytest.mark.parametrize(
    ("since", "age"),
    [(0, 10), (1, 9), (99, 9), (100, 9), (101, 8), (899, 1), (900, 1), (901, 0), (1000, 0), (1200, 0)],
)
def test_ages_are_whole_aggregations(since: int, age: int) -> None:
    """Of 100 each; the last one began at 1000. What began later, or within one before, is new."""
    buffers = buffers_of([(0, 64)], [], Function([0, 64], [0], [0.0], [0.0], [0], [since]))
    assert call(buffers, 1 << 40, aggregation=100).age[0] == age


WORDS = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 9 * PAGE)), max_size=5)


@given(
    WORDS, WORDS, WORDS, st.lists(st.floats(0, 1), min_size=1, max_size=4), WORDS, st.integers(1, 2**64 - 1)
)
def test_no_bytes_are_too_strange(
    ends: list[int], cuts: list[int], bounds: list[int], rates: list[float], ages: list[int], granularity: int
) -> None:
    """Bounds, cuts and ages in any order: not the contract, but no crash either."""
    ends = sorted({0, *ends})
    bounds = (bounds + [0] * 9)[: len(rates) + 1]
    words = (array("Q", column) for column in (ends[:-1], ends[1:], cuts, bounds))
    shares = array("d", rates)
    buffers: list[array[int] | array[float]] = [
        *words,
        array("B", [0, 1, 0, NOTHING][: len(rates)]),
        shares,
        shares,
    ]
    buffers += [array("Q", [0, *ages]), array("q", [0] * (len(ages) + 1))]
    *columns, _ = call(buffers, 2**62, granularity)
    assert len({len(column) for column in columns}) == 1


@pytest.mark.parametrize(("touched", "accesses"), [(0.0, 0), (0.49, 0), (USED, 1), (1.0, 1)])
def test_what_is_touched_here_and_there_counts_as_accessed(touched: float, accesses: int) -> None:
    """However seldom in a tick."""
    buffers = buffers_of([(0, 64)], [], Function([0, 64], [0], [0.001], [touched], [0], [0]))
    assert call(buffers, 1 << 40).count[0] == accesses
