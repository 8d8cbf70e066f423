"""How a monitor is doing, in one line."""

from __future__ import annotations

import time
from collections.abc import Callable

from udamon.model import Event, Snapshot
from udamon.units import format_size, format_time


class Progress:
    """Subscribes to a monitor and counts; `line` says how far it is.

    `kdamond_cpu_ns` tells the CPU time that the kernel takes for the monitor, beside this process.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        kdamond_cpu_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.snapshots = 0
        self._now = now
        self._began = now()
        self._kdamond_cpu_ns = kdamond_cpu_ns
        self._cpu_began = time.process_time()
        self._latest: dict[int, tuple[int, int, int]] = {}  # target → snapshot, regions, hot bytes

    @property
    def seconds(self) -> float:
        return self._now() - self._began

    @property
    def cpu_share(self) -> float:
        """CPU of this process and its kdamond over the time since the start, as a share of one CPU."""
        spent = time.process_time() - self._cpu_began + self._kdamond_cpu_ns() / 1e9
        return spent / max(self.seconds, 1e-9)

    def snapshot(self, snapshot: Snapshot) -> None:
        half = snapshot.ticks / 2
        hot = sum(
            end - start
            for start, end, nr in zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True)
            if nr >= half
        )
        self._latest[snapshot.target] = snapshot.seq, len(snapshot), hot
        self.snapshots += 1

    def event(self, event: Event) -> None:
        if event.name == "target_end":
            self._latest.pop(int(str(event.data["target"])), None)

    def line(self) -> str:
        regions = sum(regions for _, regions, _ in self._latest.values())
        hot = sum(hot for _, _, hot in self._latest.values())
        return (
            f"{format_time(round(self.seconds, 1))}  {self.snapshots} snapshots  {regions} regions  "
            f"hot {format_size(hot)}  monitor {self.cpu_share:.1%} CPU"
        )
