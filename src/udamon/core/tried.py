"""Which regions a scheme tried (docs/damon.md#tried-regions)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class TriedRegion(NamedTuple):
    """As it was when it was tried: `age` from before the action began it anew, as in kernel 7.2
    (docs/damon.md#apply-pass)."""

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
