"""The numbers of the machine that goals and watermarks are about (docs/damon.md#goals, #watermarks)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from udamon.core.scheme import Goal, GoalMetric
from udamon.core.target import Target
from udamon.errors import CannotError, NotSupported
from udamon.linux import features
from udamon.linux.cgroup.memory import lru_bytes, memory_cgroup
from udamon.linux.meminfo import node_memory, read_meminfo, read_node_meminfo
from udamon.linux.pressure import cgroup_memory_stall_us, memory_stall_us
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import Roots
from udamon.model import Range
from udamon.ranges import joined, overlap
from udamon.scheme_metrics.command_number import CommandNumber, number_in
from udamon.scheme_metrics.socket_number import SocketNumber

BP = 10_000


class MatchingRange(Protocol):
    """Bytes [start, end) of a target that match a scheme's access pattern."""

    @property
    def target(self) -> Target: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class MachineMetrics:
    """Reads what a goal is about, when it is asked: one or two small files, or what a command has printed or a socket
    got by then.

    `value` raises CannotError for what this machine does not tell. What goes away later has the kernel's value:
    a node or cgroup that is not there uses nothing.
    """

    def __init__(
        self,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._roots = roots
        self._now_ns = now_ns
        self._commands: dict[str, CommandNumber] = {}
        self._sockets: dict[str, SocketNumber] = {}
        self._node_memory: dict[int, list[Range]] = {}
        self._readers: dict[GoalMetric, Callable[[Goal], int | None]] = {
            GoalMetric.USER_INPUT: lambda goal: goal.current_value,
            GoalMetric.SOME_MEM_PSI_US: lambda goal: memory_stall_us(roots.proc),
            GoalMetric.MEMCG_SOME_MEM_PSI_US: self._cgroup_stall,
            GoalMetric.NODE_MEM_USED_BP: self._node,
            GoalMetric.NODE_MEM_FREE_BP: self._node,
            GoalMetric.NODE_MEMCG_USED_BP: self._node_cgroup,
            GoalMetric.NODE_MEMCG_FREE_BP: self._node_cgroup,
            GoalMetric.ACTIVE_MEM_BP: self._active,
            GoalMetric.INACTIVE_MEM_BP: self._active,
            GoalMetric.FILE: self._file,
            GoalMetric.COMMAND: self._command,
            GoalMetric.SOCKET: self._socket,
        }

    def missing(self, goal: Goal) -> str | None:
        """Why the goal's number cannot be had here, with what to do; None when it can. Asked once, before."""
        metric = goal.target_metric
        try:
            if metric.startswith("node_") and goal.nid not in (there := features.nodes(self._roots.sys)):
                return f"there is no node {goal.nid}; name one of {', '.join(map(str, there)) or 'none (no NUMA)'}."
            if metric.startswith("node_memcg"):
                memory_cgroup(goal.path, "memory.numa_stat", self._roots.proc)
            elif metric not in (GoalMetric.COMMAND, GoalMetric.NODE_ELIGIBLE_MEM_BP):
                self.value(goal)
        except CannotError as error:
            return str(error)
        return None

    def require(self, goal: Goal) -> None:
        """Raises NotSupported, with the sentence of `missing`, where the goal's number cannot be had here."""
        if why := self.missing(goal):
            raise NotSupported(f"the goal {goal.target_metric} cannot be followed here: {why}")

    def value(self, goal: Goal) -> int | None:
        """In the unit of the metric; PSI metrics: the total so far, µs. None: not known yet. Raises CannotError."""
        if goal.target_metric is GoalMetric.NODE_ELIGIBLE_MEM_BP:
            raise ValueError("node_eligible_mem_bp is about bytes that match: ask eligible_bp")
        return self._readers[goal.target_metric](goal)

    def eligible_bp(self, goal: Goal, matching: Sequence[MatchingRange]) -> int:
        """Of the physical memory `matching`, how many in 10 000 bytes lie on the goal's node; 0 where none match.

        Raises NotSupported for memory of processes, of which this is not known.
        """
        if any(m.target.pid is not None for m in matching):
            raise NotSupported(
                "node_eligible_mem_bp is about physical memory; use --ops paddr, or another metric."
            )
        if goal.nid not in self._node_memory:
            self._node_memory[goal.nid] = node_memory(goal.nid, self._roots.proc)
        ranges = joined(sorted(Range(m.start, m.end) for m in matching))
        total = sum(r.size for r in ranges)
        on_node = sum(r.size for r in overlap(ranges, self._node_memory[goal.nid]))
        return on_node * BP // total if total else 0

    def free_mem_permil(self) -> int:
        """Raises OSError."""
        memory = read_meminfo(self._roots.proc)
        return memory["MemFree"] * 1000 // memory["MemTotal"]

    def close(self) -> None:
        """End the commands that were started, and remove the sockets that were made. Idempotent."""
        for command in self._commands.values():
            command.close()
        for socket in self._sockets.values():
            socket.close()
        self._commands.clear()
        self._sockets.clear()

    def _cgroup_stall(self, goal: Goal) -> int | None:
        directory = memory_cgroup(goal.path, "memory.pressure", self._roots.proc)
        try:
            return cgroup_memory_stall_us(directory)
        except OSError:
            return None  # removed between two looks

    def _node(self, goal: Goal) -> int:
        try:
            memory = read_node_meminfo(goal.nid, self._roots.sys)
        except OSError:
            memory = {"MemTotal": 1, "MemFree": 1}
        used = memory["MemTotal"] - memory["MemFree"]
        part = used if goal.target_metric is GoalMetric.NODE_MEM_USED_BP else memory["MemFree"]
        return part * BP // memory["MemTotal"]

    def _node_cgroup(self, goal: Goal) -> int:
        used = 0
        try:
            total = read_node_meminfo(goal.nid, self._roots.sys)["MemTotal"]
            used = lru_bytes(memory_cgroup(goal.path, "memory.numa_stat", self._roots.proc), goal.nid)
        except (OSError, CannotError):
            total = 1
        part = used if goal.target_metric is GoalMetric.NODE_MEMCG_USED_BP else total - used
        return part * BP // total

    def _active(self, goal: Goal) -> int:
        memory = read_meminfo(self._roots.proc)
        name = "Active" if goal.target_metric is GoalMetric.ACTIVE_MEM_BP else "Inactive"
        return memory[name] * BP // max(memory["Active"] + memory["Inactive"], 1)

    def _file(self, goal: Goal) -> int:
        try:
            found = number_in(read_bytes(Path(goal.path)))
        except OSError as error:
            raise CannotError(
                f"{goal.path} cannot be read: {error.strerror}; write a number into it."
            ) from None
        if found is None:
            raise CannotError(f"{goal.path} does not begin with a number; write one into it.")
        return found

    def _command(self, goal: Goal) -> int | None:
        if goal.path not in self._commands:
            self._commands[goal.path] = CommandNumber(goal.path, self._now_ns)
        return self._commands[goal.path].value()

    def _socket(self, goal: Goal) -> int | None:
        if goal.path not in self._sockets:
            self._sockets[goal.path] = SocketNumber(Path(goal.path))
        return self._sockets[goal.path].value()
