"""Memory pressure of targets: major faults, and time spent waiting for memory. The input of the governor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from udamon.core.target import Target
from udamon.errors import NotSupported
from udamon.linux.cgroup import memory as cgroup_memory
from udamon.linux.faults import major_faults
from udamon.linux.pressure import cgroup_memory_stall_us, memory_stall_us
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots


class FaultCounter:
    """Major faults of targets that come and go: the total never falls. One read of stat for each target."""

    def __init__(self, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
        self._proc = roots.proc
        self._seen: dict[ProcessId, int] = {}
        self.total = 0

    def count(self, targets: Sequence[Target]) -> int:
        """Faults since each target was first counted. Never raises for one that is gone."""
        seen: dict[ProcessId, int] = {}
        for target in targets:
            if target.pid is None or target.start_time is None:
                continue
            process = ProcessId(target.pid, target.start_time)
            try:
                seen[process] = major_faults(process, self._proc)
            except OSError:
                continue
            self.total += seen[process] - self._seen.get(process, seen[process])
        self._seen = seen
        return self.total


def stalls(cgroups: Mapping[str, Path], roots: Roots = Roots()) -> dict[str, int]:  # noqa: B008 (immutable)
    """µs of waiting for memory so far: of "the system" and of each cgroup (name to directory) that can tell."""
    found = {}
    try:
        found["the system"] = memory_stall_us(roots.proc)
    except NotSupported:
        pass  # no PSI here: then there is nothing to hold the governor back by
    for name, directory in cgroups.items():
        try:
            found[name] = cgroup_memory_stall_us(directory)
        except OSError:
            continue
    return found


def cgroup_major_faults(directory: Path) -> int | None:
    """Of all that ever ran in the cgroup; None where that is not told."""
    try:
        return cgroup_memory.major_faults(directory)
    except OSError:
        return None
