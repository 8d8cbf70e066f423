"""The targets of a context as the tree lists them, by position: an operations set that takes and changes lists.

As in the kernel a target whose process has ended keeps its place and its regions until a commit takes it off.
Unlike there a process can be in one context only, once: two monitors would destroy each other's accessed bits.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from udamon.control.plan import PlannedTarget
from udamon.core.target import Target
from udamon.errors import CannotError, OutOfFiles, UsageError
from udamon.linux.failure import owner, process_errors
from udamon.linux.iomem import system_ram
from udamon.linux.maps import line_range, read_lines
from udamon.linux.process_madvise import open_process
from udamon.linux.procfs import ProcessId, is_alive, read_cmdline, read_stat
from udamon.linux.roots import Roots
from udamon.lock import Lock, take_lock
from udamon.model import PAGE_SIZE, USER_END, Emit, Range
from udamon.ops.fvaddr import whole_pages
from udamon.ops.three_regions import three_regions
from udamon.targets.processes import named_process, self_only


class TargetSpace(Protocol):
    """Where the memory of one planned target is. Each target has one of its own."""

    pid: int | None
    start_time: int | None

    def ranges(self) -> list[Range] | None:
        """Where it is now; None for as it was. Never raises."""

    def replan(self, planned: PlannedTarget) -> None:
        """The same target with other ranges. Raises UdamonError."""

    def valid(self) -> bool: ...

    def about(self) -> dict[str, object]:
        """What a target_start event says of it."""

    def close(self) -> None: ...


class ProcessOfTarget:
    """A process: as three regions that follow its mappings (vaddr), or in fixed ranges (fvaddr).

    With vaddr, ranges that the files give hold until the first update after that, as in the kernel.
    """

    def __init__(self, planned: PlannedTarget, roots: Roots, *, fixed: bool) -> None:
        """Raises UdamonError for what is no process to watch, or is watched already."""
        self._roots = roots
        self._fixed = fixed
        self._process = named_process(planned.pid, roots.proc, self_only())
        self.pid: int | None = self._process.pid
        self.start_time: int | None = self._process.start_time
        self._ranges: list[Range] = []
        self.replan(planned)
        with process_errors(self._process.pid, roots.proc, self._process.start_time):
            read_lines(self._process, roots.proc)  # it tells whether we may
        name = f"{self._process.pid}-{self._process.start_time}"
        self._lock: Lock = take_lock(name, f"process {planned.pid}", roots)
        self._pidfd = -1
        with suppress(
            OSError, OutOfFiles
        ):  # a kernel without pidfds, or it has just ended: /proc says so, too
            self._pidfd = open_process(self._process, roots.proc)

    def replan(self, planned: PlannedTarget) -> None:
        if planned.ranges:
            self._ranges = whole_pages(planned.ranges, USER_END)

    def ranges(self) -> list[Range] | None:
        if self._fixed:
            return list(self._ranges)
        if self._ranges:
            given, self._ranges = self._ranges, []
            return given
        with suppress(OSError, CannotError):
            lines = read_lines(self._process, self._roots.proc)
            return three_regions([line_range(line) for line in lines], PAGE_SIZE)
        return None

    def valid(self) -> bool:
        """Asked in each stretch, twice: one system call through the pidfd, four through /proc."""
        if self._pidfd < 0:
            return is_alive(self._process, self._roots.proc)
        try:
            signal.pidfd_send_signal(self._pidfd, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it is there
        return True

    def about(self) -> dict[str, object]:
        pid, proc = self._process.pid, self._roots.proc
        try:
            who: dict[str, object] = {"comm": read_stat(pid, proc).comm, "cmdline": read_cmdline(pid, proc)}
        except OSError:
            who = {"comm": "", "cmdline": []}
        return {"pid": pid, "start_time": self._process.start_time, **who, "user": owner(pid, proc)}

    @property
    def process(self) -> ProcessId:
        return self._process

    def close(self) -> None:
        self._lock.release()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


class NoProcessSpace:
    """Memory without a process: physical memory, or a simulated one. `lock` keeps others off, where there are any."""

    pid: int | None = None
    start_time: int | None = None

    def __init__(self, planned: PlannedTarget, everything: Sequence[Range], lock: Lock | None = None) -> None:
        self._everything = list(everything)
        self._ranges: list[Range] = []
        self._lock = lock
        self.replan(planned)

    def replan(self, planned: PlannedTarget) -> None:
        self._ranges = whole_pages(planned.ranges) if planned.ranges else self._everything

    def ranges(self) -> list[Range] | None:
        return list(self._ranges)

    def valid(self) -> bool:
        return True

    def about(self) -> dict[str, object]:
        return {"pid": None, "start_time": None, "comm": "", "cmdline": [], "user": ""}

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()


class Open(Protocol):
    """Opens one planned target. Raises UdamonError."""

    def __call__(self, planned: PlannedTarget) -> TargetSpace: ...


def opener(operations: str, roots: Roots, simulated: Sequence[Range] | None = None) -> Open:
    """How targets of the operations set are opened; with `simulated`, all are this memory."""

    def sim(planned: PlannedTarget) -> TargetSpace:
        return NoProcessSpace(planned, simulated or ())

    def paddr(planned: PlannedTarget) -> TargetSpace:
        ram = () if planned.ranges else system_ram(roots.proc)
        return NoProcessSpace(planned, ram, take_lock("paddr", "the physical memory", roots))

    def process(planned: PlannedTarget) -> TargetSpace:
        return ProcessOfTarget(planned, roots, fixed=operations == "fvaddr")

    if simulated is not None:
        return sim
    return paddr if operations == "paddr" else process


class ContextSpaces:
    """All targets of a context. Only the kdamond's thread calls it once that runs."""

    def __init__(self, operations: str, planned: Sequence[PlannedTarget], open_one: Open) -> None:
        """Raises UdamonError, and leaves nothing open then."""
        self.name = operations
        self._open = open_one
        self._next_index = 0
        self._places: list[tuple[int, TargetSpace]] = []
        self._fresh: set[int] = set()
        for each in planned:
            try:
                self._append(each)
            except Exception:
                self.close()
                raise

    def _append(self, planned: PlannedTarget) -> None:
        self._places.append((self._next_index, self._open(planned)))
        self._fresh.add(self._next_index)
        self._next_index += 1

    @property
    def indices(self) -> list[int]:
        """The index of the target at each position."""
        return [index for index, _ in self._places]

    def position(self, index: int) -> int | None:
        """The place of a target in the list; None when it was taken off."""
        found = self.indices
        return found.index(index) if index in found else None

    def update(self, targets: list[Target], emit: Emit) -> None:
        """See ops.base. The kernel's list and this one have the same order."""
        known = {target.index: target for target in targets}
        for target in targets:
            if target.index not in self.indices:
                emit("target_end", {"target": target.index, "pid": target.pid, "why": "left"})
        targets[:] = [
            known.get(index) or Target(index, places.pid, places.start_time) for index, places in self._places
        ]
        for target, (index, places) in zip(targets, self._places, strict=True):
            ranges = places.ranges()
            if ranges is not None:
                target.ranges = ranges
            if index in self._fresh:
                emit("target_start", {"target": index, **places.about()})
        self._fresh.clear()

    def commit(self, planned: Sequence[PlannedTarget]) -> None:
        """Go on with these (docs/damon.md#state-keywords): by position, the obsolete ones off, the surplus
        off, others appended.

        The caller then updates. Raises UdamonError before anything changed.
        """
        kept: list[tuple[int, TargetSpace]] = []
        dropped: list[TargetSpace] = []
        for position, (index, places) in enumerate(self._places):
            if position >= len(planned) or planned[position].obsolete:
                dropped.append(places)
            else:
                kept.append((index, places))
        appended = planned[len(self._places) :]
        if any(each.obsolete for each in appended):
            raise UsageError("a target that is not watched yet is marked obsolete; leave it out.")
        opened: list[TargetSpace] = []
        try:
            for position, each in enumerate(planned[: len(self._places)]):
                if not each.obsolete:
                    self._retarget(position, each, kept, dropped, opened)
            for each in appended:
                opened.append(self._open(each))
                kept.append((self._new_index(), opened[-1]))
        except Exception:
            for places in opened:
                places.close()
            raise
        self._places = kept
        for places in dropped:
            places.close()

    def _retarget(
        self,
        position: int,
        planned: PlannedTarget,
        kept: list[tuple[int, TargetSpace]],
        dropped: list[TargetSpace],
        opened: list[TargetSpace],
    ) -> None:
        index, places = self._places[position]
        if places.pid in (None, planned.pid):
            places.replan(planned)
            return
        opened.append(self._open(planned))
        dropped.append(places)
        kept[[known for known, _ in kept].index(index)] = self._new_index(), opened[-1]

    def _new_index(self) -> int:
        self._fresh.add(self._next_index)
        self._next_index += 1
        return self._next_index - 1

    def follow_forks(self, targets: list[Target], emit: Emit) -> bool:
        return False  # only what was written into pid_target is watched

    def valid(self, target: Target) -> bool:
        return any(index == target.index and places.valid() for index, places in self._places)

    def finish(self, targets: Sequence[Target], emit: Emit) -> None:
        """Nobody asks: who wrote pid_target knows what it named."""

    def expecting(self) -> bool:
        return False

    def close(self) -> None:
        for _, places in self._places:
            places.close()
