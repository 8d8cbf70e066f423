"""Regions as columns and as objects: which of both a target has, and that they say the same."""

from __future__ import annotations

from array import array

from udamon.core.regions import Region, RegionColumns
from udamon.core.target import Target

COLUMNS = RegionColumns(
    array("Q", [0, 10]), array("Q", [10, 30]), array("I", [3, 1]), array("I", [5, 0]), array("Q", [8, 2]),
    array("Q", [35_000, 400]),
)  # fmt: skip


def numbers(region: Region) -> tuple[int, ...]:
    return region.start, region.end, region.nr_accesses, region.age, region.touched


def test_columns_are_handed_on_until_somebody_asks_for_objects() -> None:
    target = Target(0)
    target.columns = COLUMNS
    assert (target.nr_regions, target.covered_bytes) == (2, 30)
    assert target.columns.starts is COLUMNS.starts, "not even copied"
    regions = target.regions
    assert [numbers(region) for region in regions] == [(0, 10, 3, 5, 8), (10, 30, 1, 0, 2)]
    assert target.regions is regions, "the same ones from now on"
    regions[0].nr_accesses = 4
    del regions[1]
    assert target.covered_bytes == 10
    assert (target.nr_regions, list(target.columns.nr_accesses)) == (1, [4])
    assert list(COLUMNS.nr_accesses) == [3, 1], "snapshots that have them stay as they are"


def test_columns_take_the_place_of_objects_and_the_other_way_round() -> None:
    target = Target(0, regions=[Region(0, 5)])
    target.columns = COLUMNS
    assert [region.end for region in target.regions] == [10, 30]
    target.columns = COLUMNS
    target.regions = [Region(0, 7)]
    assert list(target.columns.ends) == [7]


def test_a_moving_sum_is_at_least_what_is_counted() -> None:
    """Little is not nothing: a count of 1 may stand for less than one access."""
    assert [region.nr_accesses_bp for region in COLUMNS.objects(begun=False)] == [35_000, 10_000]
    without = RegionColumns.of(COLUMNS.objects(begun=False))
    assert without.nr_accesses_bp is None
    assert [region.nr_accesses_bp for region in without.objects(begun=False)] == [30_000, 10_000]


def test_objects_and_columns_of_an_aggregation_that_began_say_the_same() -> None:
    """Whenever the objects are made."""
    early, late = Target(0), Target(1)
    early.columns = late.columns = COLUMNS
    assert [region.last_nr_accesses for region in early.regions] == [0, 0]
    for target in (early, late):
        target.begin_aggregation()
        assert [region.last_nr_accesses for region in target.regions] == [3, 1]


def test_regions_that_nothing_is_new_of_grow_older() -> None:
    assert list(COLUMNS.older().ages) == [6, 1]
    assert list(COLUMNS.ages) == [5, 0]
