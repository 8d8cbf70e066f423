"""Rows of the fleet's tables (udamon/fleet/tables.py): of each window of five minutes one for each service, and one for
the node. Containers of one name in pods of one workload are one service there, however many of them are on this host.

A row tells what is known at the end of its window, from looks within the window: what an earlier look said of an age is
not what is cold now. While a long cycle goes on, short ages are not looked at; what is idle for longer than an age is
idle for that age, too, so a lower bound is known, and at most all that is resident.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from udamon.agent.discovery.workloads import workload_of
from udamon.agent.figures import NS, Between, Measured
from udamon.agent.process import DENIED, LOCKED, NEW, PAUSE, Process
from udamon.agent.watched import GROUP, WatchedService, coverage
from udamon.core.idle_time import SECONDS
from udamon.fleet.spool import Spool
from udamon.fleet.tables import WINDOW_SECONDS
from udamon.linux import cpu_time
from udamon.linux.meminfo import read_meminfo
from udamon.linux.procfs import resident_bytes
from udamon.linux.roots import Roots
from udamon.model import MAPPING, PAGE

_WINDOW_NS = WINDOW_SECONDS * NS
_HOUR = 3600 // WINDOW_SECONDS
"""Windows."""
_SLACK_NS = _WINDOW_NS // 4
"""By which the time between two rows may differ from a window: a look may come late."""
_WHOLE = SECONDS.index(WINDOW_SECONDS)


class _Before(NamedTuple):
    """What a service had at the end of the window before: bytes promoted after each age, and what looking had cost."""

    of: WatchedService | None
    promoted: Mapping[int, int]
    spent_ns: int


_NOTHING = _Before(None, {}, 0)


class _Read(NamedTuple):
    """What files say at the end of a window: of the machine's memory, of the agent's, and limits of services by key."""

    memory: Mapping[str, int]
    own_resident: int
    limits: Mapping[str, int | None]


class Windows:
    """Writes them into a spool; `machine` says which machine of the name `host` this is. `limit` reads the memory limit
    of a control group's directory, None for none; `cpu_ns` is the agent's CPU time."""

    def __init__(
        self,
        spool: Spool,
        host: str,
        limit: Callable[[Path], int | None],
        cpu_ns: Callable[[], int] = cpu_time.process_ns,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        machine: str | None = None,
    ) -> None:
        self.spool = spool
        self._machine = machine
        self._host = host
        self._limit = limit
        self._cpu_ns = cpu_ns
        self._cpu_before_ns = cpu_ns()
        self._roots = roots
        self._began_ns: int | None = None
        self._window: int | None = None
        self._before: dict[str, _Before] = {}
        self._told_ns: int | None = None
        """When the last rows were made, by the rotation's clock."""

    def advance(self, services: Iterable[WatchedService], now_ns: int, wall_ns: int) -> None:
        """Once a window is over, its rows. `now_ns` is by the rotation's clock, `wall_ns` since 1970.

        A clock that was set back by an hour or less begins no window anew: a row is written for a window once. Where
        it was set back further, as one that was years ahead when the machine started, windows count from its new time
        on; of a window that is told a second time, readers take one row.

        Raises OutOfFiles; the next call then tells what this one did not."""
        window = wall_ns // _WINDOW_NS
        if self._window is None or self._began_ns is None:
            self._window, self._began_ns = window, now_ns
        if window < self._window - _HOUR:
            self._window = window
        if window <= self._window:
            return
        services = list(services)
        read = _Read(
            read_meminfo(self._roots.proc),
            resident_bytes("self", self._roots.proc),
            {one.service.key: self._limit(one.service.cgroup) for one in services if one.processes},
        )
        ended, self._window = window - 1, window
        over_ns = wall_ns - window * _WINDOW_NS  # since the window's end
        before, self._before = self._before, {}
        # Otherwise what has grown since the last rows has not grown in this window.
        whole = self._told_ns is None or abs(now_ns - over_ns - self._told_ns - _WINDOW_NS) <= _SLACK_NS
        self._told_ns = now_ns - over_ns
        wanted, missed = 0, 0
        told: dict[tuple[str, str, str], list[WatchedService]] = {}
        for one in services:
            wanted += bool(one.processes) or one.given
            missed += 0 if one.way.grain == GROUP else sum(map(_missed, one.processes.values()))
            self._before[one.service.key] = _Before(one, dict(one.figures.promoted), one.spent_ns)
            if one.processes and one.looked_ns is not None and not one.given:
                told.setdefault(self._identity(one.service.labels), []).append(one)
        rows = [
            self._row(*item, read.limits, ended, now_ns, over_ns, before if whole else None)
            for item in told.items()
        ]
        if rows:
            self.spool.add("services", rows)
        seen = sum(map(len, told.values()))
        watched_ns = now_ns - over_ns - self._began_ns
        self.spool.add("nodes", [self._node(read, ended, watched_ns, wanted, seen, missed, whole=whole)])

    def _identity(self, labels: Mapping[str, str]) -> tuple[str, str, str]:
        """Namespace, workload and service: pods of one workload are one service, whatever they are called."""
        pod = labels.get("pod")
        workload = "" if pod is None else workload_of(pod, self._host)
        return labels.get("namespace", ""), workload, labels.get("service") or labels.get("container", "")

    def _node(
        self, read: _Read, window: int, watched_ns: int, wanted: int, seen: int, missed: int, *, whole: bool
    ) -> dict[str, Any]:
        memory = read.memory
        before_ns, self._cpu_before_ns = self._cpu_before_ns, self._cpu_ns()
        return {
            "host": self._host,
            "machine": self._machine,
            "window_begin": window * WINDOW_SECONDS * 1_000_000,
            "seconds": _seconds(watched_ns),
            "memory_bytes": memory.get("MemTotal"),
            "available_bytes": memory.get("MemAvailable"),
            "far_bytes": memory["SwapTotal"] - memory["SwapFree"] if "SwapFree" in memory else None,
            "services_wanted": wanted,
            "services_seen": seen,
            "processes_missed": missed,
            "agent_cpu_seconds": (self._cpu_before_ns - before_ns) / NS if whole else None,
            "agent_resident_bytes": read.own_resident,
            "rows_dropped": self.spool.dropped_rows,
            "kernel": os.uname().release,
        }

    def _row(
        self,
        identity: tuple[str, str, str],
        some: Sequence[WatchedService],
        limits: Mapping[str, int | None],
        window: int,
        now_ns: int,
        over_ns: int,
        before: Mapping[str, _Before] | None,
    ) -> dict[str, Any]:
        """Of all instances of a service: sums, where all of them know; of `cold_bytes` and `promoted_bytes` where one
        does, the rest being unknown within their bounds. `before`: what they had a window ago, None where it is not
        known."""
        begin_ns = now_ns - over_ns - _WINDOW_NS
        measured = [
            {at: found for at, found in one.figures.measured.items() if found.at_ns >= begin_ns}
            for one in some
        ]
        cold = _cold_of(some, measured)
        accessed = [found[_WHOLE].accessed.high if _WHOLE in found else None for found in measured]
        last = None if before is None else [_had(one, before) for one in some]
        pauses = [one.longest_pause_ns for one in some]
        for one in some:
            one.longest_pause_ns = 0
        ways = {one.way.via for one in some}
        return {
            **dict(zip(("namespace", "workload", "service"), identity, strict=True)),
            "host": self._host,
            "machine": self._machine,
            "window_begin": window * WINDOW_SECONDS * 1_000_000,
            "seconds": max(_seconds(now_ns - over_ns - max(begin_ns, one.began_ns)) for one in some),
            "via": ways.pop() if len(ways) == 1 else "mixed",
            "grain": PAGE if all(one.way.grain == PAGE for one in some) else MAPPING,
            "instances": len(some),
            "processes": sum(len(one.processes) for one in some),
            "coverage": coverage(some, now_ns),
            "resident_bytes": sum(one.figures.resident.low for one in some) or None,
            "accessed_bytes": _sum(accessed),
            "cold_bytes": [None if each is None else each.low for each in cold],
            "cold_bytes_high": [None if each is None else each.high for each in cold],
            "promoted_bytes": None if last is None else _promoted(some, last),
            "limit_bytes": _sum([limits[one.service.key] for one in some]),
            "cpu_seconds": None if last is None else _spent(some, last) / NS,
            "pause_seconds": max(pauses) / NS,
            "needed_limit_bytes": _sum([one.figures.needs.limit for one in some]),
            "needed_request_bytes": _sum([one.figures.needs.request for one in some]),
        }


def _had(one: WatchedService, before: Mapping[str, _Before]) -> _Before:
    """Nothing where it is another service than the one that had its name: a group that was removed and made again."""
    was = before.get(one.service.key, _NOTHING)
    return was if was.of is one else _NOTHING


def _spent(some: Sequence[WatchedService], last: Sequence[_Before]) -> int:
    return sum(one.spent_ns - was.spent_ns for one, was in zip(some, last, strict=True))


def _missed(one: Process) -> bool:
    return one.state in (DENIED, LOCKED, PAUSE, NEW)


def _sum(values: Sequence[int | None]) -> int | None:
    """None where one is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _cold_of(
    some: Sequence[WatchedService], measured: Sequence[Mapping[int, Measured]]
) -> list[Between | None]:
    """Of each age, over instances: one that does not know it may be cold or hot throughout. None where none knows."""
    each = [
        _cold({at: found.cold for at, found in told.items()}, one.figures.resident.high)
        for one, told in zip(some, measured, strict=True)
    ]
    found: list[Between | None] = []
    for at in range(len(SECONDS)):
        bounds = [
            told.get(at, Between(0, one.figures.resident.high)) for one, told in zip(some, each, strict=True)
        ]
        lows, highs = zip(*bounds, strict=True)
        found.append(Between(sum(lows), sum(highs)) if any(at in told for told in each) else None)
    return found


def _promoted(some: Sequence[WatchedService], last: Sequence[_Before]) -> list[int | None]:
    """In the window, of the instances that know of an age."""
    found: list[int | None] = [None] * len(SECONDS)
    for one, was in zip(some, last, strict=True):
        for at, total in one.figures.promoted.items():
            found[at] = (found[at] or 0) + total - was.promoted.get(at, 0)
    return found


def _seconds(watched_ns: int) -> float:
    """Of a window, what was watched."""
    return max(0, min(_WINDOW_NS, watched_ns)) / NS


def _cold(measured: Mapping[int, Between], resident: int) -> dict[int, Between]:
    """Bounds for each age up to the highest that was measured."""
    found: dict[int, Between] = {}
    idle = 0
    for at in range(max(measured, default=-1), -1, -1):
        own = measured.get(at, Between(0, resident))
        idle = max(idle, own.low)
        found[at] = Between(idle, max(idle, own.high))
    return found
