"""Regions of steps and ages: how many each target may have when all together are too many."""

from __future__ import annotations

import pytest

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.newcomers import Newcomers
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.shape import shape
from udamon.core.adaptive.space import Space
from udamon.core.adaptive.steps import Steps
from udamon.core.adaptive.target_model import TargetModel
from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.model import PAGE_SIZE, Range


def known(index: int, pages: int, changed: range) -> tuple[Target, TargetModel]:
    """A target whose steps say nothing and whose memory changed page by page at these pages, one after the other."""
    steps = Steps(Space([Range(0, pages * PAGE_SIZE)], None, 1), Parameters(), 0)
    for page in changed:
        steps.ages.change(page * PAGE_SIZE, (page + 1) * PAGE_SIZE, 1_000_000 * (page + 1))
    return Target(index), TargetModel(steps, Explorer(Parameters()), Newcomers(Parameters()))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("most", range(20, 130, 5))
def test_what_the_limit_divides_counts_before_cuts(most: int) -> None:
    """A region has at most 4 pages, which divides the small target into 16. Its share is less than that, so it
    gets none of its cuts, whatever number is left over."""
    small, large = known(0, 64, range(32, 33)), known(1, 960, range(0, 960, 2))
    shape([small, large], Attrs(max_nr_regions=most), 10_000_000_000, PAGE_SIZE, 4 * PAGE_SIZE, Parameters())
    assert [(r.start, r.end) for r in small[0].regions] == [
        (start * PAGE_SIZE, (start + 4) * PAGE_SIZE) for start in range(0, 64, 4)
    ]
    assert max(r.size for r in large[0].regions) <= 4 * PAGE_SIZE
