"""Rows of the fleet's tables (udamon/fleet/tables.py): of each window of five minutes one for each service, and one for
the node.

A row tells what is known at the end of its window, from looks within the window: what an earlier look said of an age is
not what is cold now. While a long cycle goes on, short ages are not looked at; what is idle for longer than an age is
idle for that age, too, so a lower bound is known, and at most all that is resident.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from udamon.agent.figures import NS, Between
from udamon.agent.watched import WatchedService
from udamon.core.idle_time import SECONDS
from udamon.fleet.spool import Spool
from udamon.fleet.tables import WINDOW_SECONDS
from udamon.linux.meminfo import read_meminfo
from udamon.linux.procfs import resident_bytes
from udamon.linux.roots import Roots
from udamon.model import MAPPING, PAGE

_WINDOW_NS = WINDOW_SECONDS * NS
_WHOLE = SECONDS.index(WINDOW_SECONDS)


class Windows:
    """Writes them into a spool. `limit` reads the memory limit of a control group's directory, None for none; `cpu_ns`
    is the agent's CPU time."""

    def __init__(
        self,
        spool: Spool,
        host: str,
        limit: Callable[[Path], int | None],
        cpu_ns: Callable[[], int] = time.process_time_ns,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
    ) -> None:
        self.spool = spool
        self._host = host
        self._limit = limit
        self._cpu_ns = cpu_ns
        self._cpu_before_ns = cpu_ns()
        self._roots = roots
        self._began_ns: int | None = None
        self._window: int | None = None
        self._promoted: dict[str, dict[int, int]] = {}

    def advance(self, services: Iterable[WatchedService], now_ns: int, wall_ns: int) -> None:
        """Once a window is over, its rows. `now_ns` is by the rotation's clock, `wall_ns` since 1970.

        A clock that was set back begins no window anew: a row is written for a window once."""
        window = wall_ns // _WINDOW_NS
        if self._window is None or self._began_ns is None:
            self._window, self._began_ns = window, now_ns
        if window <= self._window:
            return
        ended, self._window = window - 1, window
        over_ns = wall_ns - window * _WINDOW_NS  # since the window's end
        before, self._promoted = self._promoted, {}
        wanted, rows = 0, []
        for one in services:
            wanted += bool(one.processes) or one.given
            self._promoted[one.service.key] = dict(one.figures.promoted)
            if one.processes and one.looked_ns is not None and not one.given:
                rows.append(self._row(one, ended, now_ns, over_ns, before.get(one.service.key, {})))
        if rows:
            self.spool.add("services", rows)
        self.spool.add("nodes", [self._node(ended, now_ns - over_ns - self._began_ns, wanted, len(rows))])

    def _node(self, window: int, watched_ns: int, wanted: int, seen: int) -> dict[str, Any]:
        memory = read_meminfo(self._roots.proc)
        before_ns, self._cpu_before_ns = self._cpu_before_ns, self._cpu_ns()
        return {
            "host": self._host,
            "window_begin": window * WINDOW_SECONDS * 1_000_000,
            "seconds": _seconds(watched_ns),
            "memory_bytes": memory.get("MemTotal"),
            "available_bytes": memory.get("MemAvailable"),
            "far_bytes": memory["SwapTotal"] - memory["SwapFree"] if "SwapFree" in memory else None,
            "services_wanted": wanted,
            "services_seen": seen,
            "agent_cpu_seconds": (self._cpu_before_ns - before_ns) / NS,
            "agent_resident_bytes": resident_bytes("self", self._roots.proc),
            "rows_dropped": self.spool.dropped_rows,
            "kernel": os.uname().release,
        }

    def _row(
        self, one: WatchedService, window: int, now_ns: int, over_ns: int, before: Mapping[int, int]
    ) -> dict[str, Any]:
        figures, labels = one.figures, one.service.labels
        begin_ns = now_ns - over_ns - _WINDOW_NS
        measured = {at: found for at, found in figures.measured.items() if found.at_ns >= begin_ns}
        cold = _cold({at: found.cold for at, found in measured.items()}, figures.resident.high)
        watched_ns = now_ns - over_ns - max(begin_ns, one.began_ns)
        promoted = {at: total - before.get(at, 0) for at, total in figures.promoted.items()}
        return {
            "namespace": labels.get("namespace", ""),
            "workload": labels.get("pod", ""),
            "service": labels.get("service") or labels.get("container", ""),
            "host": self._host,
            "window_begin": window * WINDOW_SECONDS * 1_000_000,
            "seconds": _seconds(watched_ns),
            "via": one.way.via,
            "grain": PAGE if one.way.grain == PAGE else MAPPING,
            "instances": 1,
            "processes": len(one.processes),
            "coverage": one.fresh_bytes(now_ns) / one.resident if one.resident else 1.0,
            "resident_bytes": figures.resident.low,
            "accessed_bytes": measured[_WHOLE].accessed.high if _WHOLE in measured else None,
            "cold_bytes": _by_age({at: low for at, (low, _) in cold.items()}),
            "cold_bytes_high": _by_age({at: high for at, (_, high) in cold.items()}),
            "promoted_bytes": _by_age(promoted),
            "limit_bytes": self._limit(one.service.cgroup),
            "needed_limit_bytes": figures.needs.limit,
            "needed_request_bytes": figures.needs.request,
        }


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


def _by_age(values: Mapping[int, int]) -> list[int | None]:
    return [values.get(at) for at in range(len(SECONDS))]
