"""What the live view knows: the latest of every target, and the recent past of the one that is looked at.

It is a subscriber like any other: any source of snapshots can fill the view. Everything in it is bounded: a target that
ended is forgotten, and of the past there are at most HISTORY windows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from udamon.core.ages import AgesReport
from udamon.core.group_total import GroupTotal, group_total
from udamon.model import Event, Snapshot
from udamon.modules.stat import AgeWatch
from udamon.record.naming import title_of
from udamon.report.catalog import upper_bound
from udamon.report.mappings import MappingTable, NamedMapping

HISTORY = 300
"""Windows that are kept of the target that is looked at: more than a wide terminal has columns."""
NOTES = 5
MOST_REGIONS = 5_000
"""Of all targets together, up to which their total is told with each page once: it takes about 6 us a region."""


@dataclass(slots=True)
class _LiveTarget:
    """A target that lives, or that ended while it was looked at."""

    index: int
    pid: int | None = None
    comm: str | None = None
    cmdline: Sequence[str] = ()
    mappings: MappingTable = field(default_factory=MappingTable)
    mapped: int = 0  # changes of the mappings so far
    last: Snapshot | None = None
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class TargetLine:
    """One target in its last window; bytes. `hot` are those touched in regions accessed in at least half of the
    ticks. `at_most`: others may have touched some of `touched`, so that both are upper bounds."""

    index: int
    pid: int | None
    comm: str
    command: str
    hot: int
    touched: int
    resident: int | None
    size: int
    at_most: bool = False
    low: int = 0
    high: int = 0
    """Bounds of `touched`, where it is an estimate with bounds; else both are it."""

    @property
    def title(self) -> str:
        """What distinguishes several processes of one name: the beginning of the command line."""
        return title_of(self.command)


@dataclass(frozen=True, slots=True)
class Detail:
    """The target that is looked at: its windows, oldest first, its mappings as they are now, and for how long its
    memory lies idle, since it is looked at by this monitor."""

    index: int
    pid: int | None
    comm: str
    command: str
    ended: str | None
    snapshots: tuple[Snapshot, ...]
    mappings: tuple[NamedMapping, ...]
    mapped: int
    ages: AgesReport | None = None
    via: str | None = None
    """The way of looking; None while it is not known."""


class LiveState:
    """Subscribes to a monitor on its thread, and tells the view on another. `version` counts what came."""

    def __init__(self, history: int = HISTORY) -> None:
        self._lock = Lock()
        self._targets: dict[int, _LiveTarget] = {}
        self._chosen: int | None = None
        self._past: deque[Snapshot] = deque(maxlen=history)
        self._moment: dict[int, Snapshot] = {}  # of one seq, by target
        self._whole: tuple[Snapshot, ...] = ()  # the last moment of which every target was told
        self._total: tuple[tuple[Snapshot, ...], GroupTotal | None] = ((), None)
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._way: tuple[str, str | None] | None = None
        self._ages: AgeWatch | None = None
        self._attrs: Mapping[str, Any] = {}
        self._cost: Mapping[str, Any] = {}
        self._coverage: Mapping[str, Any] = {}
        self.version = 0

    def snapshot(self, snapshot: Snapshot, /) -> None:
        with self._lock:
            target = self._targets.setdefault(snapshot.target, _LiveTarget(snapshot.target))
            target.pid = snapshot.pid
            target.last = snapshot
            self._gather(snapshot)
            if snapshot.target == self._chosen:
                if self._past and self._past[-1].pid != snapshot.pid:
                    self._past.clear()  # another monitor gave this number to another process
                self._past.append(snapshot)
                if self._ages is not None:
                    self._ages.snapshot(snapshot)
            self.version += 1

    def event(self, event: Event, /) -> None:
        data: Mapping[str, Any] = event.data
        with self._lock:
            self.version += 1
            match event.name:
                case "target_start" | "target_exec" | "mappings":
                    self._describe(event.name, data)
                case "target_end":
                    self._end(data)
                case "attrs":
                    self._attrs = {**self._attrs, **data}
                case "cost":
                    self._cost = data
                case "coverage":
                    self._coverage = data
                case "note":
                    self._notes.append(str(data.get("text", "")))
                case "subscriber":
                    self._notes.append(f"{data.get('what')}: {data.get('why')}")

    def choose(self, index: int | None) -> None:
        """Look at this target from now on; of its past only the last window is known. None for no one."""
        with self._lock:
            self._forget()
            self._chosen = index
            self._past.clear()
            self._watch_ages()
            if index is not None:
                target = self._targets.setdefault(index, _LiveTarget(index))
                if target.last is not None:
                    self._past.append(target.last)
            self.version += 1

    def begin(self, index: int | None = None, way: tuple[str, str | None] | None = None) -> None:
        """Another monitor begins, with new numbers of targets; `index` is the selected target, `way` how it looks
        and what says where (via, policy); None where it is not known, so ages are not told.

        The history of the selected target stays as long as it is the same process: its memory is the same, only the
        way of looking changed.
        """
        with self._lock:
            kept = self._past.copy() if index is not None and self._chosen is not None else ()
            self._targets.clear()
            self._moment, self._whole = {}, ()
            self._chosen = index
            self._past.clear()
            self._past.extend(kept)
            self._way = way
            self._watch_ages()
            self._coverage = {}
            self.version += 1

    def lines(self) -> list[TargetLine]:
        """All living targets, those that touched most first."""
        with self._lock:
            via = None if self._way is None else self._way[0]
            found = [_line(target, via) for target in self._targets.values() if target.ended is None]
        return sorted(found, key=lambda line: (-line.touched, -line.size, line.index))

    def total(self) -> GroupTotal | None:
        """Of all targets in their last window in common, each page once; None for a single one, for simulated memory,
        while it is not known how they are watched, and where that would take too long (MOST_REGIONS)."""
        with self._lock:
            whole, via = self._whole, None if self._way is None else self._way[0]
        if whole is not self._total[0]:
            told = via not in (None, "sim") and len(whole) > 1 and sum(map(len, whole)) <= MOST_REGIONS
            self._total = whole, group_total(whole, marked_by_others=via == "refs") if told else None
        return self._total[1]

    def detail(self) -> Detail | None:
        """The selected target; None when there is none."""
        with self._lock:
            if self._chosen is None:
                return None
            one = self._targets.setdefault(self._chosen, _LiveTarget(self._chosen))
            return Detail(
                one.index, one.pid, one.comm or "", " ".join(one.cmdline), one.ended,
                tuple(self._past), tuple(one.mappings), one.mapped,
                None if self._ages is None else self._ages.last,
                None if self._way is None else self._way[0],
            )  # fmt: skip

    @property
    def attrs(self) -> Mapping[str, Any]:
        with self._lock:
            return dict(self._attrs)

    @property
    def cost(self) -> Mapping[str, Any]:
        with self._lock:
            return dict(self._cost)

    @property
    def coverage(self) -> Mapping[str, Any]:
        """The last coverage event of this monitor; empty before the first one."""
        with self._lock:
            return dict(self._coverage)

    @property
    def notes(self) -> list[str]:
        """The latest, oldest first."""
        with self._lock:
            return list(self._notes)

    def _gather(self, snapshot: Snapshot) -> None:
        """A moment is whole when each living target is in it, or the next one begins."""
        if self._moment and next(iter(self._moment.values())).seq != snapshot.seq:
            self._whole, self._moment = tuple(self._moment.values()), {}
        self._moment[snapshot.target] = snapshot
        if all(index in self._moment for index, one in self._targets.items() if one.ended is None):
            self._whole = tuple(self._moment.values())

    def _describe(self, name: str, data: Mapping[str, Any]) -> None:
        target = self._targets.setdefault(data["target"], _LiveTarget(data["target"]))
        if name == "mappings":
            target.mappings.apply(data)
            target.mapped += 1
            return
        target.pid = data.get("pid", target.pid)
        target.comm = data.get("comm", target.comm)
        target.cmdline = tuple(data.get("cmdline") or target.cmdline)

    def _end(self, data: Mapping[str, Any]) -> None:
        target = self._targets.get(data["target"])
        if target is not None and target.index == self._chosen:
            target.ended = str(data.get("why", "ended"))
        else:
            self._targets.pop(data["target"], None)

    def _watch_ages(self) -> None:
        """Select a target, whose history is unknown."""
        self._ages = None if self._way is None or self._chosen is None else AgeWatch(*self._way)

    def _forget(self) -> None:
        self._targets = {index: one for index, one in self._targets.items() if one.ended is None}


def _at_most(target: _LiveTarget, via: str | None) -> bool:
    """Whether others may have touched some of what was touched in the last window."""
    last = target.last
    if last is None or not upper_bound(via, None):
        return False  # by this way nothing is
    for start, end, touched in zip(last.starts, last.ends, last.touched, strict=True):
        mapped = target.mappings.largest_overlap(start, end) if touched else None
        if touched and upper_bound(via, None if mapped is None else mapped.kind):
            return True
    return False


def _line(target: _LiveTarget, via: str | None) -> TargetLine:
    last = target.last
    comm, command = target.comm or "?", " ".join(target.cmdline)
    if last is None:
        return TargetLine(target.index, target.pid, comm, command, 0, 0, None, 0)
    regions = zip(last.touched, last.nr_accesses, strict=True)
    hot = sum(touched for touched, count in regions if count * 2 >= last.ticks > 0)
    resident = None if last.resident is None else sum(last.resident)
    return TargetLine(
        target.index, last.pid, comm, command, hot, sum(last.touched), resident,
        sum(last.ends) - sum(last.starts), _at_most(target, via), *bounds_of(last),
    )  # fmt: skip


def bounds_of(last: Snapshot) -> tuple[int, int]:
    """Bytes that were touched in a window, at least and at most; alike where they are no estimate."""
    touched = sum(last.touched)
    return (
        touched if last.touched_low is None else last.touched_low,
        touched if last.touched_high is None else last.touched_high,
    )
