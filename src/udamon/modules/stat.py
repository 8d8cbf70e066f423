"""What DAMON_STAT tells (docs/damon.md#damon_stat): for how long memory lies idle, and how much of it is
accessed a second."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from udamon.core.ages import AgesReport, SampleBounds, seen_of
from udamon.core.attrs import IntervalsGoal
from udamon.core.idle_time import SECONDS, IdleTimes, Together, alone, total
from udamon.core.sampled_idle import SampledIdle
from udamon.model import NOWHERE, Event, Snapshot, grain, is_census

GOAL = IntervalsGoal(access_bp=400, aggrs=3, min_sample_us=5_000, max_sample_us=10_000_000)
REFRESH_S = 5.0
"""It is told at most this often."""
MOST_WINDOWS = 4096
"""Begins of windows that are kept of a target; where there are more, every second of them."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """Of the last aggregation of all targets together.

    `idle_ms[p]`: the longest time that the p percent of the bytes that were accessed last have been idle, in ms;
    negative where they are accessed, then for how long. `at_least[p]`: that is all of the time for which the target
    was watched, so it may be longer. `bandwidth`: bytes accessed a second, estimated as bytes × accesses seen; None
    where a census counts no accesses. `bandwidth_low`: bytes surely accessed a second, each once in a window.
    `aggr_us`: the aggregation interval that was chosen. `bytes`: what all that is about. Bytes are resident ones
    where those are known: DAMON_STAT takes all of a region. `untouched`: of a census, bytes that count as accessed, as
    their mapping was touched in part, and were not; idle times are at least those told. None of other ways.
    """

    idle_ms: tuple[int, ...]
    at_least: tuple[bool, ...]
    bandwidth: int | None
    bandwidth_low: int
    sample_us: int
    aggr_us: int
    bytes: int
    untouched: int | None = None


class StatWindows:
    """The windows of one target, to tell how long an age is.

    An age counts aggregations of the interval that is set, and is counted anew when that changes. So `_passed` holds
    the intervals that went by up to each begin, in ns, and `_begins` when that really was.
    """

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._passed: list[int] = []
        self._seq = self._interval = 0
        self.latest: Snapshot | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Take in the next window."""
        if self._begins:
            windows = max(1, snapshot.seq - self._seq)  # ages grow in those that were missed, too
            self._passed.append(self._passed[-1] + windows * self._interval)
        else:
            self._passed.append(0)
        self._begins.append(snapshot.begin_ns)
        self._seq, self._interval = snapshot.seq, max(1, snapshot.sample_ns * snapshot.ticks)
        self.latest = snapshot
        if len(self._begins) > MOST_WINDOWS:
            self._begins = [*self._begins[:-1:2], self._begins[-1]]
            self._passed = [*self._passed[:-1:2], self._passed[-1]]

    def lasted(self, age: int) -> tuple[int, bool]:
        """For how long a region of the latest window has been as it is, in ns; True where that is since the first."""
        if self.latest is None:
            return 0, True
        since = self._passed[-1] - age * self._interval
        if since <= 0:
            return self.latest.end_ns - self._begins[0], True
        at = bisect_left(self._passed, since)
        behind, before = self._begins[at], self._begins[at - 1]
        ahead = (self._passed[at] - since) / (self._passed[at] - self._passed[at - 1])
        return self.latest.end_ns - behind + round((behind - before) * ahead), False


def idleness(targets: Iterable[StatWindows], census: str | None = None) -> Idleness | None:
    """Of the latest windows of targets; None where they have no region.

    `census`: the way of looking, where it tells bytes touched in a window and counts no accesses.
    """
    idle: list[tuple[tuple[int, bool], int]] = []  # (ms, at least), bytes
    sample_us = aggr_us = 0
    bandwidth = low = 0.0
    untouched = 0
    for windows in targets:
        if (snapshot := windows.latest) is None:
            continue
        sample_us = snapshot.sample_ns // 1_000
        aggr_us = sample_us * snapshot.ticks
        sizes = snapshot.resident or [
            end - start for start, end in zip(snapshot.starts, snapshot.ends, strict=True)
        ]
        for size, nr, age in zip(sizes, snapshot.nr_accesses, snapshot.ages, strict=True):
            time, since_first = windows.lasted(age)
            idle.append(((-(time // 1_000_000) if nr else time // 1_000_000, since_first), size))
        untouched += sum(
            max(0, size - touched)
            for size, nr, touched in zip(sizes, snapshot.nr_accesses, snapshot.touched, strict=True)
            if nr
        )
        seconds = max(1, snapshot.end_ns - snapshot.begin_ns) / 1e9
        low += _surely_touched(snapshot, census) / seconds
        accessed = sum(size * nr for size, nr in zip(sizes, snapshot.nr_accesses, strict=True))
        bandwidth += accessed / seconds
    if not any(size for _, size in idle):
        return None
    total = sum(size for _, size in idle)
    found = percentiles(idle)
    return Idleness(
        tuple(ms for ms, _ in found),
        tuple(at_least for _, at_least in found),
        round(bandwidth) if census is None else None,
        round(low),
        sample_us,
        aggr_us,
        total,
        None if census is None else untouched,
    )


def _surely_touched(snapshot: Snapshot, census: str | None) -> int:
    """Bytes of the window; what refs saw of pages that others may have marked does not count."""
    sharing = snapshot.sharing
    if sharing is None:
        if snapshot.touched_low is not None:
            return snapshot.touched_low
        return 0 if census in (None, "refs") else sum(snapshot.touched)  # None: samples without bounds
    if sharing.same_as is not None:
        return 0  # the target with the same address space counts
    return sum(least for least in sharing.touched_min if least != NOWHERE)


def percentiles(weighted: Iterable[tuple[Any, int]]) -> tuple[Any, ...]:
    """The 101 values of (value, bytes) pairs that reach 0, 1, … 100 percent of the bytes, from the least up."""
    pairs = sorted(weighted)
    total = sum(size for _, size in pairs)
    found: list[Any] = []
    passed = 0
    for value, size in pairs:
        passed += size
        found += [value] * (passed * 100 // total + 1 - len(found))
    return tuple(found)


class AgeWatch:
    """Subscribes to a monitor; `last` are the cold ages as of the last windows, None before the first. `via`: the way
    of looking, `policy`: what says where, if anything does."""

    def __init__(self, via: str, policy: str | None = None) -> None:
        self._via = via
        self._policy = policy
        self._times: dict[int, IdleTimes] = {}
        self._alone: dict[int, IdleTimes] = {}  # of what nothing else maps, once there are several
        self._sampled: dict[int, SampledIdle] = {}  # of samples with bounds
        self._begin_ns: int | None = None
        self._last: AgesReport | None = None

    def snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.sharing is not None and snapshot.sharing.same_as is not None:
            return  # the target with the same address space counts
        if self._begin_ns is None:
            self._begin_ns = snapshot.begin_ns
        times = self._times.setdefault(snapshot.target, IdleTimes())
        seen = seen_of(snapshot, self._via, self._policy)
        times.window(snapshot.begin_ns, snapshot.end_ns, seen)
        if snapshot.touched_low is not None or snapshot.target in self._sampled:
            self._sampled.setdefault(snapshot.target, SampledIdle()).window(snapshot)
        if len(self._times) > 1:
            lone = self._alone.setdefault(snapshot.target, IdleTimes())
            lone.window(snapshot.begin_ns, snapshot.end_ns, map(alone, seen, _private(snapshot)))

    def event(self, event: Event) -> None:
        if event.name == "target_end":
            self._last = self.last
            self._times.pop(int(str(event.data["target"])), None)
            self._alone.pop(int(str(event.data["target"])), None)
            self._sampled.pop(int(str(event.data["target"])), None)

    @property
    def last(self) -> AgesReport | None:
        if not self._times or self._begin_ns is None:
            return self._last
        measured = is_census(self._via, self._policy)
        together = None
        if len(self._times) > 1 and self._via != "sim":  # simulated memory is nobody else's
            lone = (self._alone.get(target, IdleTimes()) for target in self._times)
            together = Together(total(one.told() for one in lone))
        return AgesReport.of(
            self._times.values(),
            self._begin_ns,
            grain(self._via),
            measured=measured,
            together=together,
            sampled=self._bounds() if together is None else None,
        )

    def _bounds(self) -> SampleBounds | None:
        """Of targets that share nothing, where all of them have bounds."""
        if self._sampled.keys() != self._times.keys():
            return None
        low: list[float | None] = []
        high: list[float | None] = []
        watched_ns = max(one.watched_ns for one in self._sampled.values())
        for age_ns in (seconds * 1_000_000_000 for seconds in SECONDS):
            found = [one.bounds(age_ns) for one in self._sampled.values()]
            low.append(sum(least for least, _ in found) if age_ns <= watched_ns else None)
            high.append(sum(most for _, most in found) if age_ns <= watched_ns else None)
        return SampleBounds(low, high)


def _private(snapshot: Snapshot) -> list[float]:
    """Of each region, the bytes that surely nothing else maps."""
    if snapshot.sharing is None:
        return [0.0] * len(snapshot)
    return [0.0 if size == NOWHERE else float(size) for size in snapshot.sharing.private]


class IdleWatch:
    """Subscribes to a monitor; `latest` is what DAMON_STAT would tell now, `last` what it told last.

    `census`: see `idleness`.
    """

    def __init__(self, census: str | None = None) -> None:
        self._census = census
        self._windows: dict[int, StatWindows] = {}
        self._last: Idleness | None = None

    def snapshot(self, snapshot: Snapshot) -> None:
        self._windows.setdefault(snapshot.target, StatWindows()).add(snapshot)

    def event(self, event: Event) -> None:
        if event.name == "target_end":
            self._last = self.latest or self._last
            self._windows.pop(int(str(event.data["target"])), None)

    @property
    def latest(self) -> Idleness | None:
        return idleness(list(self._windows.values()), self._census)

    @property
    def last(self) -> Idleness | None:
        return self.latest or self._last
