"""DAMON's tracepoints, from what a kdamond publishes (docs/damon.md#tracepoints). Nothing is formatted
when nobody listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from udamon.core.regions import Region
from udamon.core.scheme import SchemeStats
from udamon.core.target import Target
from udamon.model import Event, Snapshot

GROUP = "damon"
AGGREGATED, BEFORE_APPLY, ESZ = "damon_aggregated", "damos_before_apply", "damos_esz"
STAT, TUNE = "damos_stat_after_apply_interval", "damon_monitor_intervals_tune"
EVENTS = (AGGREGATED, BEFORE_APPLY, ESZ, STAT, TUNE)


class Listener(Protocol):
    """Takes events, on the threads of kdamonds."""

    def listens(self, event: str) -> bool:
        """Whether anybody wants it. Asked before anything is put together; cheap."""

    def emit(self, event: str, time_ns: int, pid: int, comm: str, rows: Sequence[tuple[int, ...]]) -> None:
        """One event for each row, its fields in the order of the tracepoint; `time_ns` on CLOCK_MONOTONIC."""


FIELDS: dict[str, tuple[str, ...]] = {
    AGGREGATED: ("target_id", "nr_regions", "start", "end", "nr_accesses", "age"),
    BEFORE_APPLY: (
        "ctx_idx", "scheme_idx", "target_idx", "nr_regions", "start", "end", "nr_accesses", "age",
    ),
    ESZ: ("ctx_idx", "scheme_idx", "esz"),
    STAT: (
        "ctx_idx", "scheme_idx", "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed",
        "qt_exceeds", "nr_snapshots",
    ),
    TUNE: ("sample_us",),
}  # fmt: skip


def text_of(event: str, row: Sequence[int]) -> str:
    """The fields as the kernel prints them."""
    fields = FIELDS[event]
    if "start" not in fields:
        return " ".join(f"{name}={value}" for name, value in zip(fields, row, strict=True))
    first = fields.index("start")
    before = "".join(f"{name}={value} " for name, value in zip(fields[:first], row, strict=False))
    start, end, accesses, age = row[first:]
    return f"{before}{start}-{end}: {accesses} {age}"


class Tracepoints:
    """Subscriber to one kdamond's bus, and observer of its schemes. All of it on the kdamond's thread."""

    def __init__(
        self,
        listener: Listener,
        comm: str,
        pid: Callable[[], int],
        now_ns: Callable[[], int],
        position: Callable[[int], int | None],
    ) -> None:
        """`position` tells the place of a target, by its index, in the kernel's list."""
        self._listener = listener
        self._comm = comm
        self._pid = pid
        self._now_ns = now_ns
        self._position = position

    def snapshot(self, snapshot: Snapshot) -> None:
        if not self._listener.listens(AGGREGATED):
            return
        target = self._position(snapshot.target)
        if target is None:
            return
        count = len(snapshot)
        columns = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages, strict=True)
        self._emit(AGGREGATED, [(target, count, *region) for region in columns])

    def event(self, event: Event) -> None:
        if (
            event.name == "attrs"
            and event.data.get("why") == "intervals goal"
            and self._listener.listens(TUNE)
        ):
            sample_us = event.data["sample_us"]
            assert isinstance(sample_us, int)
            self._emit(TUNE, [(sample_us,)])

    def before_apply(self, scheme: int, target: Target, region: Region) -> None:
        if not self._listener.listens(BEFORE_APPLY):
            return
        where = self._position(target.index)
        if where is not None:
            accesses = region.nr_accesses_bp // 10_000
            shown = (len(target.regions), region.start, region.end, accesses, region.age)
            self._emit(BEFORE_APPLY, [(0, scheme, where, *shown)])

    def effective_size(self, scheme: int, esz: int) -> None:
        if self._listener.listens(ESZ):
            self._emit(ESZ, [(0, scheme, esz)])

    def after_apply_interval(self, scheme: int, stats: SchemeStats) -> None:
        if self._listener.listens(STAT):
            values = (
                stats.nr_tried, stats.sz_tried, stats.nr_applied, stats.sz_applied, stats.sz_ops_filter_passed,
                stats.qt_exceeds, stats.nr_snapshots,
            )  # fmt: skip
            self._emit(STAT, [(0, scheme, *values)])

    def _emit(self, event: str, rows: Sequence[tuple[int, ...]]) -> None:
        self._listener.emit(event, self._now_ns(), self._pid(), self._comm, rows)


class Listeners:
    """Several listeners as one."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def listens(self, event: str) -> bool:
        return any(listener.listens(event) for listener in self._listeners)

    def emit(self, event: str, time_ns: int, pid: int, comm: str, rows: Sequence[tuple[int, ...]]) -> None:
        for listener in self._listeners:
            if listener.listens(event):
                listener.emit(event, time_ns, pid, comm, rows)
