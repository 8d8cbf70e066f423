"""The shapes that are held out: whole pages, 8 GiB, a minute, the same for the same draw only."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from bench.held_out import SHAPES, Area, draw, islands, workload
from udamon.model import PAGE_SIZE
from udamon.units import GIB, MIB
from udamon.workload.layout import place
from udamon.workload.truth import Truth


def test_scenes_become_phases_over_regions_cut_at_every_border() -> None:
    page = PAGE_SIZE
    made = workload(
        [(1, [Area(0, 2 * page, 0.5)]), (2, [Area(page, 3 * page, 0.2), Area(0, 4 * page, 0.1)])], 4 * page
    )
    assert [region.size // page for region in made.regions] == [1, 1, 1, 1]
    assert [phase.duration_ns for phase in made.phases] == [10**9, 2 * 10**9]
    truth = Truth(made, place(made))
    base = truth.layout.base
    later = {(e.start - base) // page: e.mean for e in truth.expected(10**9, 1, 5_000_000)}
    # Pages 1 and 2 are in both areas: 1 - 0.8 * 0.9.
    assert later == {0: pytest.approx(0.1), 1: pytest.approx(0.28), 3: pytest.approx(0.1)}


def test_islands_do_not_touch_each_other_more_than_they_must() -> None:
    places = islands(Random(1), [MIB] * 50, 64 * MIB)
    assert all(end - start == MIB for start, end in places)
    assert all(left[1] <= right[0] for left, right in pairwise(places))
    assert places[0][0] >= 0
    assert places[-1][1] <= 64 * MIB


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_whole_pages_and_drawn_anew(name: str) -> None:
    made = draw(name)
    assert sum(region.size for region in made.regions) == 8 * GIB
    assert all(region.size % PAGE_SIZE == 0 for region in made.regions)
    assert made.duration_ns >= 60 * 10**9
    assert made == draw(name)
    assert made != draw(name, 2)
