"""Cutting regions for a scheme, and undoing it: no byte and no touched byte is lost by either."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.core.regions import Region, cut, fold
from udamon.core.target import Target


class Cuts:
    """The cuts that schemes made, by target and address, so that they can be undone where they no longer matter.

    The kernel folds every region back into a neighbour that looks alike. Here only cuts of schemes are undone: the
    policy's own splits are how it learns, and a census has one region a mapping.
    """

    def __init__(self) -> None:
        self._at: dict[int, set[int]] = {}

    def cut(self, target: Target, at: int, size: int) -> Region:
        """Shorten the region at this place of the list to its first `size` bytes; the rest comes after it."""
        region = target.regions[at]
        whole, touched = region.end - region.start, region.touched
        rest = cut(region, size)
        region.touched = touched * size // whole
        rest.touched = touched - region.touched
        target.regions.insert(at + 1, rest)
        self._at.setdefault(target.index, set()).add(rest.start)
        return rest

    def fold_back(self, target: Target, at: int, limit: int) -> bool:
        """Undo the cut before the region at this place, if nothing tells its sides apart and the size allows."""
        here = self._at.get(target.index)
        if not here or not at:
            return False
        left, right = target.regions[at - 1], target.regions[at]
        if (
            right.start not in here
            or left.end != right.start
            or left.age != right.age
            or left.last_nr_accesses != right.last_nr_accesses
            or left.nr_accesses != right.nr_accesses
            or right.end - left.start > limit
        ):
            return False
        here.remove(right.start)
        moving = (
            left.nr_accesses_bp
        )  # equal counts, equal sums: folding would make them those of a whole aggregation
        touched = left.touched + right.touched
        fold(left, right)
        left.nr_accesses_bp, left.touched = moving, touched
        del target.regions[at]
        return True

    def forget_lost(self, targets: Sequence[Target]) -> None:
        """Cuts that merging or an update has removed since, and those of targets that are gone."""
        kept = {}
        for target in targets:
            if here := self._at.get(target.index):
                kept[target.index] = here & {region.start for region in target.regions}
        self._at = kept
