"""Which regions schemes tried, told on request: one full apply pass of each (docs/damon.md#tried-regions)."""

from __future__ import annotations

from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.core.tried import Answer, TriedRegion, TriedRegions
from udamon.schemes.pattern import accesses


class TriedRegionsPass:
    """A request that is being answered."""

    def __init__(self, number: int, answer: Answer) -> None:
        self.found = [TriedRegions() for _ in range(number)]
        self._missing = set(range(number))
        self._answer = answer

    def record(self, index: int, target: Target, region: Region, passed: int) -> None:
        if index in self._missing:
            self.found[index].regions.append(
                TriedRegion(target.index, region.start, region.end, accesses(region), region.age, passed)
            )

    def finish(self, index: int) -> bool:
        """A scheme has made a full pass; True when it was the last, and the answer was given."""
        self._missing.discard(index)
        if self._missing:
            return False
        self._answer(self.found)
        return True

    def cancel(self) -> None:
        self._answer(None)
