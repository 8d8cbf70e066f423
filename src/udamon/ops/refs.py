"""Primitive refs: how much of each mapping was accessed, by clear_refs and smaps. Needs no privilege on
one's own processes, and sees reads and writes alike.

What its answers mean:

- The grain is the mapping. A transparent huge page counts as touched or untouched as a whole.
- The page itself has a "referenced" flag beside the accessed bits of each process. So page cache read
  with read(2), by this or another process, counts as touched wherever it is mapped and resident; so does,
  when another process unmaps a file or ends, what it had touched of it. While others merely go on touching
  a shared page through their own mappings, it does not count.
- In-kernel DAMON over physical memory moves what it finds into the page's own flag, too: beside it, a page
  that several processes map counts as touched in each of them when one touched it.
- Accesses through the TLB do not set accessed bits that were cleared behind its back: a working set within
  the TLB's reach (some MiB with small pages, GiB with huge ones) looks nearly idle to one clear_refs. So
  the TLB is flushed or displaced after that (ops/tlb.py). Accesses by a guest itself are not seen.
- Pages of hugetlb are not seen: `unseen` has their size.
- Preparing holds the target's mapping lock for writing: its page faults wait meanwhile (10 to 12 ms per GiB of small
  pages, more where others take turns on the processor); looking holds it for reading as long (ops/pauses.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from udamon.core.target import Target
from udamon.linux import maps
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.failure import process_errors
from udamon.linux.held import Held
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.linux.smaps import (
    Referenced,
    advised,
    huge_bytes,
    hugetlb_bytes,
    parse_mapped,
    read_smaps,
)
from udamon.model import PAGE_SIZE, Range
from udamon.ops.base import Shared, Touched
from udamon.ops.hugetlb import left_out
from udamon.ops.notes import Notes
from udamon.ops.pauses import Pauses
from udamon.ops.sharing import SharingProbe
from udamon.ops.tlb import Way, displace
from udamon.targets.processes import process_of
from udamon.targets.spaces import AddressSpaces

_GUEST = b"anon_inode:kvm-vcpu"
_REMEMBERED = 10_000


class Refs:
    """The census by clear_refs and smaps.

    `tlb` says what is done about accesses that a TLB hides. With `only_ranges`, whole mappings that intersect the
    target's ranges are answered for: fvaddr.
    """

    name = "refs"

    def __init__(
        self,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        tlb: Way = "none",
        only_ranges: bool = False,
        max_pause_ns: int | None = None,
    ) -> None:
        self._proc = roots.proc
        self.pauses = Pauses(roots.proc, max_pause_ns, self.name)
        self._tlb = tlb
        self._only_ranges = only_ranges
        self._guests: dict[ProcessId, bool] = {}
        self._spaces = AddressSpaces(roots.proc)
        self._sharing = SharingProbe(roots)
        self._shared: dict[int, list[Shared | None]] = {}
        self._advised: dict[int, list[tuple[int, int, str]]] = {}
        self.unseen: dict[int, int] = {}
        """Bytes of hugetlb pages at the last look, by target index."""
        self._notes = Notes()

    def begin(self, targets: Sequence[Target]) -> None:
        """These are going to be looked at together."""
        self._spaces.update(targets)
        self._shared.clear()
        self._advised.clear()
        self._sharing.begin(many=len(targets) > 1)

    def leader(self, target: Target) -> int:
        """The index of the target whose address space this one's is: its own, where no other has it."""
        return self._spaces.leader(target)

    def prepare(self, target: Target) -> None:
        """Clear the accessed state of all of the target.

        Raises TargetGone, NotPermitted or NotSupported, and PauseTooLong where that would stop it for too long.
        """
        process = process_of(target)
        self.pauses.require_short(target)
        held, prioritized = Held(), self.pauses.prioritized(target)
        with process_errors(process.pid, self._proc, process.start_time):
            # Flushing has a cost where it tears down the page tables of a virtual machine.
            flush = self._tlb == "flush" and not self._is_guest(process)
            self._sharing.prepare(process)
            clear_referenced(process, flush=flush, root=self._proc, held=held, prioritized=prioritized)
        self.pauses.cleared(target, held)

    def expose(self, targets: Sequence[Target]) -> None:
        """Displace what the TLBs hold of those whose TLB was not flushed, once for all of them."""
        if self._tlb == "none":
            return
        hidden = [t for t in targets if self._tlb == "visit" or self._guests.get(process_of(t), False)]
        displace(hidden, self._notes, self._proc)

    def look(self, target: Target) -> list[Touched]:
        """Mappings with anything resident, in address order. Raises as `prepare`."""
        process = process_of(target)
        held, prioritized = Held(), self.pauses.prioritized(target)
        with process_errors(process.pid, self._proc, process.start_time):
            data = read_smaps(process, self._proc, held=held, prioritized=prioritized)
            if not data:
                raise ProcessLookupError  # its memory went while we read
        if len(self._guests) > _REMEMBERED:
            self._guests.clear()  # processes come and go: do not remember them for ever
            self.unseen.clear()
            self.pauses.forget()
        self._guests[process] = _GUEST in data
        self.unseen[target.index] = hugetlb_bytes(data)
        if self.unseen[target.index]:
            self._notes.say("hugetlb", left_out(process.pid, self.name))
        self._advised[target.index] = advised(data)
        found = parse_mapped(data)
        resident = [seen for seen, _ in found]
        huge = huge_bytes(data)
        touched = sum(min(m.referenced, max(m.rss - huge.get(m.start, 0), 0)) for m in resident)
        self.pauses.looked(target, held, sum(m.rss for m in resident), touched // PAGE_SIZE)
        if self._only_ranges:
            kept = set(_intersecting(resident, target.ranges))
            found = [one for one in found if one[0] in kept]
        family, alone = self._spaces.family(target), not self._spaces.maybe_same_space(target)
        self._shared[target.index] = self._sharing.of(process, family, found, alone=alone)
        return [Touched(seen.start, seen.end, seen.rss, min(seen.referenced, seen.rss)) for seen, _ in found]

    def forget(self, target: Target) -> None:
        """It is not going to be looked at any more."""
        self._guests.pop(process_of(target), None)
        self.pauses.forget_target(target)

    def shared(self, target: Target) -> Sequence[Shared | None] | None:
        """Of each range of the last look, what is known of others who map it."""
        return self._shared.get(target.index)

    def advised(self, target: Target) -> Sequence[tuple[int, int, str]] | None:
        """As of the last look (smaps)."""
        return self._advised.get(target.index)

    def news(self) -> list[str]:
        return self._notes.news()

    def _is_guest(self, process: ProcessId) -> bool:
        if process not in self._guests:
            self._guests[process] = any(_GUEST in line for line in maps.read_lines(process, self._proc))
        return self._guests[process]

    def close(self) -> None:
        """Files of processes are opened anew for each look."""
        self._sharing.close()


def _intersecting(found: Iterable[Referenced], ranges: Sequence[Range]) -> list[Referenced]:
    """Those of `found` that share a byte with one of `ranges`; both sorted."""
    kept = []
    remaining = list(reversed(ranges))
    for mapping in found:
        while remaining and remaining[-1].end <= mapping.start:
            remaining.pop()
        if remaining and remaining[-1].start < mapping.end:
            kept.append(mapping)
    return kept
