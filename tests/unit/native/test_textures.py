"""Rates as regions tell them, worked out by hand."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest

from udamon.native._native import told_rates

Segment = tuple[int, float, float]
"""Pages, rate, touched share."""


def told(*segments: Segment, error: float = 0.0, least: float = 0.2) -> list[float]:
    bounds = [0]
    for pages, _, _ in segments:
        bounds.append(bounds[-1] + pages * 4096)
    found = told_rates(
        bounds=array("Q", bounds), rate=array("d", [rate for _, rate, _ in segments]),
        touched=array("d", [touched for _, _, touched in segments]), error=array("d", [error] * len(segments)),
        hot=0.5, least=least, errors=1.0,
    )  # fmt: skip
    assert list(found.height) == [right - left for left, right in pairwise(found.rate)]
    return list(found.rate)


def test_of_a_texture_it_is_the_rate_of_its_touched_pages() -> None:
    assert told((100, 0.3, 0.375), (900, 0, 0)) == pytest.approx([0.8, 0])
    assert told((100, 0.4, 0.38)) == [1], "no page is accessed more often than always"


def test_memory_that_is_all_touched_has_its_own_rate() -> None:
    assert told((100, 0.3, 1.0)) == [0.3]


def test_a_touched_share_that_is_not_known_makes_no_texture() -> None:
    assert told((100, 0.3, 0.5), error=0.1) == [0.6]
    assert told((100, 0.3, 0.5), error=0.11) == [0.3]


def test_a_small_share_of_the_pages_is_not_called_hot() -> None:
    assert told((100, 0.19, 0.19)) == [0.19]
    assert told((100, 0.19, 0.19), least=0.1) == [1]


@pytest.mark.parametrize(("pages", "counts"), [(50, True), (80, False)])
def test_it_counts_only_where_that_finds_more_than_it_spoils(pages: int, counts: bool) -> None:
    """F1 with what is hot alone is 2 · pages / (2 · pages + 30): 0.77, and 0.84. Half of each is held against 0.4."""
    block: Segment = (pages, 0.9, 1.0)
    share = 0.4
    f1_without = 2 * pages / (pages + pages + 30)
    f1_with = 2 * (pages + 30) / (pages + 75 + pages + 30)
    assert (f1_with > f1_without) == counts
    assert told(block, (75, share, share)) == [0.9, 1.0 if counts else share]


def test_those_with_more_hot_pages_come_first() -> None:
    found = told((40, 0.9, 1.0), (100, 0.25, 0.25), (20, 0.45, 0.45))
    assert found == [0.9, 0.25, 1.0]


def bounds_of(values: Sequence[int]) -> None:
    one = array("d", [0.0])
    told_rates(bounds=array("Q", values), rate=one, touched=one, error=one, hot=0.5, least=0.2, errors=1.0)


def test_bounds_that_descend_are_refused() -> None:
    bounds_of([4096, 4096])
    with pytest.raises(ValueError, match="make no sense"):
        bounds_of([4096, 0])
