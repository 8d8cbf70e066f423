"""The largest processes of a user: what the live view offers to watch. Nothing of them is watched here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from udamon.linux.pid_namespace import require_own
from udamon.linux.procfs import ProcessId, list_pids, read_cmdline, read_stat, read_status, resident_bytes
from udamon.linux.roots import PROC

COUNT = 20
LEAST = 8 << 20
"""Bytes resident: smaller processes are not worth a look."""


@dataclass(frozen=True, slots=True)
class WatchableProcess:
    """A process that could be watched; `resident` in bytes."""

    process: ProcessId
    comm: str
    resident: int
    command: str

    @property
    def pid(self) -> int:
        return self.process.pid


def largest(
    count: int = COUNT,
    root: Path = PROC,
    *,
    uid: int | None = None,
    own_pid: int | None = None,
    least: int = LEAST,
) -> list[WatchableProcess]:
    """The `count` processes with most resident memory that `uid` owns (root: all), udamon itself left out; the
    largest first. Only statm, stat, status and cmdline are read: no page table is walked, no lock is taken.
    Raises NotSupported where /proc is another pid namespace's."""
    require_own(root)
    uid = os.geteuid() if uid is None else uid
    own_pid = os.getpid() if own_pid is None else own_pid
    sizes = ((resident_bytes(pid, root), pid) for pid in list_pids(root) if pid != own_pid)
    found: list[WatchableProcess] = []
    for resident, pid in sorted(((size, pid) for size, pid in sizes if size >= least), reverse=True):
        if len(found) == count:
            break
        one = _offered(pid, resident, root, uid)
        if one is not None:
            found.append(one)
    return found


def _offered(pid: int, resident: int, root: Path, uid: int) -> WatchableProcess | None:
    try:
        stat = read_stat(pid, root)
        if stat.kernel_thread or stat.ended or uid not in (0, read_status(pid, root).uid):
            return None
        return WatchableProcess(stat.id, stat.comm, resident, " ".join(read_cmdline(pid, root)))
    except (OSError, IndexError, ValueError):
        return None  # it ended meanwhile, or is not ours to see
