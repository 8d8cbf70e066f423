"""Which pages of a process were accessed since they were cleared: the seam between agent and kernel, page by page.

`pte` reads the accessed bits in the process's own page tables (ops/pte.py), which stops it for no moment; clearing may
(clear_refs, or MADV_COLD by pieces where that would take too long). `idle` reads and sets idle bits, and stops nobody,
but is dear: for each page the kernel looks up who maps it, twice a window. What others touch of a shared page counts.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Protocol

from udamon.agent.pages import Gib
from udamon.agent.settings import IDLE, PTE
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.linux.failure import process_errors
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import open_page_map
from udamon.linux.procfs import ProcessId, read_bytes
from udamon.linux.residency import resident
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import GIB_SHIFT, idle_states
from udamon.ops.hugetlb import device_of, hugetlb_devices
from udamon.ops.idle import open_idle
from udamon.ops.kernel_tables import Opened
from udamon.ops.pte import Pte
from udamon.ops.tlb import Way as TlbWay

_GIB = 1 << GIB_SHIFT
_GRAIN = 64 * PAGE_SIZE
"""Holes that are smaller are read as well."""


class PageStates(Protocol):
    """One way to see single pages; tests simulate it. `held_ns`: how long the last clearing stopped its process."""

    via: str
    hides: bool
    """Clearing never flushes a TLB."""
    page_ns: int
    """What looking at a page and clearing it take, about."""
    held_ns: int

    def look(self, process: ProcessId, max_pause_ns: int, *, clear: bool) -> Iterator[Gib]:
        """All GiB in which anything is; with `clear`, cleared when the last one was given. Raises TargetGone,
        NotPermitted, NotSupported, and PauseTooLong where clearing would stop it for longer than allowed."""

    def forget(self, process: ProcessId) -> None:
        """It is looked at no more."""

    def close(self) -> None:
        """Idempotent."""


class PteStates:
    """By page tables; `opened` is closed with it."""

    via = PTE
    hides = False
    page_ns = 60

    def __init__(self, opened: Opened, roots: Roots, tlb: TlbWay) -> None:
        self.held_ns = 0
        self._roots = roots
        self._opened = opened
        self._tlb = tlb
        self._by_limit: dict[int, Pte] = {}

    def look(self, process: ProcessId, max_pause_ns: int, *, clear: bool) -> Iterator[Gib]:
        pte, target = self._pte(max_pause_ns), _target(process)
        hidden = self._hugetlb(process)
        for looked in pte.states(target):
            for r in hidden:
                _leave_out(looked.first, looked.states, r)
            yield Gib(looked.first >> GIB_SHIFT, looked.states)
        if clear:
            pte.pauses.longest_ns = 0
            pte.prepare(target)
            self.held_ns = pte.pauses.longest_ns

    def forget(self, process: ProcessId) -> None:
        for pte in self._by_limit.values():
            pte.forget(_target(process))

    def close(self) -> None:
        for pte in self._by_limit.values():
            pte.close()
        self._by_limit.clear()
        self._opened.close()

    def _pte(self, max_pause_ns: int) -> Pte:
        if max_pause_ns not in self._by_limit:
            self._by_limit[max_pause_ns] = Pte(
                self._opened, self._roots, tlb=self._tlb, max_pause_ns=max_pause_ns
            )
        return self._by_limit[max_pause_ns]

    def _hugetlb(self, process: ProcessId) -> list[Range]:
        """Mappings whose accessed bits nobody clears; their file systems are looked for only where the machine has any
        such page."""
        if not _has_hugetlb(self._roots.sys):
            return []
        with process_errors(process.pid, self._roots.proc, process.start_time):
            devices = hugetlb_devices(process, self._roots.proc)
            return [
                line_range(line)
                for line in read_lines(process, self._roots.proc)
                if device_of(line) in devices
            ]


class IdleStates:
    """By idle page tracking. Raises NotSupported or NotPermitted when made."""

    via = IDLE
    hides = True
    page_ns = 2500
    held_ns = 0

    def __init__(self, roots: Roots) -> None:
        self._proc = roots.proc
        self._flags, self._bitmap = open_idle(roots)
        self._states = bytearray(_GIB // PAGE_SIZE)

    def look(self, process: ProcessId, max_pause_ns: int, *, clear: bool) -> Iterator[Gib]:
        with process_errors(process.pid, self._proc, process.start_time):
            ranges = [line_range(line) for line in read_lines(process, self._proc)]
            found = resident(process, ranges, self._proc, grain=_GRAIN)
            page_map = open_page_map(process, self._proc)
            try:
                for number, pieces in groupby(_by_gib(found), key=lambda r: r.start >> GIB_SHIFT):
                    yield Gib(number, self._gib(page_map, number, list(pieces), clear=clear))
            finally:
                os.close(page_map)

    def _gib(self, page_map: int, number: int, pieces: list[Range], *, clear: bool) -> memoryview:
        found = idle_states(
            page_map=page_map, flags_fd=self._flags, bitmap_fd=self._bitmap, first=number << GIB_SHIFT,
            pieces=array("Q", [end for r in pieces for end in r]), states=self._states, mark=clear,
        )  # fmt: skip
        if found.gone:
            raise ProcessLookupError
        if found.withheld:
            raise NotPermitted("the kernel keeps page frame numbers to itself; run udamon as root.")
        return memoryview(self._states)

    def forget(self, process: ProcessId) -> None:
        """Files are opened anew for each look."""

    def close(self) -> None:
        for fd in (self._flags, self._bitmap):
            if fd >= 0:
                os.close(fd)
        self._flags = self._bitmap = -1


def _target(process: ProcessId) -> Target:
    return Target(process.pid, process.pid, process.start_time)


def _by_gib(ranges: list[Range]) -> Iterator[Range]:
    """The same, cut where a GiB begins."""
    for r in ranges:
        start = r.start
        while start < r.end:
            end = min(r.end, (start // _GIB + 1) * _GIB)
            yield Range(start, end)
            start = end


def _leave_out(first: int, states: memoryview, r: Range) -> None:
    low, high = max(0, (r.start - first) // PAGE_SIZE), min(len(states), (r.end - first) // PAGE_SIZE)
    if low < high:
        states[low:high] = bytes(high - low)


def _has_hugetlb(sys: Path) -> bool:
    with suppress(OSError, ValueError):
        return any(int(read_bytes(size / "nr_hugepages")) for size in (sys / "kernel/mm/hugepages").iterdir())
    return False
