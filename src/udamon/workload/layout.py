"""Where the regions of a workload lie: addresses, which of them are mapped and which have pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from udamon.model import PAGE_SIZE, Range
from udamon.workload.spec import Workload

Kind = Literal["one", "separate"]

SIMULATED_BASE = 1 << 44
"""The first address of a simulated space: page-aligned, and 64 TiB fit above it below 2^47."""


@dataclass(frozen=True, slots=True)
class PlacedRegion:
    """A region at its addresses [start, end); pages are in [start, resident_end) only."""

    name: str
    start: int
    end: int
    resident_end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All regions of a workload, in its order. `kind` "one": adjacent in one mapping; "separate": with an
    unmapped guard page between neighbours, so that each is a mapping of its own."""

    kind: Kind
    base: int
    regions: tuple[PlacedRegion, ...]

    @property
    def span(self) -> Range:
        """From the first region's start to the last one's end, guard pages included."""
        return Range(self.base, self.regions[-1].end)

    def ranges(self) -> list[Range]:
        """What is mapped, as a monitor of mappings sees it."""
        if self.kind == "one":
            return [self.span]
        return [Range(region.start, region.end) for region in self.regions]

    def guards(self) -> list[Range]:
        """The pages between regions that must not be mapped."""
        pairs = zip(self.regions, self.regions[1:], strict=False)
        return [Range(left.end, right.start) for left, right in pairs if left.end < right.start]

    def resident(self) -> list[Range]:
        """What has pages, sorted, neighbours joined."""
        joined: list[Range] = []
        for region in self.regions:
            if joined and joined[-1].end == region.start < region.resident_end:
                joined[-1] = Range(joined[-1].start, region.resident_end)
            elif region.start < region.resident_end:
                joined.append(Range(region.start, region.resident_end))
        return joined


def place(workload: Workload, kind: Kind = "one", base: int = SIMULATED_BASE) -> Layout:
    """Lay `workload` out from the address `base`, a multiple of the page."""
    placed = []
    start = base
    for region in workload.regions:
        end = start + region.size
        placed.append(PlacedRegion(region.name, start, end, start + region.resident_bytes))
        start = end + (PAGE_SIZE if kind == "separate" else 0)
    return Layout(kind, base, tuple(placed))
