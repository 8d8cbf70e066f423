"""Regions held against the truth, and against the same in Python: the value of each stretch, one by one."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.native._native import Agreement, agreement

TICKS, HOT = 20, 0.5
Part = tuple[int, int, float]
"""Start, end, and what holds there: a count of ticks, or a mean rate."""


def compare(regions: Sequence[Part], truth: Sequence[Part], ticks: int = TICKS) -> Agreement:
    return agreement(
        start=array("Q", [part[0] for part in regions]), end=array("Q", [part[1] for part in regions]),
        count=array("I", [int(part[2]) for part in regions]), true_start=array("Q", [part[0] for part in truth]),
        true_end=array("Q", [part[1] for part in truth]), mean=array("d", [part[2] for part in truth]), ticks=ticks,
        hot=HOT,
    )  # fmt: skip


def at(parts: Sequence[Part], address: int) -> float:
    return next((value for start, end, value in parts if start <= address < end), 0.0)


def parts(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Part]]:
    """Sorted and disjoint, some beside one another and some not."""
    bounds = st.lists(st.integers(0, 200), max_size=12, unique=True).map(sorted)
    return bounds.flatmap(
        lambda places: st.lists(
            st.none() | values, min_size=max(len(places) - 1, 0), max_size=max(len(places) - 1, 0)
        ).map(
            lambda chosen: [
                (start, end, value)
                for (start, end), value in zip(pairwise(places), chosen, strict=True)
                if value is not None
            ]
        )
    )


@given(parts(st.integers(0, TICKS).map(float)), parts(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0])))
def test_each_stretch_counts_as_in_python(regions: list[Part], truth: list[Part]) -> None:
    both = predicted = 0
    error = 0.0
    bounds = sorted({bound for part in (*regions, *truth) for bound in part[:2]})
    for start, end in pairwise(bounds):
        rate, mean = at(regions, start) / TICKS, at(truth, start)
        error += (end - start) * abs(rate - mean)
        if rate >= HOT:
            predicted += end - start
            both += (end - start) * (mean >= HOT)
    assert tuple(compare(regions, truth)) == (both, predicted, error)


@pytest.mark.parametrize(
    ("regions", "truth", "ticks"),
    [
        ([(5, 4, 1)], [], TICKS),
        ([(0, 5, 1), (4, 6, 1)], [], TICKS),
        ([], [(5, 6, 1), (0, 1, 1)], TICKS),
        ([(0, 5, 1)], [], 0),
    ],
)
def test_what_makes_no_sense_is_refused(regions: list[Part], truth: list[Part], ticks: int) -> None:
    with pytest.raises(ValueError, match="not sorted, or there are no ticks"):
        compare(regions, truth, ticks)
