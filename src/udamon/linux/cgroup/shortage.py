"""Whether memory is short for a process: tasks wait for it, or a control group that it is in is near its limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from udamon.errors import NotSupported
from udamon.linux.cgroup.groups import CgroupMount, cgroup_mounts, directory_in
from udamon.linux.cgroup.memory import limit_in
from udamon.linux.pressure import parse_share
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

STALLED = 0.001
"""Of the last ten seconds the share in which some task waited for memory, from which on it is short."""
NEAR = 0.9
"""Of its limit, what a group uses where memory is short for it."""

_LIMITS = (
    ("memory.current", "memory.max"),
    ("memory.current", "memory.high"),
    ("memory.usage_in_bytes", "memory.limit_in_bytes"),
)


def shortage(pid: int, root: Path = PROC) -> str | None:
    """How memory is short for a process, as a part of a sentence; None where it is not, or nothing tells."""
    with suppress(OSError, NotSupported, ValueError):
        for directory in _groups(pid, root):
            if _near_limit(directory):
                return f"its control group is within {1 - NEAR:.0%} of its limit"
    for file in (root / "pressure" / "memory", *_own_pressure(pid, root)):
        with suppress(OSError, ValueError, StopIteration):
            if parse_share(read_bytes(file)) >= STALLED:
                return "tasks wait for memory"
    return None


def _own_pressure(pid: int, root: Path) -> Iterator[Path]:
    with suppress(OSError, NotSupported):
        for directory in _groups(pid, root):
            yield directory / "memory.pressure"  # those above wait with it
            return


def _groups(pid: int, root: Path) -> Iterator[Path]:
    """The directories of its control group and of those above it, where the memory controller is. Raises OSError,
    NotSupported."""
    lines = [line.split(b":", 2) for line in read_bytes(root / str(pid) / "cgroup").split(b"\n")]
    paths = {fields[1]: fields[2].decode(errors="surrogateescape") for fields in lines if len(fields) == 3}
    mounts = cgroup_mounts(root)
    for controllers, path in paths.items():
        version = 2 if not controllers else 1
        if version == 1 and b"memory" not in controllers.split(b","):
            continue
        for mount in mounts:
            if mount.version == version and (version == 2 or "memory" in mount.controllers):
                yield from _upwards(path, mount)


def _upwards(path: str, mount: CgroupMount) -> Iterator[Path]:
    directory = directory_in(path, mount)
    while directory is not None and directory.is_relative_to(mount.point):
        yield directory
        directory = directory.parent


def _near_limit(directory: Path) -> bool:
    """Raises ValueError for what is no number."""
    for used, limit in _LIMITS:
        try:
            most = limit_in(directory / limit)
            if most is not None and int(read_bytes(directory / used)) >= NEAR * most:
                return True
        except OSError:
            continue  # of the other version, or the controller is not on here
    return False
