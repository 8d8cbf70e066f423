"""What a pattern does to its region in one sampling interval: a chance everywhere, or a moving window.

*Random*: accesses fall on pages as a Poisson process, so a page is accessed with chance 1 − exp(−λ), λ the
pattern's accesses in the interval over the pages it can reach. A stride above the page reaches only every
(stride / page)th page; that is spread over the region as a mean chance. *Sequential*: the cursor runs
over rate × stride × interval bytes, all of them accessed (a stride above the page: page / stride of them,
again as a mean); a window at least as long as the region is the whole region. A stated chance replaces
the one that follows, for the whole region or inside the window.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from udamon.model import PAGE_SIZE
from udamon.workload.layout import Layout
from udamon.workload.spec import Pattern, Workload, WorkloadPhase


class Window(NamedTuple):
    """A window of `width` bytes in the region [base, base + length) that moves `speed` bytes a nanosecond.

    At `ns` after its phase began it starts at (cursor + speed·ns) mod length, and wraps. A page is inside
    where it overlaps; each is accessed with `chance` in a sampling interval.
    """

    base: int
    length: int
    width: float
    speed: float
    chance: float
    cursor: float

    def parts(self, ns: float) -> list[tuple[int, int]]:
        """The pages inside, at `ns` after the phase began: one or two sorted ranges of addresses."""
        start = (self.cursor + self.speed * ns) % self.length
        first = int(start) // PAGE_SIZE * PAGE_SIZE
        end = _page_up(start + self.width)
        if end <= self.length:
            return [(self.base + first, self.base + end)]
        if end - self.length >= first:
            return [(self.base, self.base + self.length)]
        head = _page_up(start + self.width - self.length)
        parts = [(self.base, self.base + head), (self.base + first, self.base + self.length)]
        return parts if head else parts[1:]


class Moment(NamedTuple):
    """The occurrence of phase number `phase` that holds at some time: [begin_ns, end_ns) of workload time."""

    phase: int
    cycle: int
    begin_ns: int
    end_ns: int


def chance_everywhere(pattern: Pattern, rate: float, resident: int, sample_ns: int) -> float:
    """Chance of a page of the region's `resident` bytes, `rate` the pattern's own accesses per second."""
    if pattern.chance is not None:
        return pattern.chance
    pages = resident // PAGE_SIZE
    if not pattern.random:
        return min(1.0, PAGE_SIZE / pattern.stride) if rate else 0.0
    reached = pages if pattern.stride <= PAGE_SIZE else max(1, resident // pattern.stride)
    return -math.expm1(-rate * sample_ns / 1e9 / reached) * reached / pages


def speed(pattern: Pattern, rate: float, resident: int) -> float:
    """Bytes a nanosecond by which a sequential pattern's cursor moves."""
    if pattern.period_ns is not None:
        return resident / pattern.period_ns
    return rate * pattern.stride / 1e9


def window_bytes(pattern: Pattern, rate: float, resident: int, sample_ns: int) -> float:
    """Bytes that a sequential pattern accesses in one sampling interval."""
    if pattern.window is not None:
        return pattern.window * resident
    return speed(pattern, rate, resident) * sample_ns


class Motion:
    """When each phase holds, and where the cursor of each region is then.

    Phases repeat from the start when time runs past the last one; cursors keep their place. A region has
    one cursor: it moves by the sum of what a phase's sequential patterns on it move.
    """

    def __init__(self, workload: Workload, layout: Layout) -> None:
        self.workload = workload
        self.resident = {region.name: region.resident_end - region.start for region in layout.regions}
        self._ends = list(accumulate(phase.duration_ns for phase in workload.phases))
        self._cursors: list[dict[str, float]] = [{}]  # by phase: what all phases before it have moved
        for phase in workload.phases:
            self._cursors.append(_add(self._cursors[-1], self._moved(phase)))

    def moment(self, t_ns: int) -> Moment:
        """The phase that holds at workload time `t_ns`."""
        cycle, rest = divmod(t_ns, self._ends[-1])
        index = bisect_right(self._ends, rest)
        start = cycle * self._ends[-1]
        begin = self._ends[index - 1] if index else 0
        return Moment(index, cycle, start + begin, start + self._ends[index])

    def cursor(self, region: str, moment: Moment) -> float:
        """Where the region's cursor is when the phase begins, in bytes from the region's start."""
        length = self.resident[region] or 1
        per_cycle = self._cursors[-1].get(region, 0.0) % length
        return (per_cycle * moment.cycle + self._cursors[moment.phase].get(region, 0.0)) % length

    def own_rates(self, phase: WorkloadPhase) -> Iterator[tuple[Pattern, float]]:
        """The patterns of `phase` that reach any page, each with its own accesses per second."""
        total = sum(pattern.weight for pattern in phase.patterns)
        rate = self.workload.rate_of(phase)
        for pattern in phase.patterns:
            if self.resident[pattern.region]:
                yield pattern, rate * pattern.weight / total if total else 0.0

    def _moved(self, phase: WorkloadPhase) -> dict[str, float]:
        moved: dict[str, float] = {}
        for pattern, rate in self.own_rates(phase):
            if not pattern.random:
                way = speed(pattern, rate, self.resident[pattern.region]) * phase.duration_ns
                moved[pattern.region] = moved.get(pattern.region, 0.0) + way
        return moved


def _add(left: dict[str, float], right: dict[str, float]) -> dict[str, float]:
    return left | {name: left.get(name, 0.0) + way for name, way in right.items()}


def _page_up(size: float) -> int:
    return -(-math.ceil(size) // PAGE_SIZE) * PAGE_SIZE
