"""How long looking stops a target, and what its pages cost it: measured where it can be, and forecast.

clear_refs holds the target's mapping lock for writing while it walks all pages: page faults, mmap and munmap wait.
smaps and PAGEMAP_SCAN hold it for reading: mmap and munmap wait, and page faults behind them. Small pages are nearly
all of that: some 40 ns each on the machine that it was measured on, by either (docs/benchmarks.md).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median

from udamon.core.target import Target
from udamon.errors import CannotError, OutOfFiles
from udamon.linux.clear_refs import clear_referenced
from udamon.linux.held import Held
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import PRESENT, open_page_map
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId, rss_bytes
from udamon.linux.roots import PROC
from udamon.linux.smaps import read_smaps
from udamon.linux.urgent import crowding, may_be_urgent
from udamon.model import PAGE_SIZE
from udamon.ops.base import TOUCH_NS
from udamon.ops.tlb import hot_set
from udamon.units import format_time

PAGE_NS = 50.0
"""What a walk takes for a small page, where it was not measured."""

TOLD_NS = 10_000_000
"""A longer pause is told before the first look."""

HURRY_NS = 100_000_000
"""Shorter ones are gone through without letting anybody else on that processor, for the target waits meanwhile."""

_CALIBRATED_FROM_NS = 5_000_000
_CALIBRATION = 64 << 20
_TRIES = 5
_REMEMBERED = 5
_IS_HUGE = 1 << 6  # PAGE_IS_HUGE of linux/fs.h


class Pauses:
    """Of each target how long it was stopped; `limit_ns` is the longest that is allowed, None any."""

    def __init__(self, root: Path = PROC, limit_ns: int | None = None, way: str = "refs") -> None:
        self.limit_ns = limit_ns
        self.longest_ns = 0
        """The longest time that the mapping lock of a target was held at a time."""
        self.cleared_ns = 0
        """All the time that it was held for writing."""
        self.touched_pages = 0
        """Small pages that targets touched again after their bits were cleared."""
        self.touch_ns = TOUCH_NS
        self._way = way
        self._root = root
        self._rates: dict[int, deque[float]] = {}  # target index → ns for a resident byte, of the last looks
        self._last: dict[int, int] = {}

    @property
    def cost_ns(self) -> int:
        """What the targets have lost by an estimate: touching pages again, and waiting for clear_refs."""
        return self.touched_pages * self.touch_ns + self.cleared_ns

    def cleared(self, target: Target, held: Held) -> None:
        """The accessed state of `target` was cleared."""
        self.longest_ns = max(self.longest_ns, held.longest_ns)
        self.cleared_ns += held.total_ns
        self._last[target.index] = held.longest_ns

    def looked(self, target: Target, held: Held, resident: int, touched_pages: int) -> None:
        """It was looked at; so many bytes are resident, and so many small pages were touched."""
        self.longest_ns = max(self.longest_ns, held.longest_ns)
        self.touched_pages += touched_pages
        longest = max(held.longest_ns, self._last.get(target.index, 0))
        if resident:
            self._rates.setdefault(target.index, deque(maxlen=_REMEMBERED)).append(longest / resident)

    def forget_target(self, target: Target) -> None:
        self._rates.pop(target.index, None)
        self._last.pop(target.index, None)

    def forget(self) -> None:
        self._rates.clear()
        self._last.clear()

    def forecast_ns(self, target: Target) -> int:
        """How long a look will stop `target`; 0 where that cannot be known (it ended, or may not be read)."""
        process = ProcessId(target.pid or 0, target.start_time or 0)
        try:
            resident = rss_bytes(process, self._root)
        except (OSError, OutOfFiles):
            return 0
        if rates := self._rates.get(target.index):
            return int(median(rates) * resident)
        pages = resident // PAGE_SIZE
        if pages * PAGE_NS < _CALIBRATED_FROM_NS:
            return int(pages * PAGE_NS)
        alone = small_pages(process, resident, self._root) * page_ns()
        # Who is taken off its processor while it holds the lock keeps the target waiting for as long.
        return int(alone if may_be_urgent() and alone <= HURRY_NS else alone * crowding())

    def hurry(self, target: Target) -> bool:
        """Whether the pause is so short that nobody else needs the processor meanwhile."""
        return self.forecast_ns(target) <= HURRY_NS

    def too_long(self, target: Target) -> str | None:
        """One sentence when a look would stop `target` for longer than allowed."""
        if self.limit_ns is None or (forecast := self.forecast_ns(target)) <= self.limit_ns:
            return None
        return (
            f"a look would stop process {target.pid} for about {format_time(round(forecast / 1e9, 3))}, longer than "
            f"--max-pause {format_time(self.limit_ns / 1e9)}, and {self._way} cannot look at it by pieces; allow more, "
            "or look via idle."
        )

    def news(self) -> list[str]:
        """What has changed in how targets are stopped, and was not told yet."""
        return []

    def warning(self, target: Target) -> str | None:
        """What to say before the first look of a target that it will stop for long."""
        forecast = self.forecast_ns(target)
        if forecast <= TOLD_NS:
            return None
        return (
            f"each look stops process {target.pid} for about {format_time(round(forecast / 1e9, 3))} (its page faults "
            "and mmap wait), so windows are made longer; --max-pause sets a limit."
        )


def small_pages(process: ProcessId, resident: int, root: Path = PROC) -> int:
    """Of its resident bytes, the pages that are mapped as small ones; all of them where that cannot be told."""
    huge = 0
    with suppress(OSError, OutOfFiles, NoScan):
        huge = _huge_bytes(process, root)
    return max(resident - huge, 0) // PAGE_SIZE


def _huge_bytes(process: ProcessId, root: Path) -> int:
    """Bytes in huge pages, mapped as such; the lock is held for some milliseconds at a time."""
    fd = open_page_map(process, root)
    try:
        ranges = [line_range(line) for line in read_lines(process, root)]
        runs = scan_runs(fd, ranges, PRESENT, PRESENT | _IS_HUGE)
        return sum(run.end - run.start for run in runs if run.categories & _IS_HUGE)
    finally:
        os.close(fd)


@cache
def page_ns() -> float:
    """What a walk takes here for a small page: the slower of clear_refs and smaps, on a child of 64 MiB."""
    with suppress(OSError, CannotError), hot_set(_CALIBRATION) as child:
        if child.access(_CALIBRATION):
            child.rest()
            process = ProcessId(child.target.pid or 0, child.target.start_time or 0)
            return max(_measured(clear_referenced, process), _measured(read_smaps, process))
    return PAGE_NS


def _measured(walk: Callable[..., object], process: ProcessId) -> float:
    """Nanoseconds a page, by the shortest of some tries: the one that nobody disturbed."""
    found = []
    for _ in range(_TRIES):
        held = Held()
        walk(process, held=held, hurry=True)
        found.append(held.longest_ns)
    pages = rss_bytes(process) // PAGE_SIZE  # it has those of this program, too
    return min(found) / pages
