"""Regions that cover the ranges of their targets."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.fit import fit
from udamon.core.target import Target
from udamon.errors import RangesError
from udamon.model import Range


class RegionFitting:
    """Fits regions into ranges where these have changed: no policy lets regions cover anything else meanwhile."""

    def __init__(self, min_region: int) -> None:
        self._min_region = min_region
        self._covered: dict[int, list[Range]] = {}

    def fit(self, targets: Sequence[Target]) -> None:
        """Make the regions of all targets cover their ranges. Those that make no sense leave the regions as they are,
        like the kernel's EINVAL."""
        before, self._covered = self._covered, {}
        for target in targets:
            if not target.nr_regions or before.get(target.index) != target.ranges:
                try:
                    target.regions = fit(target.regions, target.ranges, self._min_region)
                except RangesError:
                    continue
            self._covered[target.index] = list(target.ranges)
