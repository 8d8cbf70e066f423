"""How much CPU time a control group has used: where that has not moved, none of its processes ran."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from udamon.agent.discovery.model import Service
from udamon.errors import NotSupported
from udamon.linux.cgroup.groups import CgroupMount, cgroup_mounts
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
            if found := _USAGE.search(read_bytes(service.cgroup / "cpu.stat")):
                return int(found[1])
        except OSError:
            pass  # version 1, or the group has gone
        mount = self._mount_of(service.cgroup)
        if self._accounts is None or mount is None:
            return None
        directory = self._accounts.point / service.cgroup.relative_to(mount.point)
        try:
            if not set(pids) <= _members(directory):
                return None
            return int(read_bytes(directory / "cpuacct.usage"))
        except (OSError, ValueError):
            return None

    def _mount_of(self, directory: Path) -> CgroupMount | None:
        inside = [mount for mount in self._mounts if directory.is_relative_to(mount.point)]
        return max(inside, key=lambda mount: len(mount.point.parts), default=None)


def _members(directory: Path) -> set[int]:
    """Pids of the group and of those below it. Raises OSError."""
    found = set(map(int, read_bytes(directory / "cgroup.procs").split()))
    for below in directory.iterdir():
        if below.is_dir():
            found |= _members(below)
    return found
