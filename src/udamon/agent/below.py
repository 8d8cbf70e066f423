"""Services below a control group, found by reading its directories again: each group that has processes is one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from udamon.agent.discovery.model import Gone, Service
from udamon.linux.cgroup.groups import find_cgroup
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

_EVERY_S = 2.0
_SHARE = 0.0005
"""Of the time: what reading the directories may take."""


class Below:
    """A Discovery. Raises CannotError."""

    def __init__(self, cgroup: str, proc: Path = PROC) -> None:
        self._top = find_cgroup(cgroup, proc)
        self._services: dict[str, Service] = {}
        self._next_s = 0.0

    def services(self) -> Sequence[Service]:
        return [self._services[key] for key in sorted(self._services)]

    def changes(self) -> Sequence[Service | Gone]:
        begin_s = time.monotonic()
        if begin_s < self._next_s:
            return []
        found: dict[str, Service] = {}
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            place = f"{self._top}/{inside}"
            try:
                if os.stat(place).st_nlink > 2:
                    with os.scandir(place) as entries:
                        below = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
                    waiting += [f"{inside}{name}/" for name in below]
            except OSError:
                continue  # it has gone
            key = inside.rstrip("/") or "."
            if key in self._services:
                found[key] = self._services[key]
            elif _procs(place):
                label = self._top.name if key == "." else key
                found[key] = Service(key, Path(place), "cgroup", {"service": label}, {}, "path")
        changes: list[Service | Gone] = [Gone(key) for key in self._services.keys() - found.keys()]
        changes += [found[key] for key in sorted(found.keys() - self._services.keys())]
        self._services = found
        end_s = time.monotonic()
        self._next_s = end_s + max(_EVERY_S, (end_s - begin_s) / _SHARE)
        return changes

    def members(self, service: Service) -> Sequence[int]:
        return _procs(str(service.cgroup))

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """Nothing is kept open."""


def _procs(directory: str) -> list[int]:
    try:
        return sorted(map(int, read_bytes(f"{directory}/cgroup.procs").split()))
    except OSError:
        return []
