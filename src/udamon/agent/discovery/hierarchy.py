"""Which hierarchy of control groups is followed, and from where on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from udamon.errors import CannotError
from udamon.linux.cgroup.groups import CgroupMount, cgroup_mounts, directory_in
from udamon.linux.roots import PROC


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """A group's directory, and its path within its hierarchy."""

    directory: Path
    path: str = "/"


def watched(cgroup: str | None = None, proc: Path = PROC) -> WatchedGroup:
    """The group `cgroup`, or the root of the best hierarchy. Raises NotSupported, CannotError."""
    mounts = by_use(cgroup_mounts(proc))
    for mount in mounts if cgroup is not None else mounts[:1]:
        directory = mount.point if cgroup is None else directory_in(cgroup, mount)
        if directory is not None:
            resolved = directory.resolve()
            inside = os.path.relpath(resolved, mount.point.resolve())
            top = "/" if mount.top.startswith("/..") else mount.top  # above what this namespace sees
            return WatchedGroup(resolved, os.path.normpath(f"///{top}/{inside}"))
    raise CannotError(
        f"there is no control group {cgroup!r}; see /proc/PID/cgroup of a process that should be in it."
    )


def by_use(mounts: Sequence[CgroupMount]) -> list[CgroupMount]:
    """Those with the groups of services first: version 2 where it has the memory controller; else version 1 with
    memory, since every runtime makes groups there; else with cpuacct; else any."""

    def rank(mount: CgroupMount) -> int:
        if mount.version == 2:
            return 0 if "memory" in _controllers(mount.point) else 3
        return 1 if "memory" in mount.controllers else 2 if "cpuacct" in mount.controllers else 4

    return sorted(mounts, key=rank)


def _controllers(point: Path) -> list[str]:
    try:
        return (point / "cgroup.controllers").read_text().split()
    except OSError:
        return []
