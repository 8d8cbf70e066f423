"""Memory that was moved out and is wanted back: present again within a minute (a refault).

A look costs, for each process, one scan of the page map over what is watched: 0.3 ms and some µs a run with
PAGEMAP_SCAN, 13 ms a GiB and more without. Neighbouring pages are one entry of 120 bytes, however many. What cannot be
told from a refault counts as one: other memory that the process maps at the same address, and file pages that a fault
brings in beside the one wanted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from udamon.acting.pages import present
from udamon.linux.pagemap import open_page_map
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import PROC
from udamon.model import Range
from udamon.ranges import joined, minus, overlap, total

WINDOW_NS = 60_000_000_000
"""For this long what was moved is watched."""

MOST_RANGES = 100_000
"""Watched at once; what is moved beyond that is counted in `unwatched` and not looked at."""

_TOGETHER_NS = 5_000_000_000  # moves this close in time share a batch, and so may be watched a little shorter
_NEAR = 2 << 20


@dataclass(slots=True)
class _Batch:
    """What was moved of a process in some seconds, and is still out; sorted, disjoint."""

    process: ProcessId
    begin_ns: int
    ranges: list[Range]


class Refaults:
    """Watches what was moved. Only the kdamond calls it."""

    def __init__(
        self, root: Path = PROC, now_ns: Callable[[], int] = time.monotonic_ns, window_ns: int = WINDOW_NS
    ) -> None:
        self._root = root
        self._now_ns = now_ns
        self._window_ns = window_ns
        self._batches: list[_Batch] = []
        self.bytes = 0
        """Of all that was moved, what was present again within the window."""
        self.unwatched = 0
        """Bytes moved that were too many pieces to watch."""

    @property
    def watched(self) -> int:
        """Bytes that are still out and watched."""
        return sum(total(batch.ranges) for batch in self._batches)

    def moved(self, process: ProcessId, ranges: Sequence[Range]) -> None:
        """These (sorted, disjoint) are out now. Parts of them that were already watched must have come back in
        between."""
        if not ranges:
            return
        self._count_refaults(process, ranges)
        if len(ranges) + sum(len(batch.ranges) for batch in self._batches) > MOST_RANGES:
            self.unwatched += total(ranges)
            return
        now = self._now_ns()
        for batch in self._batches:
            if batch.process == process and now - batch.begin_ns < _TOGETHER_NS:
                batch.ranges = joined(sorted([*batch.ranges, *ranges]))
                return
        self._batches.append(_Batch(process, now, list(ranges)))

    def look(self) -> int:
        """Look what is present again; returns the bytes found by this look. Never raises for a process that went."""
        before, now = self.bytes, self._now_ns()
        for process in {batch.process for batch in self._batches}:
            mine = [batch for batch in self._batches if batch.process == process]
            try:
                self._count_refaults(
                    process, self._present(process, (r for batch in mine for r in batch.ranges))
                )
            except OSError:  # it has ended, or may not be read any more
                self._batches = [batch for batch in self._batches if batch.process != process]
        self._batches = [b for b in self._batches if b.ranges and now - b.begin_ns < self._window_ns]
        return self.bytes - before

    def _count_refaults(self, process: ProcessId, back: Sequence[Range]) -> None:
        for batch in self._batches:
            if batch.process == process:
                self.bytes += total(overlap(batch.ranges, back))
                batch.ranges = minus(batch.ranges, back)

    def _present(self, process: ProcessId, ranges: Iterable[Range]) -> list[Range]:
        fd = open_page_map(process, self._root)
        try:
            return present(fd, joined(sorted(ranges), _NEAR))
        finally:
            os.close(fd)
