"""What DAMON_STAT tells (docs/damon.md#damon_stat): for how long memory lies idle, and how much of it is
accessed a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from udamon.core.attrs import IntervalsGoal
from udamon.model import Event, Snapshot

GOAL = IntervalsGoal(access_bp=400, aggrs=3, min_sample_us=5_000, max_sample_us=10_000_000)
REFRESH_S = 5.0
"""It is told at most this often."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """Of the last aggregation of all targets together.

    `idle_ms[p]`: the longest time that the p percent of the bytes that were accessed last have been idle, in ms;
    negative where they are accessed, then for how long. `bandwidth`: bytes accessed a second, estimated as bytes ×
    accesses seen. `aggr_us`: the aggregation interval that was chosen. `bytes`: what all that is about. Bytes are
    resident ones where those are known: DAMON_STAT takes all of a region.
    """

    idle_ms: tuple[int, ...]
    bandwidth: int
    sample_us: int
    aggr_us: int
    bytes: int


def idleness(snapshots: Iterable[Snapshot]) -> Idleness | None:
    """Of the latest snapshots, one for each target; None where they have no region."""
    idle: list[tuple[int, int]] = []  # ms, bytes
    sample_us = aggr_us = accessed = 0
    for snapshot in snapshots:
        sample_us = snapshot.sample_ns // 1_000
        aggr_us = sample_us * snapshot.ticks
        sizes = snapshot.resident or [
            end - start for start, end in zip(snapshot.starts, snapshot.ends, strict=True)
        ]
        for size, nr, age in zip(sizes, snapshot.nr_accesses, snapshot.ages, strict=True):
            time = (age + 1) * aggr_us // 1_000
            idle.append((-time if nr else time, size))
            accessed += size * nr
    if not any(size for _, size in idle):
        return None
    total = sum(size for _, size in idle)
    return Idleness(percentiles(idle), accessed * 1_000_000 // aggr_us, sample_us, aggr_us, total)


def percentiles(weighted: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """The 101 values of (value, bytes) pairs that reach 0, 1, … 100 percent of the bytes, from the least up."""
    pairs = sorted(weighted)
    total = sum(size for _, size in pairs)
    found: list[int] = []
    passed = 0
    for value, size in pairs:
        passed += size
        found += [value] * (passed * 100 // total + 1 - len(found))
    return tuple(found)


class IdleWatch:
    """Subscribes to a monitor; `latest` is what DAMON_STAT would tell now, `last` what it told last."""

    def __init__(self) -> None:
        self._latest: dict[int, Snapshot] = {}
        self._last: Idleness | None = None

    def snapshot(self, snapshot: Snapshot) -> None:
        self._latest[snapshot.target] = snapshot

    def event(self, event: Event) -> None:
        if event.name == "target_end":
            self._last = self.latest or self._last
            self._latest.pop(int(str(event.data["target"])), None)

    @property
    def latest(self) -> Idleness | None:
        return idleness(list(self._latest.values()))

    @property
    def last(self) -> Idleness | None:
        return self.latest or self._last
