"""What windows tell of objects, worked out by hand."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from tests.unit.native_calls import named
from udamon.native._native import add_objects

PAGE = 4096


class Objects:
    def __init__(self, *objects: tuple[int, int, int]) -> None:
        self.columns = [array("Q", column) for column in zip(*objects, strict=True)]
        zeros = bytes(8 * len(objects))
        self.most, self.least, self.resident = (array("d", zeros) for _ in range(3))
        self.last = array("Q", zeros)

    def add(
        self,
        *regions: tuple[int, ...],
        begin: int = 0,
        end: int = 10,
        alike: bool = False,
        counted: bool = True,
    ) -> None:
        rows = [region if len(region) == 4 else (*region, region[1] - region[0]) for region in regions]
        window = [array("Q", column) for column in zip(*rows, strict=True)] or [array("Q")] * 4
        sums = (self.most, self.least, self.resident, self.last)
        call(*self.columns, *sums, *window, begin, end, alike, counted)


def call(*arguments: Any) -> None:
    *arrays, begin, end, alike, counted = arguments
    arguments_by_name = named("add_objects", arrays)
    add_objects(**arguments_by_name, begin_ns=begin, end_ns=end, alike=alike, counted=counted)


def test_a_region_of_its_own_is_known() -> None:
    objects = Objects((0, 8 * PAGE, 0))
    objects.add((0, 8 * PAGE, 3 * PAGE, 6 * PAGE))
    assert (objects.most[0], objects.least[0], objects.resident[0]) == (3 * PAGE, 3 * PAGE, 6 * PAGE)
    assert objects.last[0] == 10


def test_a_part_of_a_region() -> None:
    """Half of a region of which a quarter, or three quarters, were touched: any of it, or as the whole."""
    for touched, most, least, alike in ((2, 2, 0, 1), (6, 4, 2, 3)):
        objects = Objects((0, 4 * PAGE, 0))
        objects.add((0, 8 * PAGE, touched * PAGE, 8 * PAGE))
        assert (objects.most[0], objects.least[0]) == (most * PAGE, least * PAGE)
        objects = Objects((0, 4 * PAGE, 0))
        objects.add((0, 8 * PAGE, touched * PAGE, 8 * PAGE), alike=True)
        assert (objects.most[0], objects.least[0]) == (alike * PAGE, alike * PAGE)


def test_windows_add_up_to_the_size() -> None:
    objects = Objects((0, 4 * PAGE, 0))
    for end in (10, 20, 30):
        objects.add((0, 4 * PAGE, 2 * PAGE), begin=end - 10, end=end)
    assert (objects.most[0], objects.least[0], objects.resident[0]) == (4 * PAGE, 2 * PAGE, 4 * PAGE)
    assert objects.last[0] == 30


def test_time() -> None:
    """Before the allocation nothing counts; of the window that it came in, nothing is for sure."""
    objects = Objects((0, PAGE, 15))
    objects.add((0, PAGE, PAGE), begin=0, end=10)
    assert (objects.most[0], objects.last[0]) == (0, 0)
    objects.add((0, PAGE, PAGE), begin=10, end=20)
    assert (objects.most[0], objects.least[0], objects.last[0]) == (PAGE, 0, 20)


def test_a_window_that_does_not_count_tells_when() -> None:
    objects = Objects((0, PAGE, 0), (2 * PAGE, 3 * PAGE, 0))
    objects.add((0, PAGE, PAGE), (2 * PAGE, 3 * PAGE, 0), counted=False)
    assert (list(objects.most), list(objects.last)) == ([0, 0], [10, 0])


def test_several_regions_and_objects() -> None:
    objects = Objects((PAGE, 3 * PAGE, 0), (3 * PAGE, 3 * PAGE + 64, 0), (9 * PAGE, 10 * PAGE, 0))
    objects.add((0, 2 * PAGE, PAGE), (2 * PAGE, 4 * PAGE, 2 * PAGE), (10 * PAGE, 11 * PAGE, PAGE))
    assert list(objects.most) == [2 * PAGE, 64, 0]
    assert list(objects.least) == [PAGE, 64, 0]
    assert list(objects.resident) == [2 * PAGE, 64, 0]


@pytest.mark.parametrize("objects", [((8, 4, 0),), ((0, 8, 0), (4, 9, 0))])
def test_ranges_must_be_sorted(objects: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(ValueError, match="sorted"):
        Objects(*objects).add((0, PAGE, 0))


def test_sums_must_be_writable_and_as_many() -> None:
    objects = Objects((0, 8, 0))
    with pytest.raises(TypeError, match="most"):
        call(*objects.columns, *[bytes(8)] * 4, *[array("Q")] * 4, 0, 1, False, True)
    objects.last = array("Q")
    with pytest.raises(ValueError, match="last"):
        objects.add((0, PAGE, 0))
