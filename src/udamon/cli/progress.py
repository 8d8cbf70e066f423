"""One line on the terminal that says how a monitor is doing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from udamon.model import Event, Snapshot
from udamon.ops.coverage import document
from udamon.units import format_size, format_time


class Progress:
    """Subscribes to a monitor; `show` rewrites the line when `stream` is a terminal.

    `kdamond_cpu_ns` tells the CPU time that the kernel takes for the monitor, beside this process.
    """

    def __init__(
        self,
        stream: TextIO = sys.stderr,
        now: Callable[[], float] = time.monotonic,
        kdamond_cpu_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.snapshots = 0
        self.coverage: Mapping[str, object] | None = None
        """The last coverage event: what was seen and what was missed."""
        self._stream = stream
        self._now = now
        self._began = now()
        self._kdamond_cpu_ns = kdamond_cpu_ns
        self._cpu_began = time.process_time()
        self._latest: dict[int, tuple[int, int, int]] = {}  # target → snapshot, regions, hot bytes
        self._width = 0

    def coverage_document(self) -> dict[str, Any]:
        """`coverage` of a JSON document; of memory that is no process's all is seen."""
        return document(self.coverage or {"exact": True}, complete=True)

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
        sizes = snapshot.resident or [e - s for s, e in zip(snapshot.starts, snapshot.ends, strict=True)]
        hot = sum(size for size, nr in zip(sizes, snapshot.nr_accesses, strict=True) if nr >= half)
        self._latest[snapshot.target] = snapshot.seq, len(snapshot), hot
        self.snapshots += 1

    def event(self, event: Event) -> None:
        if event.name == "coverage":
            self.coverage = event.data
        elif event.name == "target_end":
            self._latest.pop(int(str(event.data["target"])), None)

    def line(self) -> str:
        regions = sum(regions for _, regions, _ in self._latest.values())
        hot = sum(hot for _, _, hot in self._latest.values())
        return (
            f"{format_time(round(self.seconds, 1))}  {self.snapshots} snapshots  {regions} regions  "
            f"hot {format_size(hot)}  monitor {self.cpu_share:.1%} CPU"
        )

    def show(self) -> None:
        if self._stream.isatty():
            line = self.line()
            self._stream.write("\r" + line.ljust(self._width))
            self._stream.flush()
            self._width = len(line)

    def clear(self) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0
