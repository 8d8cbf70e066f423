"""How a monitor is doing, in one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from udamon.linux import cpu_time
from udamon.model import SUMMED, Event, Snapshot
from udamon.targets.coverage import document, short
from udamon.units import counted, format_length, format_size, format_time


class Progress:
    """Subscribes to a monitor and counts; `line` says how far it is.

    `kdamond_cpu_ns` tells the CPU time that the kernel takes for the monitor, beside this process; `duration` (seconds)
    is after what time it ends.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        kdamond_cpu_ns: Callable[[], int] = lambda: 0,
        duration: float | None = None,
    ) -> None:
        self._of = "" if duration is None else f" of {format_time(duration)}"
        self.snapshots = 0
        self.coverage: Mapping[str, object] | None = None
        """The last coverage event: what was seen and what was missed."""
        self._now = now
        self._began = now()
        self._kdamond_cpu_ns = kdamond_cpu_ns
        self.start_cpu_seconds = cpu_time.process_ns() / 1e9
        """CPU that this process took before: its start."""
        self.windows = 0
        """Aggregations, of one target or of many."""
        self.most_targets = 0
        """Of one aggregation."""
        self._targets = 0
        self._seq = -1
        self._window_ns = 0
        self._ends_ns = (0, 0)  # the shortest window and the longest
        self._latest: dict[int, tuple[int, int, int]] = {}  # target → snapshot, regions, hot bytes

    def coverage_document(self) -> dict[str, Any]:
        """`coverage` of a JSON document; of memory that is no process's all is seen."""
        return document(self.coverage or {"exact": True}, complete=True)

    @property
    def seconds(self) -> float:
        return self._now() - self._began

    @property
    def cpu_share(self) -> float:
        """CPU of this process and its kdamond since its start is over, as a share of one CPU."""
        spent = cpu_time.process_ns() / 1e9 - self.start_cpu_seconds + self._kdamond_cpu_ns() / 1e9
        return spent / max(self.seconds, 1e-9)

    def snapshot(self, snapshot: Snapshot) -> None:
        half = snapshot.ticks / 2
        sizes = snapshot.resident or [e - s for s, e in zip(snapshot.starts, snapshot.ends, strict=True)]
        hot = sum(size for size, nr in zip(sizes, snapshot.nr_accesses, strict=True) if nr >= half)
        self._latest[snapshot.target] = snapshot.seq, len(snapshot), hot
        self.snapshots += 1
        if snapshot.seq != self._seq:
            self._seq, self._targets, self.windows = snapshot.seq, 0, self.windows + 1
        self._targets += 1
        self.most_targets = max(self.most_targets, self._targets)
        length = snapshot.end_ns - snapshot.begin_ns
        self._window_ns += length
        shortest, longest = self._ends_ns if self.snapshots > 1 else (length, length)
        self._ends_ns = min(shortest, length), max(longest, length)

    def event(self, event: Event) -> None:
        if event.name == "coverage":
            self.coverage = event.data
        elif event.name == "target_end":
            self._latest.pop(int(str(event.data["target"])), None)

    @property
    def cost(self) -> str:
        """What the monitor took, for people: its start and what came after it."""
        start = format_time(round(self.start_cpu_seconds, 2))
        return f"the monitor took {self.cpu_share:.2%} of a CPU, after {start} of CPU to start"

    def count(self, skipped: int = 0) -> str:
        """How many snapshots there are: of many targets, as windows. `skipped` windows could not be watched."""
        if self.most_targets <= 1:
            watched = self.snapshots
            return f"{watched} of {watched + skipped} windows" if skipped else counted(watched, "snapshot")
        some = "" if self.snapshots == self.windows * self.most_targets else "up to "
        left = f" ({skipped} of {self.snapshots + skipped} of a target skipped)" if skipped else ""
        return f"{counted(self.windows, 'window')} of {some}{self.most_targets} targets{left}"

    def window(self, wanted_s: float) -> str:
        """How long windows are: `wanted_s` each, unless their mean is another, as where intervals are tuned."""
        mean = self._window_ns / self.snapshots / 1e9 if self.snapshots else wanted_s
        if abs(mean - wanted_s) <= wanted_s / 20:
            return f"each of {format_time(wanted_s)}"
        shortest, longest = self._ends_ns
        return (
            f"each of {format_time(mean)}"
            if longest <= 1.1 * shortest
            else f"of {format_time(mean)} on average"
        )

    def line(self) -> str:
        regions = sum(regions for _, regions, _ in self._latest.values())
        hot = sum(hot for _, _, hot in self._latest.values())
        summed = f" ({SUMMED})" if len(self._latest) > 1 else ""
        missed = f"  {text}" if (text := short(self.coverage_document())) else ""
        return (
            f"{format_length(self.seconds)}{self._of}  {self.count()}  {counted(regions, 'region')}  "
            f"hot {format_size(hot)}{summed}  monitor {self.cpu_share:.1%} CPU{missed}"
        )
