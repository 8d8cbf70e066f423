"""Which regions schemes tried, told on request: one full apply pass of each (semantics §4.9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.schemes.pattern import accesses


class TriedRegion(NamedTuple):
    """As it was when it was tried: `age` from before the action began it anew, as in kernel 7.2 (semantics §9.10)."""

    target: int
    start: int
    end: int
    nr_accesses: int
    age: int
    sz_filter_passed: int


@dataclass(slots=True)
class TriedRegions:
    """Of one scheme, in the order they were tried."""

    regions: list[TriedRegion] = field(default_factory=list)

    @property
    def total_bytes(self) -> int:
        return sum(region.end - region.start for region in self.regions)


Answer = Callable[[Sequence[TriedRegions] | None], None]
"""Called once, on the kdamond's thread: what each scheme tried, by index; None where that cannot be told any more."""


class Walk:
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
