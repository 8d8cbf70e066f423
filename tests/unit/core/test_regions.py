"""Cut, fold, age, merge, split and fit, by the numbers of the kernel's own unit tests (docs/damon.md#unit-tests)."""

from __future__ import annotations

from random import Random

import pytest

from udamon.core.fit import fit
from udamon.core.merge import age, merge_similar, merge_targets
from udamon.core.regions import Region, cut, fold
from udamon.core.split import Splitter, enforce_limit, size_limit, split_randomly
from udamon.core.target import Target
from udamon.errors import RangesError
from udamon.model import Range


def regions(*spans: tuple[int, int], acc: tuple[int, ...] = ()) -> list[Region]:
    made = [Region(*span) for span in spans]
    for region, nr_accesses in zip(made, acc, strict=False):
        region.nr_accesses = nr_accesses
    return made


def spans(found: list[Region]) -> list[tuple[int, int]]:
    return [(r.start, r.end) for r in found]


def test_new_region_has_no_accesses() -> None:
    region = Region(1, 2)
    assert (region.start, region.end, region.nr_accesses, region.age) == (1, 2, 0, 0)


def test_cut_copies_every_counter_to_both_sides() -> None:
    region = Region(0, 100)
    region.nr_accesses_bp, region.nr_accesses, region.last_nr_accesses, region.age = 420_000, 42, 15, 10
    rest = cut(region, 25)
    assert spans([region, rest]) == [(0, 25), (25, 100)]
    for part in (region, rest):
        counters = (part.nr_accesses_bp, part.nr_accesses, part.last_nr_accesses, part.age)
        assert counters == (420_000, 42, 15, 10)


def test_fold_averages_by_size_and_rounds_down() -> None:
    left, right = regions((0, 100), (100, 300), acc=(10, 20))
    left.age, right.age = 9, 21
    fold(left, right)
    assert (left.start, left.end) == (0, 300)
    assert (left.nr_accesses, left.nr_accesses_bp, left.age) == (16, 160_000, 17)


def test_merge_folds_only_adjacent_similar_and_small_enough() -> None:
    found = regions(
        (0, 100), (100, 112), (114, 122), (122, 130), (130, 156),
        (156, 170), (170, 184), (184, 230), (230, 10_170),
        acc=(0, 0, 10, 10, 20, 30, 1, 2, 5),
    )  # fmt: skip
    merge_similar(found, 9, 9_999)
    assert spans(found) == [(0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10_170)]


def test_merge_raises_the_threshold_until_the_maximum_is_met() -> None:
    target = Target(0)
    target.regions = regions(*((i, i + 1) for i in range(8)), acc=(0, 20, 0, 20, 0, 20, 0, 20))
    merge_targets([target], 0, 1_000, max_nr_regions=3, max_threshold=20)
    assert len(target.regions) <= 3
    assert all(r.age in {0, 1} for r in target.regions), "ageing happens once, however many passes"


@pytest.mark.parametrize(
    ("now", "last", "threshold", "expected"),
    [(5, 5, 0, 8), (6, 5, 0, 0), (6, 5, 1, 8), (1, 0, 5, 0), (0, 1, 5, 0), (0, 0, 0, 8)],
)
def test_age_grows_while_the_pattern_stays(now: int, last: int, threshold: int, expected: int) -> None:
    region = Region(0, 1)
    region.nr_accesses, region.last_nr_accesses, region.age = now, last, 7
    age([region], threshold)
    assert region.age == expected


@pytest.mark.parametrize(
    ("given", "pieces", "min_region", "at_most"),
    [([(0, 22)], 2, 1, 2), ([(0, 220)], 4, 1, 4), ([(0, 220), (300, 400), (500, 700)], 4, 5, 12)],
)
def test_split_list(given: list[tuple[int, int]], pieces: int, min_region: int, at_most: int) -> None:
    for seed in range(50):
        found = regions(*given)
        split_randomly(found, pieces, min_region, Random(seed))
        assert len(given) < len(found) <= at_most
        assert all(r.size % min_region == 0 and r.size > 0 for r in found)
        assert sum(r.size for r in found) == sum(end - start for start, end in given)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((6, 6), [12, 18]),  # it stands still, below a third of 60
        ((6, 6, 6), [12, 18, 18]),
        ((6, 7, 6), [12, 14, 12]),
        ((19, 19), [38, 57]),
        ((20, 20), [40, 40]),
        ((30, 31), [60, 31]),  # above a half they are left alone
    ],
)
def test_regions_are_split_in_three_when_their_number_stands_still(
    before: tuple[int, ...], after: list[int]
) -> None:
    """At most 60 regions; `before` and `after` are the numbers of one aggregation after the other."""
    splitter = Splitter(Random(1))
    found = []
    for number in before:
        one, other = Target(0), Target(1)
        one.regions = regions((0, 1_000))
        other.regions = regions(*((1_000 * i, 1_000 * (i + 1)) for i in range(1, number)))
        splitter.split([one, other], 60, 1)
        found.append(len(one.regions) + len(other.regions))
    assert found == after


@pytest.mark.parametrize(
    ("min_region", "min_nr", "limit", "count"), [(1, 10, 1, 10), (1, 15, 1, 10), (2, 2, 6, 2), (2, 10, 2, 5)]
)
def test_min_nr_regions(min_region: int, min_nr: int, limit: int, count: int) -> None:
    target = Target(0)
    target.regions = regions((0, 10))
    assert size_limit([target], min_nr, min_region) == limit
    enforce_limit(target.regions, limit)
    assert len(target.regions) == count


@pytest.mark.parametrize(
    ("old", "ranges", "expected"),
    [
        ([], [(5, 15), (15, 25)], [(5, 15), (15, 25)]),
        ([(4, 16), (24, 32)], [(18, 23)], [(18, 23)]),
        ([(4, 16), (24, 32)], [(8, 28)], [(8, 16), (16, 24), (24, 28)]),
        ([(0, 4), (4, 17)], [(0, 15), (25, 40)], [(0, 4), (4, 15), (25, 40)]),
        ([(0, 4), (42, 52)], [(0, 15), (25, 40), (44, 50)], [(0, 15), (25, 40), (44, 50)]),
    ],
)
def test_set_regions(
    old: list[tuple[int, int]], ranges: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert spans(fit(regions(*old), [Range(*r) for r in ranges], 1)) == expected


EIGHT = [(10, 20), (20, 30), (50, 55), (55, 57), (57, 59), (70, 80), (80, 90), (90, 100)]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (
            [(5, 27), (45, 55), (73, 104)],
            [(5, 20), (20, 27), (45, 55), (73, 80), (80, 90), (90, 104)],
        ),
        (
            [(5, 27), (56, 57), (65, 104)],
            [(5, 20), (20, 27), (56, 57), (65, 80), (80, 90), (90, 104)],
        ),
        (
            [(5, 27), (61, 63), (65, 104)],
            [(5, 20), (20, 27), (61, 63), (65, 80), (80, 90), (90, 104)],
        ),
        ([(5, 7), (30, 32), (65, 68)], [(5, 7), (30, 32), (65, 68)]),
    ],
)
def test_three_regions_update(ranges: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    assert spans(fit(regions(*EIGHT), [Range(*r) for r in ranges], 1)) == expected


def test_fit_keeps_counters_of_kept_regions() -> None:
    old = regions((0, 4096), (4096, 8192), acc=(3, 4))
    old[0].age = 9
    kept = fit(old, [Range(0, 12288)], 4096)
    assert [(r.start, r.end, r.nr_accesses, r.age) for r in kept] == [(0, 4096, 3, 9), (4096, 12288, 4, 0)]


@pytest.mark.parametrize(
    "ranges", [[(5, 5)], [(9, 3)], [(0, 8), (4, 12)], [(20, 30), (0, 10)], [(0, 4097), (4100, 8000)]]
)
def test_fit_refuses_and_changes_nothing(ranges: list[tuple[int, int]]) -> None:
    old = regions((0, 100))
    with pytest.raises(RangesError):
        fit(old, [Range(*r) for r in ranges], 4096)
    assert spans(old) == [(0, 100)]
