"""Primitive pte: which pages were accessed, by the accessed bits in the target's own page tables.

What its answers mean:

- Single pages of each process, reads and writes, joined to a bounded number of ranges (touched_ranges). Huge pages
  count as a whole. What another process touches of a shared page does not count.
- It reads kernel memory (linux/kernel_memory.py), so it is used with consent only. Tables are
  read without any lock of the target: looking never stops it, clearing does (`clear`).
- Left out, because nothing clears their bits: hugetlb, the zero page, and what is no RAM. A page whose table changed
  under each of three readings is left out, too: `unseen` has their size.
- Accesses by devices and by guests that the target runs are not seen; fork clears the bits of the child.
- Other programs that clear the same bits hide accesses: in-kernel DAMON, aging of MGLRU while memory is short,
  another monitor's clear_refs.

Ways to clear: `refs` is clear_refs, all of the process at once, its mapping lock held for writing, the TLB flushed or
displaced after it (ops/tlb.py). `cold` is MADV_COLD of anonymous memory by pieces, the lock held for reading, after
clear_refs of the rest; it flushes the TLB itself, but deactivates what it clears, which is reclaimed earlier then. It
does not clear pages that several processes map: a process that has such anonymous pages is cleared by refs. `auto` is
refs where its pause is allowed, else cold unless memory is short (ops/clearing_way.py). `idle` is idle page tracking
(ops/idle_clearing.py).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from udamon.core.target import Target
from udamon.errors import PauseTooLong, UsageError
from udamon.linux.cgroup.shortage import shortage
from udamon.linux.failure import process_errors
from udamon.linux.held import Held
from udamon.linux.maps import line_range, read_lines
from udamon.linux.page_tables import PAGE_KINDS, PageBytes
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import MOST_LOOKS, page_runs
from udamon.ops.address_spaces import AddressSpace
from udamon.ops.base import FirstSeen, Touched
from udamon.ops.clearing_way import Chosen, Clear, Clearing, choose
from udamon.ops.cold_clearing import ColdClearing
from udamon.ops.first_looks import FirstLooks, Times
from udamon.ops.hugetlb import device_of, hugetlb_devices, left_out
from udamon.ops.idle_clearing import IdleClearing
from udamon.ops.kernel_tables import Opened
from udamon.ops.notes import Notes
from udamon.ops.pauses import Pauses
from udamon.ops.refs import Refs
from udamon.ops.tlb import Way, displace
from udamon.ops.touched_ranges import TouchedRanges
from udamon.ranges import joined, overlap
from udamon.targets.processes import process_of
from udamon.units import format_size

WAYS: tuple[Clear, ...] = get_args(Clear)
MAX_RANGES = 1000

_NEAR = 16 << 20  # mappings this close are looked at in one go: a table more costs less than a call
_FINER = 2  # each look begins with a grain this much finer than where the last one ended: it may be less scattered now


class Pte:
    """The census by page tables.

    A look answers, for a target, with one range a mapping and at most `max_ranges` more. With `only_ranges`, it answers
    for nothing outside the target's ranges: fvaddr. `opened` is closed with it.
    """

    name = "pte"

    def __init__(
        self,
        opened: Opened,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        tlb: Way = "none",
        max_ranges: int = MAX_RANGES,
        only_ranges: bool = False,
        max_pause_ns: int | None = None,
        clear: Clear = "auto",
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.opened = opened
        self._proc = roots.proc
        self._refs = Refs(roots, tlb=tlb, max_pause_ns=max_pause_ns)
        self._clearing = Clearing()
        self._refs.pauses = self._pauses = _Pauses(
            roots.proc, max_pause_ns, self._not_at_all, self._clearing, never=clear == "idle"
        )
        self._cold = ColdClearing(opened.tables, roots.proc)
        self._idle = IdleClearing(opened.tables, roots.sys) if clear == "idle" else None
        self._max_ranges = max_ranges
        self._only_ranges = only_ranges
        self._clear: Clear = clear
        self._spaces: dict[ProcessId, AddressSpace] = {}
        self._by_cold: set[int] = set()
        self._grains: dict[int, int] = {}
        self._now_ns = now_ns
        self._prepared: dict[int, Times] = {}
        self._firsts: dict[int, FirstLooks] = {}
        self.unseen: dict[int, int] = {}
        """Bytes, at the last look, of pages that could not be told; by target index."""
        self._notes = Notes()

    @property
    def pauses(self) -> Pauses:
        return self._pauses

    def begin(self, targets: Sequence[Target]) -> None:
        """These are going to be looked at together; what is known of others is forgotten."""
        self._refs.begin(targets)
        wanted = {process_of(target) for target in targets}
        for process in set(self._spaces) - wanted:
            self._spaces.pop(process).close()
        known = {target.index for target in targets}
        self._by_cold &= known
        self._clearing.keep(known)
        for remembered in (self.unseen, self._grains, self._prepared, self._firsts):
            for index in set(remembered) - known:
                del remembered[index]

    def forget(self, target: Target) -> None:
        """It is not going to be looked at any more."""
        if (space := self._spaces.pop(process_of(target), None)) is not None:
            space.close()
        self._by_cold.discard(target.index)
        self._clearing.forget(target.index)
        self._refs.forget(target)
        for remembered in (self.unseen, self._grains, self._prepared, self._firsts):
            remembered.pop(target.index, None)

    def leader(self, target: Target) -> int:
        return self._refs.leader(target)

    def advised(self, target: Target) -> None:
        """Nothing is read that tells."""

    def shared(self, target: Target) -> None:
        """It does not tell who else maps a page."""

    def news(self) -> list[str]:
        return [*self._notes.news(), *self._refs.news()]

    def prepare(self, target: Target) -> None:
        """Clear the accessed state.

        Raises TargetGone, NotPermitted or NotSupported, and PauseTooLong where that would stop it for too long.
        """
        self._firsts.pop(target.index, None)
        begin = self._now_ns()
        self._clear_all(target)
        self._prepared[target.index] = Times(begin, self._now_ns())

    def _clear_all(self, target: Target) -> None:
        process = process_of(target)
        self._by_cold.discard(target.index)
        if self._idle is not None:
            with process_errors(process.pid, self._proc, process.start_time):
                space = self._space(process)
                self._idle.clear(space.root, self._wanted(target, process))
                space.check()
            return
        chosen = self._way(target)
        if chosen.way == "cold":
            held = Held()
            with process_errors(process.pid, self._proc, process.start_time):
                done = self._cold.clear(process, self._space(process), held)
            self._pauses.longest_ns = max(self._pauses.longest_ns, held.longest_ns)
            if done:
                self._by_cold.add(target.index)
            else:
                chosen = self._way(target)  # it is known now that MADV_COLD does not do
        self._clearing.chose(target.index, target.pid, chosen)
        if chosen.way == "left out":
            raise PauseTooLong(chosen.why, temporary=chosen.temporary)
        if chosen.way == "refs":
            self._refs.prepare(target)

    def _way(self, target: Target) -> Chosen:
        too_long = self._pauses.at_once(target)
        may_advise = self._clear in {"auto", "cold"} and process_of(target) not in self._cold.refused
        short = None
        if too_long is not None and may_advise and self._clear == "auto":
            found = shortage(target.pid or 0, self._proc)
            short = self._clearing.short(target.index, found, self._now_ns())
        backed_off = too_long is not None and self._pauses.backed_off(target)
        return choose(self._clear, too_long, short, may_advise=may_advise, backed_off=backed_off)

    def _not_at_all(self, target: Target) -> str | None:
        chosen = self._way(target)
        return chosen.why if chosen.way == "left out" else None

    def expose(self, targets: Sequence[Target]) -> None:
        """Displace what TLBs hold of those that clear_refs has cleared."""
        if self._idle is not None:
            displace(targets, self._notes, self._proc)
        else:
            self._refs.expose([target for target in targets if target.index not in self._by_cold])
        now = self._now_ns()
        for target in targets:  # an access through a TLB until then was not seen, either
            first = self._firsts.get(target.index)
            if first is None:
                if (prepared := self._prepared.get(target.index)) is not None:
                    self._prepared[target.index] = Times(prepared.begin, now)
            elif first.cleared is not None and not first.looked:
                first.exposed_ns = now

    def clear_again(self, target: Target) -> None:
        """Keep what was accessed since `prepare`, and clear. Raises as `prepare`."""
        process = process_of(target)
        with process_errors(process.pid, self._proc, process.start_time):
            space = self._space(process)
            prepared = self._prepared.get(target.index) or Times(self._now_ns(), self._now_ns())
            first = FirstLooks(space, prepared, self._wanted(target, process))
            self._mark(first, 0)
        self._firsts[target.index] = first
        begin = self._now_ns()
        self._clear_all(target)
        first.cleared = Times(begin, self._now_ns())

    def look_midway(self, target: Target) -> None:
        """Look which pages were accessed since `clear_again`. Raises TargetGone or NotPermitted."""
        process, first = process_of(target), self._firsts.get(target.index)
        if first is None or first.cleared is None or len(first.looked) == MOST_LOOKS - 1:
            return
        with process_errors(process.pid, self._proc, process.start_time):
            self._mark(first, len(first.looked) + 1)

    def _mark(self, first: FirstLooks, look: int) -> None:
        begin = self._now_ns()
        for r in joined(first.wanted, _NEAR):
            for looked in self.opened.tables.look(first.space.root, r.start, r.end):
                first.mark(looked, PAGE_KINDS, look)
        first.space.check()  # what was read after its end is another's
        if look:
            first.looked.append(Times(begin, self._now_ns()))

    def first_seen(self, target: Target, pieces: Sequence[Range]) -> list[FirstSeen] | None:
        """After `look`, of each piece: by which look its pages were first seen accessed; None for none."""
        first = self._firsts.get(target.index)
        return None if first is None else first.of(pieces)

    def look(self, target: Target) -> list[Touched]:
        """Ranges with anything resident, in address order. Raises as `prepare`."""
        process = process_of(target)
        found = TouchedRanges(self._max_ranges, self._grains.get(target.index, PAGE_SIZE))
        unknown = self.opened.tables.unknown
        resident = touched = 0
        begin = self._now_ns()
        with process_errors(process.pid, self._proc, process.start_time):
            space = self._space(process)
            first = self._firsts.get(target.index)
            if first is not None and first.space is not space:
                del self._firsts[target.index]  # it has executed a program since
                first = None
            wanted = self._wanted(target, process)
            for part in self._parts(space, wanted, found.grain, first):
                found.add(*part)
                resident += part[3]
                touched += part[4]
            space.check()  # what was read after its end is another's
        if first is not None and first.cleared is not None:
            first.looked.append(Times(begin, self._now_ns()))
        left = self.unseen[target.index] = (self.opened.tables.unknown - unknown) * PAGE_SIZE
        if left:
            self._notes.say(
                ("unseen", target.index),
                f"pte left out {format_size(left)} of process {target.pid} at a look: its page tables changed under "
                "each of three readings; such memory counts as neither resident nor accessed in that window.",
            )
        # How long clearing by pieces took says nothing of clearing at once: 0 bytes.
        told = 0 if target.index in self._by_cold or self._idle is not None else resident
        pages = touched // PAGE_SIZE if first is None else first.touched_again(wanted)
        self._pauses.looked(target, Held(), told, pages)
        ranges = found.ranges()
        self._grains[target.index] = max(PAGE_SIZE, found.grain // _FINER)
        return ranges

    def states(self, target: Target) -> Iterator[PageBytes]:
        """The state of all of its pages by the page tables, one GiB after the other, each from its start. Raises as
        `prepare`."""
        process = process_of(target)
        with process_errors(process.pid, self._proc, process.start_time):
            space = self._space(process)
            yield from self.opened.tables.look(space.root, 0, self.opened.tables.shape.user_bytes)
            space.check()  # what was read after its end is another's

    def close(self) -> None:
        """Release what was opened. Idempotent."""
        for space in self._spaces.values():
            space.close()
        self._spaces.clear()
        if self._idle is not None:
            self._idle.close()
        self._refs.close()
        self.opened.close()

    def _wanted(self, target: Target, process: ProcessId) -> list[Range]:
        """Mappings, or parts of them, that are looked at. Raises OSError."""
        lines = read_lines(process, self._proc)
        if not lines:
            raise ProcessLookupError  # its memory went while we read
        devices = hugetlb_devices(process, self._proc)
        wanted = [line_range(line) for line in lines if device_of(line) not in devices]
        if len(wanted) < len(lines):
            self._notes.say("hugetlb", left_out(process.pid, self.name))
        return list(overlap(target.ranges, wanted)) if self._only_ranges else wanted

    def _space(self, process: ProcessId) -> AddressSpace:
        """That of the process now: after an exec it is another one. Raises as AddressSpace."""
        if (space := self._spaces.get(process)) is not None:
            try:
                space.check()
                return space
            except ProcessLookupError:
                self._spaces.pop(process).close()
        self._spaces[process] = AddressSpace(self.opened, process, self._proc)
        return self._spaces[process]

    def _parts(
        self, space: AddressSpace, wanted: Sequence[Range], grain: int, first: FirstLooks | None
    ) -> Iterator[tuple[int, int, int, int, int]]:
        """(number of the mapping, start, end, bytes resident, bytes touched), in address order."""
        pieces = array("Q", [end for r in wanted for end in r])
        for r in joined(wanted, _NEAR):
            for looked in self.opened.tables.look(space.root, r.start, r.end):
                if first is not None:
                    look = 0 if first.cleared is None else len(first.looked) + 1
                    first.mark(looked, PAGE_KINDS, look, last=True)
                yield from zip(
                    *page_runs(
                        states=looked.states, first=looked.first, kinds=PAGE_KINDS, pieces=pieces, grain=grain
                    ),
                    strict=True,
                )


class _Pauses(Pauses):
    """Of clearing at once, or by pieces; `not_at_all` says why a target is not cleared by either. `never`: by idle."""

    def __init__(
        self,
        root: Path,
        limit_ns: int | None,
        not_at_all: Callable[[Target], str | None],
        clearing: Clearing,
        *,
        never: bool = False,
    ) -> None:
        super().__init__(root, limit_ns, Pte.name)
        self._not_at_all = not_at_all
        self._clearing = clearing
        self._never = never

    def at_once(self, target: Target) -> str | None:
        """One sentence when clear_refs would stop `target` for longer than allowed."""
        return super().too_long(target)

    def too_long(self, target: Target) -> str | None:
        return None if self._never else self._not_at_all(target)

    def warning(self, target: Target) -> str | None:
        return None if self._never or self.at_once(target) is not None else super().warning(target)

    def news(self) -> list[str]:
        return self._clearing.news()


def clear_way(name: str) -> Clear:
    """The way with that name. Raises UsageError."""
    for way in WAYS:
        if way == name:
            return way
    raise UsageError(f"there is no way to clear {name!r}; choose {', '.join(WAYS)}.")
