"""The memory of a target that can be asked about: where it is resident, and even samples of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from udamon.model import PAGE_SIZE, Range
from udamon.native._native import MOST_PAGES, spread, strata
from udamon.ranges import overlap

PHASES = (0, 4, 2, 6, 1, 5, 3, 7)
"""The order of the eighths of a cell: each lies farthest from those before (van der Corput 1935)."""
GOLDEN = 0.6180339887498949
"""(√5 - 1) / 2: its multiples are spread evenly between whole numbers (Knuth, TAOCP 3, 6.4)."""


class Space:
    """`ranges` of a target as one stretch of resident bytes. `holes` are where nothing is resident, between the ranges
    too: else a segment that goes on from one range to the next would be as large as what lies between them."""

    def __init__(self, ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int) -> None:
        self.ranges = list(ranges)
        self.resident, self.holes = _resident(ranges, resident, smallest_hole)
        self.total = sum(r.size for r in self.resident)
        # A space lasts for many stretches, each of which hands these to C.
        self.hole_columns = columns_of(list(_parts(self.holes)))
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

    def spread(self, first: int, count: int, grain: int = PAGE_SIZE) -> tuple[array[int], array[int]]:
        """Starts and ends ('Q') of at most `count` pages: those of the places `first`, `first` + 1, … of a sequence of
        which any part is spread evenly over the resident bytes.

        It comes to a page again only when most of the others had their turn, as long as the resident bytes stay the
        same. Where pages have `grain` bytes, that holds for these.
        """
        start, end = self._columns
        return spread(start=start, end=end, first=first, count=count, grain=grain)


def columns_of(ranges: Sequence[Range]) -> tuple[array[int], array[int]]:
    """Starts and ends, 'Q', as the C functions want them."""
    return array("Q", [r.start for r in ranges]), array("Q", [r.end for r in ranges])


def _parts(holes: Sequence[Range]) -> Iterator[Range]:
    """Each at most as large as a point can be."""
    largest = MOST_PAGES * PAGE_SIZE
    for start, end in holes:
        for at in range(start, end, largest):
            yield Range(at, min(at + largest, end))


def _resident(
    ranges: Sequence[Range], resident: Sequence[Range] | None, smallest_hole: int
) -> tuple[list[Range], list[Range]]:
    kept = list(ranges) if resident is None else list(overlap(ranges, resident))
    if not ranges:
        return kept, []
    all_of_it = Range(ranges[0].start, ranges[-1].end)
    return kept, [hole for hole in gaps_of(kept, [all_of_it]) if hole.size >= smallest_hole]


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
