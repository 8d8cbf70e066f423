"""The three regions of an address space (docs/damon.md#three-regions, #unit-tests)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.model import Range
from udamon.ops.three_regions import three_regions


def regions(*pairs: tuple[int, int], unit: int = 1) -> list[tuple[int, int]] | None:
    found = three_regions([Range(*pair) for pair in pairs], unit)
    return None if found is None else [tuple(r) for r in found]  # type: ignore[misc]


def test_kunit_numbers() -> None:
    """The kernel's own test of it, docs/damon.md#unit-tests."""
    found = regions((10, 20), (20, 25), (200, 210), (210, 220), (300, 305), (307, 330))
    assert found == [(10, 25), (200, 220), (300, 330)]


def test_a_later_equal_gap_does_not_displace() -> None:
    assert regions((0, 10), (20, 30), (40, 50), (60, 70)) == [(0, 10), (20, 30), (40, 70)]
    assert regions((0, 10), (11, 20), (40, 50), (70, 80), (100, 101)) == [(0, 20), (40, 50), (70, 101)]


def test_boundaries_are_rounded_up() -> None:
    assert regions((10, 20), (200, 210), (300, 305), unit=8) == [(16, 24), (200, 216), (304, 312)]


@pytest.mark.parametrize("pairs", [[], [(1, 5)], [(1, 5), (5, 9)], [(1, 5), (9, 12), (12, 15)]])
def test_fewer_than_two_gaps(pairs: list[tuple[int, int]]) -> None:
    """The kernel's EINVAL: the caller leaves everything as it was."""
    assert regions(*pairs) is None


@given(st.lists(st.integers(0, 400), min_size=6, max_size=60, unique=True).map(sorted))
def test_nothing_mapped_is_lost(edges: list[int]) -> None:
    """Sorted, disjoint, all mappings inside; the two gaps left out are at least as large as all others."""
    mappings = [Range(*pair) for pair in zip(edges[::2], edges[1::2], strict=False)]
    found = three_regions(mappings, 1)
    if found is None:
        return
    assert [edge for region in found for edge in region] == sorted(
        edge for region in found for edge in region
    )
    assert all(any(r.start <= m.start and m.end <= r.end for r in found) for m in mappings)
    left_out = min(b.start - a.end for a, b in pairwise(found))
    inner = [
        b.start - a.end
        for a, b in pairwise(mappings)
        if any(r.start <= a.end and b.start <= r.end for r in found)
    ]
    assert all(gap <= left_out for gap in inner)
