"""From the kernel's trace events, one a region, to regions of one target at the end of one aggregation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from udamon.linux.tracefs import TraceEvent

AGGREGATED, TUNED = "damon_aggregated", "damon_monitor_intervals_tune"
AGGREGATED_FIELDS = ("target_id", "nr_regions", "start", "end", "nr_accesses", "age")
TUNED_FIELDS = ("sample_us",)

Row = tuple[int, int, int, int]
"""start and end in bytes, nr_accesses, age."""


class Aggregated(NamedTuple):
    """The regions of the target at `position` in the kernel's list, as of `time_ns` (CLOCK_MONOTONIC).

    `first`: these are the first of a new aggregation; all of one aggregation have the same time.
    """

    time_ns: int
    position: int
    first: bool
    rows: list[Row]


class KernelTuned(NamedTuple):
    """The kernel chose a new sampling interval; the aggregation interval keeps its number of samples.

    `one_more`: the next regions to come were still watched with the old one.
    """

    time_ns: int
    sample_us: int
    one_more: bool


class Grouping:
    """Puts events together. A target whose events are not all there is left out and counted in `torn`."""

    def __init__(self) -> None:
        self.torn = 0
        self._position = -1  # of the last event
        self._time_ns = 0
        self._first = True
        self._missing = 0  # events that the present target still needs
        self._rows: list[Row] = []

    def feed(self, events: Iterable[TraceEvent]) -> Iterator[Aggregated | KernelTuned]:
        """Take in events in the order of time; what is not complete waits for the next call."""
        for time_ns, name, values in events:
            if name == TUNED:
                yield KernelTuned(time_ns, values[0], one_more=True)
                continue
            position, nr_regions, start, end, nr_accesses, age = values
            if not self._continues(position, start):
                self._begin(time_ns, position, nr_regions)
            self._rows.append((start, end, nr_accesses, age))
            self._missing -= 1
            if self._missing == 0:
                yield Aggregated(self._time_ns, position, self._first, self._rows)
                self._first = False

    def _continues(self, position: int, start: int) -> bool:
        return self._missing > 0 and position == self._position and start >= self._rows[-1][1]

    def _begin(self, time_ns: int, position: int, nr_regions: int) -> None:
        if self._missing > 0:
            self.torn += 1
        # Targets follow one another in the order of the kernel's list: going back means a new aggregation.
        if position <= self._position or self._position < 0:
            self._first = True
            self._time_ns = time_ns
        self._position, self._missing, self._rows = position, nr_regions, []
