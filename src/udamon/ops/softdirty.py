"""Primitive softdirty: which pages were WRITTEN, by clear_refs 4 and the soft-dirty bits of the page map.

What its answers mean:

- Writes only: memory that is merely read looks untouched. Writes by other processes to a shared page, and by
  write(2) to a mapped file, do not count either; writes of the kernel on behalf of the target do.
- Single pages, joined to a bounded number of ranges (touched_ranges). A transparent huge page counts as a
  whole; a huge page that khugepaged made since counts as written, and so does a page pinned for a device.
- It costs the target a fault for every page it writes, in each window: preparing write-protects all of its
  memory, splits no huge page, flushes its TLB, and holds its mapping lock meanwhile (page faults wait). So
  it is used only when asked for.
- A mapping that is new reads written throughout, and so does one that has grown or was joined by a new
  neighbour (a heap that brk extends): the kernel keeps one bit for the mapping, which then covers the bits
  of its pages. `unsure` has the size of what may be such an answer; a note tells it the first time.
- A page that was written and then swapped out keeps its bit and counts as resident and touched. A file page
  that was written back and reclaimed has lost it.
- clear_refs 4 of anyone else (CRIU, another monitor) forgets what was written before.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from udamon.core.target import Target
from udamon.linux.clear_refs import clear_soft_dirty
from udamon.linux.failure import process_errors
from udamon.linux.held import Held
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import PRESENT, SOFT_DIRTY, SWAPPED, Run, open_page_map, read_runs
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.linux.smaps import parse_referenced, read_smaps
from udamon.model import PAGE_SIZE, Range
from udamon.ops.base import Touched
from udamon.ops.notes import Notes
from udamon.ops.pauses import Pauses
from udamon.ops.touched_ranges import TouchedRanges, cut
from udamon.ranges import joined, overlap
from udamon.targets.processes import process_of
from udamon.units import format_size

MAX_RANGES = 1000
BUDGET = 1 << 24
"""Pages whose entries one look reads where it cannot scan: 64 GiB of address space, 0.1 to 0.5 s."""

FAULT_NS = 1_000
"""What a target loses for a page that it writes again after its bit was cleared: a fault, not measured, by the order
of magnitude of one that only changes an entry."""

_NEAR = 16 << 20  # mappings this close are scanned in one go: a hole costs less than a system call
_REMEMBERED = 10_000


class SoftDirty:
    """The census by soft-dirty bits.

    A look answers, for a target, with one range a mapping and at most `max_ranges` more. With `only_ranges`,
    it answers for nothing outside the target's ranges: fvaddr.
    """

    name = "softdirty"

    def __init__(
        self,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        max_ranges: int = MAX_RANGES,
        only_ranges: bool = False,
        budget: int = BUDGET,
        max_pause_ns: int | None = None,
    ) -> None:
        self._proc = roots.proc
        self.pauses = Pauses(roots.proc, max_pause_ns, self.name)
        self.pauses.touch_ns = FAULT_NS
        self._max_ranges = max_ranges
        self._only_ranges = only_ranges
        self._budget = budget
        self._known: dict[int, frozenset[Range]] = {}
        self.unsure: dict[int, int] = {}
        """Touched bytes, at the last look, of mappings that read written throughout and are new or have
        changed since `prepare`; by target index."""
        self.unseen: dict[int, int] = {}
        """Resident bytes, at the last look and at most, of what the budget was too small for."""
        self._notes = Notes()

    def begin(self, targets: Sequence[Target]) -> None:
        """It does not tell who else maps a page."""

    def leader(self, target: Target) -> int:
        return target.index

    def advised(self, target: Target) -> None:
        """Nothing is read that tells."""

    def shared(self, target: Target) -> None:
        """See `begin`."""

    def prepare(self, target: Target) -> None:
        """Forget what was written.

        Raises TargetGone, NotPermitted or NotSupported, and PauseTooLong where that would stop it for too long.
        """
        process = process_of(target)
        self.pauses.require_short(target)
        held = Held()
        if len(self._known) > _REMEMBERED:
            for known in (self._known, self.unsure, self.unseen):
                known.clear()  # processes come and go: do not remember them for ever
            self._notes.forget()
            self.pauses.forget()
        with process_errors(process.pid, self._proc, process.start_time):
            self._known[target.index] = frozenset(map(line_range, read_lines(process, self._proc)))
            clear_soft_dirty(process, self._proc, held=held, prioritized=self.pauses.prioritized(target))
        self.pauses.cleared(target, held)

    def expose(self, targets: Sequence[Target]) -> None:
        """Clearing soft-dirty bits has flushed the TLB."""

    def look(self, target: Target) -> list[Touched]:
        """Ranges with anything resident, in address order. Raises as `prepare`."""
        process, held = process_of(target), Held()
        with process_errors(process.pid, self._proc, process.start_time):
            mappings = list(map(line_range, read_lines(process, self._proc)))
            if not mappings:
                raise ProcessLookupError  # its memory went while we read
            wanted = list(overlap(target.ranges, mappings)) if self._only_ranges else mappings
            known = self._known.get(target.index, frozenset())
            changed = [mapping for mapping in mappings if mapping not in known]
            fd = open_page_map(process, self._proc)
            try:
                found = self._answer(target.index, _scanned(fd, wanted, held), wanted, changed)
            except NoScan:
                wanted, left = self._affordable(process, wanted, held)
                self._left_out(target, left)
                found = self._answer(target.index, read_runs(fd, wanted), wanted, changed)
            finally:
                os.close(fd)
        if unsure := self.unsure[target.index]:
            self._notes.say(
                ("unsure", target.index),
                f"softdirty counted {format_size(unsure)} of process {target.pid} as written in a window that may not "
                "have been: mappings that are new, or that grew, read written throughout once.",
            )
        touched = sum(piece.touched for piece in found) // PAGE_SIZE
        self.pauses.looked(target, held, sum(piece.resident for piece in found), touched)
        return found

    def _answer(
        self, index: int, runs: Iterable[Run], wanted: Sequence[Range], changed: Sequence[Range]
    ) -> list[Touched]:
        """`changed` are mappings that were not there, as they are, when the target was prepared."""
        found = TouchedRanges(self._max_ranges)
        doubtful = set(overlap(wanted, changed))
        written: dict[Range, int] = {}
        sure: set[Range] = set()
        for number, start, end, categories in cut(runs, wanted):
            dirty = categories & SOFT_DIRTY
            if wanted[number] in doubtful:
                if not dirty:
                    sure.add(wanted[number])  # the kernel's bit for the whole mapping would cover this, too
                elif categories & SWAPPED:
                    continue  # long gone, for all we know
                else:
                    written[wanted[number]] = written.get(wanted[number], 0) + end - start
            if dirty or categories & PRESENT:
                found.add(number, start, end, end - start, end - start if dirty else 0)
        self.unsure[index] = sum(size for piece, size in written.items() if piece not in sure)
        return found.ranges()

    def _affordable(self, process: ProcessId, wanted: Sequence[Range], held: Held) -> tuple[list[Range], int]:
        """Parts of `wanted` with anything resident, the smallest first while the budget lasts; and how much is resident
        in the mappings of the other parts, at most that may be in these."""
        mappings = parse_referenced(read_smaps(process, self._proc, held=held))
        parts = sorted(overlap(wanted, [Range(m.start, m.end) for m in mappings]), key=lambda r: r.size)
        pages, taken = self._budget, 0
        for part in parts:
            pages -= part.size // PAGE_SIZE
            if pages < 0:
                break
            taken += 1
        starts, left_out = [m.start for m in mappings], Counter[int]()
        for part in parts[taken:]:
            left_out[bisect_right(starts, part.start) - 1] += part.size
        left = sum(min(mappings[number].rss, size) for number, size in left_out.items())
        return sorted(parts[:taken]), left

    def _left_out(self, target: Target, left: int) -> None:
        self.unseen[target.index] = left
        if left:
            self._notes.say(
                target.index,
                f"softdirty leaves out up to {format_size(left)} of process {target.pid}: without PAGEMAP_SCAN (Linux "
                f"6.7) a look reads {format_size(self._budget * PAGE_SIZE)} of addresses at most; use another --via.",
            )

    def news(self) -> list[str]:
        return self._notes.news()

    def close(self) -> None:
        """Files are opened anew for each look."""


def _scanned(fd: int, wanted: Sequence[Range], held: Held) -> Iterator[Run]:
    ranges = joined(wanted, _NEAR)
    return scan_runs(fd, ranges, PRESENT | SWAPPED, PRESENT | SWAPPED | SOFT_DIRTY, held=held)
