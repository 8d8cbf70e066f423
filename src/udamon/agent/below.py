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


class Below:
    """A Discovery. Raises CannotError."""

    def __init__(self, cgroup: str, proc: Path = PROC) -> None:
        self._top = find_cgroup(cgroup, proc)
        self._services: dict[str, Service] = {}
        self._read_s = 0.0

    def services(self) -> Sequence[Service]:
        return [self._services[key] for key in sorted(self._services)]

    def changes(self) -> Sequence[Service | Gone]:
        if time.monotonic() - self._read_s < _EVERY_S:
            return []
        self._read_s = time.monotonic()
        found: dict[str, Service] = {}
        for place, _, _ in os.walk(self._top):
            key = os.path.relpath(place, self._top)
            label = os.path.basename(place) if key == "." else key
            if key in self._services or _procs(Path(place)):
                found[key] = Service(key, Path(place), "cgroup", {"service": label}, {}, "path")
        changes: list[Service | Gone] = [Gone(key) for key in self._services.keys() - found.keys()]
        changes += [found[key] for key in sorted(found.keys() - self._services.keys())]
        self._services = found
        return changes

    def members(self, service: Service) -> Sequence[int]:
        return _procs(service.cgroup)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """Nothing is kept open."""


def _procs(directory: Path) -> list[int]:
    try:
        return sorted(map(int, read_bytes(directory / "cgroup.procs").split()))
    except OSError:
        return []
