"""Looks at batches of processes: the seam between the agent and the kernel.

Sizes are read for all ways of looking, `refs` is all here. A process's pages are cleared once, and read at each age
without clearing again: what is referenced then was accessed since, so the rest has been idle for as long. smaps_rollup
sums over mappings. These are read one by one once for each process, to know those that run virtual machines, and at an
age that is told where much of what was accessed may be its own memory or libraries.

What a TLB holds when pages are cleared is not seen to be accessed until it falls out. As in ops/tlb.py it is flushed
where the kernel keeps no soft-dirty bits, else displaced: once for all that are cleared together, by a visit of each
processor that the agent may run on. For what lies idle for a minute and more this matters little; working sets of some
MiB would look idle without it.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from typing import Protocol

from udamon.agent.process import Process
from udamon.linux.procfs import ProcessId, read_stat, resident_bytes
from udamon.linux.roots import Roots
from udamon.linux.urgent import urgent
from udamon.native._native import (
    LOOK,
    LOOK_CLEAR,
    LOOK_FLUSH,
    LOOK_GUEST,
    LOOK_SPLIT,
    ProcessLooks,
    look_processes,
    visit_cpus,
)
from udamon.ops.tlb import Way

AT_ONCE = 128
"""Processes of one call: signals are answered in between."""

READ, CLEAR, NEW, SPLIT = LOOK, LOOK_CLEAR, LOOK | LOOK_GUEST, LOOK | LOOK_SPLIT
"""Operations on a process. SPLIT looks mapping by mapping."""

Chunk = tuple[Sequence[Process], ProcessLooks]


class Looks(Protocol):
    """How processes are looked at; tests simulate it."""

    def identify(self, pid: int) -> ProcessId | None:
        """Which process has this pid now; None where it has ended or is a kernel thread. Raises OutOfFiles."""

    def look(self, processes: Sequence[Process], what: int) -> Iterator[Chunk]:
        """Look at them, some at a time, and hand out what was found."""

    def resident(self, pid: int) -> int:
        """Resident bytes of a process that may not be looked at, which anybody may know; 0 where it has ended. Raises
        OutOfFiles."""

    def expose(self, *, hidden: bool) -> None:
        """Make accesses visible that a TLB hides, of all that were cleared since; `hidden`: no clearing flushed it."""

    def expose_ns(self) -> int:
        """What `expose` takes of this process's CPU, about."""


class ProcLooks:
    """The kernel's. `tlb` says what is done about accesses that a TLB hides."""

    VISIT_NS = 100_000

    def __init__(self, roots: Roots, tlb: Way) -> None:
        self._root = roots.proc
        self._fd = os.open(roots.proc, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._tlb = tlb

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def identify(self, pid: int) -> ProcessId | None:
        try:
            stat = read_stat(pid, self._root)
        except OSError:
            return None
        return None if stat.kernel_thread or stat.ended else stat.id

    def look(self, processes: Sequence[Process], what: int) -> Iterator[Chunk]:
        if what & LOOK_CLEAR and self._tlb == "flush":
            what |= LOOK_FLUSH
        for at in range(0, len(processes), AT_ONCE):
            some = processes[at : at + AT_ONCE]
            flags = bytes(what & ~LOOK_FLUSH if one.guest else what for one in some)
            # While pages are cleared the target's page faults wait: nobody takes us off the processor meanwhile.
            with urgent(bool(what & LOOK_CLEAR)):
                found = look_processes(
                    proc=self._fd,
                    pid=array("i", [one.pid for one in some]),
                    start_time=array("Q", [one.start_time for one in some]),
                    what=flags,
                )
            yield some, found

    def resident(self, pid: int) -> int:
        return resident_bytes(pid, self._root)

    def expose(self, *, hidden: bool) -> None:
        if self._tlb == "visit" or hidden:
            visit_cpus(cpus=array("i", sorted(os.sched_getaffinity(0))))

    def expose_ns(self) -> int:
        return self.VISIT_NS * len(os.sched_getaffinity(0)) if self._tlb == "visit" else 0
