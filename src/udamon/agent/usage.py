"""How much CPU time a control group has used: where that has not moved, none of its processes ran."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from udamon.agent.discovery.model import Service
from udamon.errors import NotSupported, OutOfFiles
from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

_USAGE = re.compile(rb"^usage_usec ([0-9]+)$", re.MULTILINE)


class GroupUsage:
    """`usage(service, pids)`: microseconds (version 2) or nanoseconds (version 1) that have been used by the group and
    all below it; None where that is not known, or some of `pids` are in another group of the hierarchy that counts."""

    def __init__(self, root: Path = PROC) -> None:
        try:
            mounts = cgroup_mounts(root)
        except NotSupported:
            mounts = []
        self._accounts = next((mount for mount in mounts if "cpuacct" in mount.controllers), None)
        self._mounts = mounts

    def __call__(self, service: Service, pids: Sequence[int]) -> int | None:
        try:
            if found := _USAGE.search(read_bytes(f"{service.cgroup}/cpu.stat")):
                return int(found[1])
        except OutOfFiles:
            return None
        except OSError:
            pass  # version 1, or the group has gone
        if (directory := self._accounted(str(service.cgroup))) is None:
            return None
        try:
            if not set(pids) <= _members(directory):
                return None
            return int(read_bytes(f"{directory}/cpuacct.usage"))
        except (OSError, OutOfFiles, ValueError):
            return None

    def _accounted(self, directory: str) -> str | None:
        """The directory of the same group in the hierarchy of version 1 that counts CPU time."""
        if self._accounts is None:
            return None
        points = [str(mount.point) for mount in self._mounts]
        points = [point for point in points if f"{directory}/".startswith(f"{point}/")]
        if not points:
            return None
        return f"{self._accounts.point}{directory[len(max(points, key=len)) :]}"


def _members(top: str) -> set[int]:
    """Pids of the group and of those below it, however deep they lie. Raises OSError."""
    found: set[int] = set()
    left = [top]
    while left:
        directory = left.pop()
        found.update(map(int, read_bytes(f"{directory}/cgroup.procs").split()))
        if os.stat(directory).st_nlink > 2:  # it has directories
            with os.scandir(directory) as entries:
                left += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found
