"""The largest processes of a user, as targets that come and go: what the live view shows without a target."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from udamon.linux.pid_namespace import require_own
from udamon.linux.procfs import ProcessId, list_pids, read_bytes, read_stat, read_status
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE
from udamon.ops.coverage import Births

COUNT = 20
LEAST = 8 << 20
"""Bytes resident: smaller processes are not worth a look."""
AGAIN_NS = 10_000_000_000
"""The list is made again so often: reading /proc of a thousand processes takes some 20 ms."""


class LargestProcesses:
    """The `count` processes with most resident memory that `uid` owns (root: all), udamon itself left out.

    A source of processes (udamon.ops.processes.ProcessSource): none of them was named, so one that cannot
    be watched is passed over. Raises NotSupported where /proc is another pid namespace's.
    """

    named: frozenset[int] = frozenset()

    def __init__(
        self,
        now_ns: Callable[[], int],
        root: Path = PROC,
        *,
        uid: int | None = None,
        own_pid: int | None = None,
        count: int = COUNT,
        least: int = LEAST,
    ) -> None:
        require_own(root)
        self._now_ns, self._root, self._count, self._least = now_ns, root, count, least
        self._uid = os.geteuid() if uid is None else uid
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._found: list[ProcessId] = []
        self._made_ns: int | None = None

    def processes(self) -> list[ProcessId]:
        now = self._now_ns()
        if self._made_ns is None or now - self._made_ns >= AGAIN_NS:
            self._made_ns = now
            sizes = sorted(filter(None, map(self._sized, list_pids(self._root))), reverse=True)
            self._found = [process for _, process in sizes[: self._count]]
        return list(self._found)

    def expecting(self) -> bool:
        return True

    def births(self) -> Births:
        """Who is not among the largest is not wanted."""
        return Births()

    def close(self) -> None:
        """Nothing is open."""

    def _sized(self, pid: int) -> tuple[int, ProcessId] | None:
        if pid == self._own_pid:
            return None
        try:
            size = int(read_bytes(f"{self._root}/{pid}/statm").split()[1]) * PAGE_SIZE
            if size < self._least:
                return None
            stat = read_stat(pid, self._root)
            if stat.kernel_thread or stat.ended or self._uid not in (0, read_status(pid, self._root).uid):
                return None
        except (OSError, IndexError, ValueError):
            return None  # it ended meanwhile, or is not ours to see
        return size, stat.id
