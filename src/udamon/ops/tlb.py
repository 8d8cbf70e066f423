"""Remedies for accesses that a TLB hides, and a child process to measure them with (availability.tlb).

A processor sets the accessed bit of a page when it walks the page table. While it holds the translation in its TLB it
does not walk, so after the bit was cleared behind its back an access is seen only when the entry was flushed or
displaced in the meantime. Ways to have it so:

- flush: clear_refs 4 flushes all processors and costs a tenth of clear_refs 1. It is used only where the kernel keeps
  no soft-dirty bits: elsewhere it also clears these, and each page costs a fault at its next write. It is not used for
  processes that run virtual machines, because it would tear down the guest's page tables.
- visit: a thread of udamon runs for a moment on every processor that the target may run on and reads more pages than a
  TLB has entries (native/visits.c). It takes no privilege. It does not reach processors that the own cpuset leaves out.

MADV_COLD flushes, too, in place of clear_refs, but it deactivates the pages: watching would make them the next ones to
be reclaimed. A context switch flushes nothing where the processor tells address spaces apart.
"""

from __future__ import annotations

import mmap
import os
import signal
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from udamon.core.target import Target
from udamon.errors import UsageError
from udamon.linux import features
from udamon.linux.procfs import allowed_cpus, read_stat
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE
from udamon.native._native import hot_set_start, visit_cpus
from udamon.ops.notes import Notes
from udamon.units import counted

Way = Literal["flush", "visit", "none"]

SWITCH = "UDAMON_TLB"
"""For tests: an environment variable that names the way to take, whatever the kernel is."""

_WAIT_LIMIT_S = 3.0
_SPIN_S = 0.0005


def way() -> Way:
    """What `refs` does here. Raises UsageError for a switch that names no way."""
    forced = os.environ.get(SWITCH)
    if forced == "visit":
        return "visit"
    if forced == "none":
        return "none"
    if forced is not None:
        raise UsageError(f"{SWITCH}={forced} is no way to treat the TLB; give visit or none, or unset it.")
    return "flush" if features.soft_dirty() is False else "visit"


def displace(targets: Iterable[Target], notes: Notes, root: Path = PROC) -> None:
    """Displace what TLBs hold of `targets`, on every processor that they may run on; a note says where that was not
    possible, on those that the own cpuset leaves out for example."""
    cpus: set[int] = set()
    for target in targets:
        if target.pid is not None:
            with suppress(OSError):  # it ended
                cpus |= allowed_cpus(target.pid, root)
    if hidden := len(cpus) - visit_cpus(cpus=array("i", sorted(cpus))):
        notes.say(
            "tlb",
            f"{hidden} of {counted(len(cpus), 'processor')} that targets may run on cannot be visited (the cpuset of "
            "udamon?): small working sets there may be missed, for accesses through their TLB are not seen.",
        )


class HotSet:
    """A child that touches the beginning of a mapping at `address`, of small pages, round after round."""

    def __init__(self, pid: int, address: int, control: mmap.mmap) -> None:
        self.target = Target(0, pid, read_stat(pid).start_time)
        self.address = address
        self._words = memoryview(control).cast("Q")

    def access(self, size: int) -> bool:
        """Touch so many bytes from now on; False when the child does not get to run."""
        self._words[0] = size
        return self.rounds()

    @property
    def count(self) -> int:
        """Rounds that were completed so far."""
        return self._words[1]

    def rest(self) -> None:
        """Touch nothing more from soon on."""
        self._words[0] = 0

    def rounds(self) -> bool:
        """Wait until all of the set was touched once more; False when that takes longer than 3 s."""
        last = self._words[1] + 2  # the round that runs now began before
        begin = time.monotonic()
        while self._words[1] < last:
            waited = time.monotonic() - begin
            if waited > _WAIT_LIMIT_S:
                return False
            if waited > _SPIN_S:
                time.sleep(_SPIN_S)
        return True

    def release(self) -> None:
        self._words.release()


@contextmanager
def hot_set(size: int, cpu: int = -1) -> Iterator[HotSet]:
    """A child with a mapping of `size` bytes, none of them touched before `touch`, on a processor or on any.

    Raises OSError.
    """
    with mmap.mmap(-1, PAGE_SIZE) as control:
        pid, address = hot_set_start(control=control, size=size, cpu=cpu)
        try:
            child = HotSet(pid, address, control)
            try:
                yield child
            finally:
                child.release()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
