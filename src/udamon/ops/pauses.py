"""How long looking stops a target, and what its pages cost it: measured where it can be, and forecast.

clear_refs holds the target's mapping lock for writing while it walks all pages: page faults, mmap and munmap wait.
smaps and PAGEMAP_SCAN hold it for reading: mmap and munmap wait, and page faults behind them. Small pages are nearly
all of that: some 40 ns each on the machine that it was measured on, at times 80, by either
(docs/benchmarks-checks.md#what-the-target-pays).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from statistics import median_low

from udamon.core.target import Target
from udamon.errors import OutOfFiles, PauseTooLong
from udamon.linux.held import Held
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import PRESENT, open_page_map
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId, rss_bytes
from udamon.linux.roots import PROC
from udamon.linux.urgent import may_be_urgent
from udamon.model import PAGE_SIZE
from udamon.ops.allowance import WINDOWS, Allowance
from udamon.ops.base import TOUCH_NS
from udamon.ops.calibration import PAGE_NS, contention, page_ns
from udamon.targets.processes import process_of
from udamon.units import counted, format_time

MIN_REPORTED_PAUSE_NS = 10_000_000
"""A longer pause is announced before the first look."""

MAX_PRIORITIZED_NS = 100_000_000
"""Looks with a shorter pause run as a real-time thread, because the target waits until they are over."""

_CALIBRATED_FROM_NS = 5_000_000
_REMEMBERED = 5
_ENOUGH = 2
"""Looks after which what was calibrated before them counts no more."""
_IN_A_ROW = 3
"""Looks in a row that took too long are taken for the rule."""
_IS_HUGE = 1 << 6  # PAGE_IS_HUGE of linux/fs.h


class _Looks:
    """What is known of looking at one target."""

    def __init__(self, window: int) -> None:
        self.allowance = Allowance(window)
        self.calibrated: float | None = None  # ns for a resident byte, before any look
        self.rates: deque[float] = deque(maxlen=_REMEMBERED)  # the same, of the last looks
        self.cleared_ns = self.window = 0  # what clearing took, and for which window
        self.over = False  # the last look took too long


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
        self._window = 0
        self._looks: dict[int, _Looks] = {}

    @property
    def cost_ns(self) -> int:
        """What the targets have lost by an estimate: touching pages again, and waiting for clear_refs."""
        return self.touched_pages * self.touch_ns + self.cleared_ns

    def cleared(self, target: Target, held: Held) -> None:
        """The accessed state of `target` was cleared."""
        self.longest_ns = max(self.longest_ns, held.longest_ns)
        self.cleared_ns += held.total_ns
        looks = self._looks_at(target)
        looks.cleared_ns, looks.window = held.longest_ns, self._window
        looks.over = self._took_too_long(looks, held.longest_ns)

    def looked(self, target: Target, held: Held, resident: int, touched_pages: int) -> None:
        """It was looked at: `resident` bytes are in memory, and `touched_pages` small pages were touched."""
        self.longest_ns = max(self.longest_ns, held.longest_ns)
        self.touched_pages += touched_pages
        looks = self._looks_at(target)
        if resident:
            looks.rates.append(max(held.longest_ns, looks.cleared_ns) / resident)
            looks.over = self._took_too_long(looks, held.longest_ns) or looks.over

    def _took_too_long(self, looks: _Looks, took_ns: int) -> bool:
        over = self.limit_ns is not None and took_ns > self.limit_ns
        if over:
            looks.allowance.use(looks.window)
        return over

    def _looks_at(self, target: Target) -> _Looks:
        return self._looks.setdefault(target.index, _Looks(self._window))

    def window_over(self, here: Collection[int]) -> None:
        """A window is over, and these are the indices of the targets now: forget the others."""
        self._window += 1
        for gone in self._looks.keys() - here:
            del self._looks[gone]

    def forget_target(self, target: Target) -> None:
        self._looks.pop(target.index, None)

    def forget(self) -> None:
        self._looks.clear()

    def forecast_ns(self, target: Target) -> int:
        """How long a look will stop `target`; 0 where that cannot be known (it ended, or may not be read).

        By the last looks, and as long as they are few by what was calibrated: one that was disturbed does not count.
        When the last one took longer than the limit, the least of them decides whether it may be tried again, and the
        allowance how soon.
        """
        process = process_of(target)
        try:
            resident = rss_bytes(process, self._root)
        except (OSError, OutOfFiles):
            return 0
        looks = self._looks_at(target)
        rates = list(looks.rates)
        if len(rates) < _ENOUGH and resident:
            rates.insert(0, self._before_looks(looks, process, resident))
        if not rates:
            return 0
        return int((min(rates[-_IN_A_ROW:]) if looks.over else median_low(rates)) * resident)

    def _before_looks(self, looks: _Looks, process: ProcessId, resident: int) -> float:
        """Nanoseconds for a resident byte."""
        pages = resident // PAGE_SIZE
        if pages * PAGE_NS < _CALIBRATED_FROM_NS:
            return pages * PAGE_NS / resident
        if looks.calibrated is None:
            looks.calibrated = small_pages(process, resident, self._root) * page_ns() / resident
        alone = looks.calibrated
        # The target also waits while the thread that holds the lock is preempted.
        return alone if may_be_urgent() and alone * resident <= MAX_PRIORITIZED_NS else alone * contention()

    def prioritized(self, target: Target) -> bool:
        """Whether the pause is short enough to run the look as a real-time thread."""
        return self.forecast_ns(target) <= MAX_PRIORITIZED_NS

    def too_long(self, target: Target) -> str | None:
        """One sentence where a look would stop `target` for longer than allowed, or it is backed off; else None."""
        if self.limit_ns is None:
            return None
        longer = f"longer than --max-pause {format_time(self.limit_ns / 1e9)}"
        if (forecast := self.forecast_ns(target)) > self.limit_ns:
            return (
                f"a look would stop process {target.pid} for about {format_time(round(forecast / 1e9, 3))}, {longer}, "
                f"and {self._way} cannot look at it by pieces; allow more, or look via idle."
            )
        if windows := self._backoff_windows(target):
            return (
                f"a look at process {target.pid} took {longer}, and only one in {WINDOWS} windows may; "
                f"the next one is after {counted(windows, 'window')}."
            )
        return None

    def require_short(self, target: Target) -> None:
        """Raises PauseTooLong for the reason that `too_long` gives."""
        if (why := self.too_long(target)) is not None:
            raise PauseTooLong(why, temporary=self.backed_off(target))

    def backed_off(self, target: Target) -> bool:
        """Whether the reason that `too_long` gives ends after some windows."""
        return self._backoff_windows(target) > 0 and self.forecast_ns(target) <= (self.limit_ns or 0)

    def _backoff_windows(self, target: Target) -> int:
        looks = self._looks.get(target.index)
        return 0 if looks is None else looks.allowance.backoff_windows(self._window)

    def news(self) -> list[str]:
        """What has changed in how targets are stopped, and was not told yet."""
        return []

    def warning(self, target: Target) -> str | None:
        """What to say before the first look of a target that it will stop for long."""
        forecast = self.forecast_ns(target)
        if forecast <= MIN_REPORTED_PAUSE_NS:
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
