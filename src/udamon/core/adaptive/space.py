"""The memory of a target that can be asked about: where it is resident, and even samples of it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from udamon.model import PAGE_SIZE, Range
from udamon.native._native import strata

PHASES = (0, 4, 2, 6, 1, 5, 3, 7)
"""The order of the eighths of a cell: each lies farthest from those before (van der Corput 1935)."""
GOLDEN = 0.6180339887498949
"""(√5 - 1) / 2: its multiples are spread evenly between whole numbers (Knuth, TAOCP 3, 6.4)."""


class Space:
    """`ranges` of a target as one stretch of resident bytes. `holes` are where nothing is resident."""

    def __init__(self, ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int) -> None:
        self.ranges = list(ranges)
        self.resident, self.holes = _resident(ranges, resident, smallest_hole)
        self.total = sum(r.size for r in self.resident)
        # A space lasts for many stretches, each of which hands these to C.
        self.hole_columns = columns_of(self.holes)
        self._columns = columns_of(self.resident)

    def strata(self, cells: int, phase: int, grain: int = PAGE_SIZE) -> tuple[array[int], array[int]]:
        """Starts and ends ('Q') of one place in each of at most `cells` equal cells of the resident bytes.

        A place is an eighth of its cell; eight phases, counted on, cover all of it. Where it lies in several
        ranges, it is one of those parts, each as often as it is large. Where pages have `grain` bytes, more than one
        that is counted in elsewhere, a place is one of them.
        """
        if not self.total or cells < 1:
            return array("Q"), array("Q")
        cell = -(-self.total // (cells * grain))  # pages
        width = -(-cell // 8)
        offset = cell * PHASES[phase % 8] // 8
        inside = int(phase // 8 * GOLDEN % 1 * width)
        if grain > PAGE_SIZE:
            width, offset, inside = 1, int(phase * GOLDEN % 1 * cell), 0
        start, end = self._columns
        return strata(
            start=start, end=end, offset=offset * grain, cell=cell * grain, width=width * grain, inside=inside * grain,
        )  # fmt: skip


def columns_of(ranges: Sequence[Range]) -> tuple[array[int], array[int]]:
    """Starts and ends, 'Q', as the C functions want them."""
    return array("Q", [r.start for r in ranges]), array("Q", [r.end for r in ranges])


def _resident(
    ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int
) -> tuple[list[Range], list[Range]]:
    if resident is None:
        return list(ranges), []
    kept: list[Range] = []
    holes: list[Range] = []
    at = 0
    for start, end in ranges:
        reached = start
        while at < len(resident) and resident[at].end <= start:
            at += 1
        for k in range(at, len(resident)):
            if resident[k].start >= end:
                break
            first, last = max(resident[k].start, start), min(resident[k].end, end)
            if first - reached >= smallest_hole:
                holes.append(Range(reached, first))
            kept.append(Range(first, last))
            reached = last
        if end - reached >= smallest_hole:
            holes.append(Range(reached, end))
    return kept, holes


def gaps_of(ranges: Sequence[Range], within: Sequence[Range]) -> list[Range]:
    """The parts of `within` that none of `ranges` covers; both sorted and disjoint."""
    gaps = []
    for start, end in within:
        for known in ranges:
            if known.end <= start:
                continue
            if known.start >= end:
                break
            if known.start > start:
                gaps.append(Range(start, known.start))
            start = known.end
        if start < end:
            gaps.append(Range(start, end))
    return gaps
