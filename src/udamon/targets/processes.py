"""Which processes to watch: named ones, named ones with their children, or a control group."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol

from udamon.core.target import Target
from udamon.errors import CannotError, TargetGone, UsageError
from udamon.linux.cgroup.groups import cgroup_pids, find_cgroup
from udamon.linux.cgroup.memory import memory_cgroup, page_faults
from udamon.linux.failure import process_errors
from udamon.linux.pid_namespace import require_own
from udamon.linux.proc_events import ForkEvents
from udamon.linux.procfs import ProcessId, Stat, children, read_stat, read_status
from udamon.linux.roots import PROC
from udamon.targets import forks
from udamon.targets.coverage import BirthCounts
from udamon.targets.forks import Events


class ProcessSource(Protocol):
    """Tells at each update which processes are wanted now."""

    named: frozenset[int]
    """Pids the user named: one of these that cannot be watched from the start is an error."""

    def processes(self) -> list[ProcessId]:
        """Those that exist now and are wanted, in a stable order."""

    def forked(self) -> list[ProcessId]:
        """Those that began since the last call of this or of `processes`, are wanted and may still live, where the
        kernel's events tell of them. Costs next to nothing while there are no forks."""

    def expecting(self) -> bool:
        """True while processes may still come although there are none now."""

    def births(self) -> BirthCounts:
        """What came and went since the last call, which is to come once an update."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


def process_of(target: Target) -> ProcessId:
    """The process that a target is. Raises ValueError for physical and simulated memory."""
    if target.pid is None or target.start_time is None:
        raise ValueError(f"target {target.index} is no process")
    return ProcessId(target.pid, target.start_time)


def self_only() -> frozenset[int]:
    """What sources leave out: udamon itself, whose own work would be all there is to see."""
    return frozenset({os.getpid()})


def named_process(pid: int, root: Path = PROC, exclude: Collection[int] = frozenset()) -> ProcessId:
    """The process `pid` names; a thread's id names its process.

    Raises UsageError for what is no process to watch, TargetGone or NotPermitted.
    """
    require_own(root)
    if pid <= 0:
        raise UsageError(f"{pid} is not a pid; give the number ps -e shows, 1 or higher.")
    with process_errors(pid, root):
        pid = read_status(pid, root).tgid
        stat = read_stat(pid, root)
    if pid in exclude:
        raise UsageError(f"process {pid} is udamon itself, which would watch only its own watching.")
    if stat.kernel_thread:
        raise UsageError(
            f"process {pid} ({stat.comm}) is a kernel thread and has no memory of its own to watch."
        )
    if stat.ended:
        raise TargetGone(f"process {pid} ({stat.comm}) has ended; its parent has not collected it yet.")
    return stat.id


class NamedProcesses:
    """Given pids, each until it ends. Raises, when made, what `named_process` raises."""

    def __init__(
        self, pids: Iterable[int], root: Path = PROC, exclude: Collection[int] | None = None
    ) -> None:
        self._root = root
        self._exclude = self_only() if exclude is None else exclude
        found = [named_process(pid, root, self._exclude) for pid in pids]
        self._wanted = list(dict.fromkeys(found))
        self.named = frozenset(process.pid for process in found)

    def processes(self) -> list[ProcessId]:
        """Zombies are left out: they have no memory, and who has ended is counted once."""
        self._wanted = [process for process in self._wanted if _lives(process, self._root)]
        return list(self._wanted)

    def forked(self) -> list[ProcessId]:
        return []  # no other process is wanted

    def expecting(self) -> bool:
        return False

    def births(self) -> BirthCounts:
        """No other process is wanted."""
        return BirthCounts()

    def close(self) -> None:
        """Nothing is open."""


class ProcessFamilies(NamedProcesses):
    """Given pids with all their descendants; a child stays when its parent ends.

    Without privilege to follow forks by events, a process whose parent both started and ended between two updates is
    missed.
    """

    def __init__(
        self, pids: Iterable[int], root: Path = PROC, exclude: Collection[int] | None = None
    ) -> None:
        super().__init__(pids, root, exclude)
        self._forks = Forks(root)

    def processes(self) -> list[ProcessId]:
        born = self._forks.look({process.pid for process in self._wanted}, self._exclude)
        family = dict.fromkeys([*super().processes(), *born])
        queue = list(family)
        while queue:
            for pid in children(queue.pop().pid, self._root):
                stat = _watchable(pid, self._root, self._exclude)
                if stat is not None and stat.id not in family:
                    family[stat.id] = None
                    queue.append(stat.id)
        self._wanted = list(family)
        return list(family)

    def forked(self) -> list[ProcessId]:
        """Their own children come at the next call, or with them, if they have any by now."""
        born = self._forks.look({process.pid for process in self._wanted}, self._exclude)
        found = [process for process in born if process not in self._wanted]
        self._wanted += found
        return found

    def births(self) -> BirthCounts:
        return self._forks.births()

    def close(self) -> None:
        self._forks.close()


class CgroupProcesses:
    """Every process in a control group and below it, as they come and go; it may be empty at first."""

    named: frozenset[int] = frozenset()

    def __init__(self, path: str, root: Path = PROC, exclude: Collection[int] | None = None) -> None:
        """Raises CannotError when there is no such cgroup, or /proc is another pid namespace's."""
        require_own(root)  # a cgroup lists its processes by their numbers here
        self._directory = find_cgroup(path, root)
        self._memory = _memory_directory(path, self._directory, root)
        self._root = root
        self._exclude = self_only() if exclude is None else exclude
        self._members: set[int] = set()
        self._forks = Forks(root)

    def processes(self) -> list[ProcessId]:
        """Raises NotPermitted when the cgroup's list may not be read."""
        stats = (
            _watchable(pid, self._root, self._exclude) for pid in cgroup_pids(self._directory, self._root)
        )
        found = [stat.id for stat in stats if stat is not None]
        self._forks.look(
            self._members, self._exclude
        )  # counts the ended ones; the others are in the list, or have left
        self._members = {process.pid for process in found}
        return found

    def forked(self) -> list[ProcessId]:
        """Processes that entered the group without a fork are found at the next update."""
        born = self._forks.look(self._members, self._exclude)
        if not born:
            return []
        here = set(cgroup_pids(self._directory, self._root))
        # A process that is not in the list any more has ended (and counts as missed) or has changed its group.
        found = [process for process in born if process.pid in here or not _lives(process, self._root)]
        self._members |= {process.pid for process in found}
        return found

    def expecting(self) -> bool:
        return self._directory.is_dir()

    def births(self) -> BirthCounts:
        return self._forks.births()._replace(faults=page_faults(self._memory))

    def close(self) -> None:
        self._forks.close()


class Forks:
    """Forks between two looks: who is still there, and how many are not."""

    def __init__(self, root: Path = PROC, open_events: Callable[[], Events] = ForkEvents) -> None:
        self._root = root
        # The kernel's events speak of the processes in /proc, and of no other tree.
        self._births = forks.ForkFollower(
            open_events if root == PROC or open_events is not ForkEvents else _none
        )
        self._unseen = 0

    def look(self, members: Collection[int], exclude: Collection[int]) -> list[ProcessId]:
        """Those that were born to `members` since the last look and live."""
        born, gone = self._births.take(members)
        self._unseen += gone
        found = []
        for pid in born:
            stat = _watchable(pid, self._root, ())
            if stat is None:
                self._unseen += 1
            elif pid not in exclude:
                found.append(stat.id)
        return found

    def births(self) -> BirthCounts:
        """Since the last call, which is to come once an update."""
        self._births.renew()
        unseen, self._unseen = self._unseen, 0
        return BirthCounts(unseen, self._births.followed)

    def close(self) -> None:
        """Idempotent."""
        self._births.close()


def _none() -> Events:
    raise FileNotFoundError


def _memory_directory(path: str, directory: Path, root: Path) -> Path:
    """Where the memory controller counts for the cgroup: in version 1 that is another hierarchy."""
    try:
        return memory_cgroup(path, "memory.stat", root)
    except CannotError:
        return directory


def _lives(process: ProcessId, root: Path) -> bool:
    stat = _watchable(process.pid, root, ())
    return stat is not None and stat.id == process


def _watchable(pid: int, root: Path, exclude: Collection[int]) -> Stat | None:
    """What came by itself and is no process to watch is passed over without a word."""
    try:
        stat = read_stat(pid, root)
    except OSError:
        return None
    return None if stat.kernel_thread or stat.ended or pid in exclude else stat


def process_source(
    pids: Iterable[int] = (),
    *,
    with_children: bool = False,
    cgroup: str | None = None,
    root: Path = PROC,
    exclude: Collection[int] | None = None,
) -> ProcessSource:
    """The source that a specification means; `exclude` are left out (None: this process). Raises UsageError or
    CannotError."""
    wanted = list(pids)
    if cgroup is not None and wanted:
        raise UsageError("pids and a cgroup exclude each other; give one of them.")
    if cgroup is not None:
        return CgroupProcesses(cgroup, root, exclude)
    if not wanted:
        raise UsageError("there is no process to watch; give -p PID, --cgroup PATH or -- COMMAND.")
    kind = ProcessFamilies if with_children else NamedProcesses
    return kind(wanted, root, exclude)
