"""What is done about accesses that a TLB hides, and a measurement of how well it works here.

A processor sets the accessed bit of a page when it walks the page table. While it holds the translation in its TLB it
does not walk, so after the bit was cleared behind its back an access is seen only when the entry was flushed or
displaced in the meantime. Ways to have it so:

- flush: clear_refs 4 flushes all processors and costs a tenth of clear_refs 1, but only where the kernel keeps no
  soft-dirty bits does it do nothing else. It is also left out for processes that run virtual machines, where it would
  tear down the guest's page tables.
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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from udamon.core.target import Target
from udamon.errors import CannotError, UsageError
from udamon.linux import features
from udamon.linux.procfs import allowed_cpus, read_stat
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE
from udamon.native._native import hot_set_start, visit_cpus
from udamon.ops.base import Census
from udamon.units import format_size

Way = Literal["flush", "visit", "none"]
State = Literal["flushed", "displaced", "stale"]

SWITCH = "UDAMON_TLB"
"""For tests: an environment variable that names the way to take, whatever the kernel is."""

SIZES = (256 << 10, 1 << 20, 4 << 20)
"""Working sets that are tried, bytes; BEYOND as well where even the largest is not seen."""
BEYOND = (16 << 20, 64 << 20)
TRIES = 3
_STATES: dict[Way, State] = {"flush": "flushed", "visit": "displaced", "none": "stale"}
_SEEN = 0.95
_PATIENCE_S = 3.0
_SPIN_S = 0.0005


class Tlb(NamedTuple):
    """What became of accesses through a TLB: "flushed" or "displaced", so they are seen; or "stale".

    Working sets smaller than `missed_below` bytes may be missed: 0 none, None up to the reach of the TLB.
    """

    state: State
    missed_below: int | None


def way() -> Way:
    """What `refs` does here. Raises UsageError for a switch that names no way."""
    forced = os.environ.get(SWITCH)
    if forced == "visit":
        return "visit"
    if forced == "none":
        return "none"
    if forced is not None:
        raise UsageError(f"{SWITCH}={forced} is no way to treat the TLB; give visit or none, or unset it.")
    known = features.own_page_map_entries() != []
    return "flush" if known and not features.soft_dirty() else "visit"


def displace(targets: Iterable[Target], root: Path = PROC) -> int:
    """Displace what TLBs hold of `targets`, on every processor that they may run on.

    Returns on how many processors that was not possible.
    """
    cpus: set[int] = set()
    for target in targets:
        if target.pid is not None:
            with suppress(OSError):  # it ended
                cpus |= allowed_cpus(target.pid, root)
    return len(cpus) - visit_cpus([array("i", sorted(cpus))])


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
            if waited > _PATIENCE_S:
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
        pid, address = hot_set_start(control, size, cpu)
        try:
            child = HotSet(pid, address, control)
            try:
                yield child
            finally:
                child.release()
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def touched(census: Census, child: HotSet, size: int) -> int | None:
    """Bytes that a census saw touched in a window in which `size` bytes were; None when the child did not run.

    The window is as short as can be, and nothing is touched after it: what else runs on that processor would displace
    the TLB in time.
    """
    if not child.access(size):
        return None
    census.prepare(child.target)
    census.expose([child.target])
    ran = child.rounds()
    child.rest()
    seen = next((found.touched for found in census.look(child.target) if found.start == child.address), 0)
    return seen if ran else None


def measure(census: Census, used: Way, sizes: Sequence[int] = SIZES) -> Tlb:
    """Try on a child which working sets are seen; takes about 0.1 s. `census` is one that uses `used`."""
    unseen = 0
    try:
        with hot_set(max(BEYOND)) as child:
            for size in (*sizes, *BEYOND):
                if not _is_seen(census, child, size):
                    unseen = size
                elif size >= sizes[-1]:
                    break
            else:
                return Tlb("stale", None)
    except (OSError, CannotError):
        return Tlb("stale", None)
    if unseen:
        return Tlb("stale", 4 * unseen)  # the next larger one was seen
    return Tlb(_STATES[used], 0)


def measured(via: str, *, same_cpu: bool = False) -> Tlb | None:
    """What becomes of accesses through a TLB when looking so; None where it is no question (a simulation).

    What clears accessed bits one page at a time (idle, in-kernel DAMON) is as blind without a visit as clear_refs is,
    so that is what is measured for it. Takes about 0.1 s. Raises UsageError as `way`.
    """
    from udamon.ops.refs import Refs

    if via == "sim":
        return None
    if via == "softdirty":
        return Tlb("flushed", 0)  # or else the kernel would miss writes itself
    used: Way = way() if via in {"refs", "pte"} else "visit" if same_cpu else "none"
    return measure(Refs(tlb=used), used)


def sentence(found: Tlb) -> str:
    """What it means for whoever reads results."""
    if found.state != "stale":
        return f"small working sets are seen: what TLBs hold is {found.state} in each window."
    if found.missed_below is None:
        return "small working sets may be missed: accesses through a TLB are not seen here."
    return f"working sets below {format_size(found.missed_below)} may be missed: accesses through a TLB are not seen."


def _is_seen(census: Census, child: HotSet, size: int) -> bool:
    """In most of TRIES windows."""
    needed, seen = TRIES // 2 + 1, 0
    for tried in range(TRIES):
        found = touched(census, child, size)
        seen += found is not None and found >= _SEEN * size
        if seen == needed or seen + TRIES - tried - 1 < needed:
            break
    return seen >= needed
