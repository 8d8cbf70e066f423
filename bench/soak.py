"""Does a monitor grow? `python -m bench.soak [AGGREGATIONS]`, by default one hour of them (36,000), faster than time.

A real kdamond with the native sampler on a fake root (files in memory); every update, targets end and others
come; every snapshot is recorded, with rotation. Resident memory and open descriptors are compared between the
end of a warm-up tenth and the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.unit.fake_idle import PAGE, PRESENT, START_TIME, FakeIdle
from udamon.core.attrs import Attrs
from udamon.core.clock import MonotonicClock
from udamon.core.damon import DamonPolicy
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch
from udamon.model import Emit, Event, Range, Snapshot
from udamon.ops.base import WholeTargets
from udamon.ops.idle import IdleSampler
from udamon.record.writer import Writer

HOUR = 36_000
PIDS = range(5_000, 5_020)
PAGES = 256


class ComingAndGoing(WholeTargets):
    """Three targets at a time out of twenty fake processes; each update one ends and another comes."""

    name = "soak"

    def __init__(self) -> None:
        self._next = 0

    def update(self, targets: list[Target], emit: Emit) -> None:
        if len(targets) == 3:
            gone = targets.pop(0)
            emit("target_end", {"target": gone.index, "pid": gone.pid, "why": "exited"})
        while len(targets) < 3:
            pid = PIDS[self._next % len(PIDS)]
            target = Target(self._next, pid, START_TIME, ranges=[Range(0, PAGES * PAGE)])
            emit("target_start", {"target": target.index, "pid": pid, "start_time": START_TIME})
            emit(
                "mappings",
                {"target": target.index, "add": [[0, PAGES * PAGE, "rw-p", 0, 0, ""]], "remove": []},
            )
            targets.append(target)
            self._next += 1


@dataclass(slots=True)
class Gauge:
    """Counts aggregations, reads resident memory and descriptors, and stops the kdamond at the last."""

    kdamond: Kdamond
    writer: Writer
    aggregations: int
    rss: tuple[int, int] = (0, 0)
    descriptors: tuple[int, int] = (0, 0)

    def snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.seq % 10 == 0:
            self.writer.flush()
        if snapshot.seq == self.aggregations // 10:
            self.rss, self.descriptors = (resident(), 0), (descriptors(), 0)
        elif snapshot.seq >= self.aggregations:
            self.rss, self.descriptors = (self.rss[0], resident()), (self.descriptors[0], descriptors())
            self.kdamond.stop()

    def event(self, event: Event) -> None:
        """Only snapshots count."""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def run(aggregations: int) -> Gauge:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        fake = FakeIdle(Path(name))
        for pid in PIDS:
            fake.process(pid, {page: PRESENT | (pid % 64 * 512 + page * 2 + 1) for page in range(PAGES)})
        random = Random(1)
        watch = SampledWatch(DamonPolicy(random), IdleSampler(fake.roots), random)
        # Intervals that no check can keep, so that the loop runs as fast as it can.
        attrs = Attrs(sample_us=1, aggr_us=20, update_us=200)
        kdamond = Kdamond(Context(ComingAndGoing(), watch, attrs), MonotonicClock())
        writer = Writer(Path(name) / "soak.udamon", {}, max_size=4 << 20)
        gauge = Gauge(kdamond, writer, aggregations)
        kdamond.bus.subscribe(writer)
        kdamond.bus.subscribe(gauge)
        kdamond.run()
        writer.close()
        for _, error in kdamond.bus.failures:
            raise error
    return gauge


def main(argv: Sequence[str]) -> int:
    aggregations = int(argv[0]) if argv else HOUR
    gauge = run(aggregations)
    grown = gauge.rss[1] - gauge.rss[0]
    print(
        f"{aggregations} aggregations: resident {gauge.rss[0] / 2**20:.1f} -> {gauge.rss[1] / 2**20:.1f} MiB "
        f"({grown / 1024:+.0f} KiB), descriptors {gauge.descriptors[0]} -> {gauge.descriptors[1]}"
    )
    return int(grown >= 1 << 20 or gauge.descriptors[0] != gauge.descriptors[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
