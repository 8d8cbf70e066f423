"""Snapshots of what the kernel found: each with the window it speaks of and the intervals that held in it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from udamon.core.attrs import Attrs
from udamon.core.damon import touched_share
from udamon.core.target import Target
from udamon.engine.kernel.rows import Aggregated, KernelTuned
from udamon.engine.resident import overlaps
from udamon.model import Range, Snapshot

PIECES = 2
"""What the kernel mostly cuts a region into after each aggregation."""


class KernelWindows:
    """Knows the attributes that hold, and since when."""

    def __init__(self, attrs: Attrs) -> None:
        self.attrs = attrs
        self.checks = 0
        """Estimated, as the kernel does not count: its regions after splitting, times samples."""
        self._seq = -1
        self._end_ns = 0  # of the last aggregation
        self._begin_ns = 0  # of the present one
        self._retuned: tuple[Attrs, int] | None = None  # new attributes, and the last window of the old ones
        self._share = self._shares()

    def _shares(self) -> Callable[[int], float]:
        return lru_cache(maxsize=4096)(partial(touched_share, self.attrs.max_nr_accesses, absent=0))

    def change(self, attrs: Attrs) -> None:
        """New attributes from now on."""
        self.attrs, self._retuned = attrs, None
        self._share = self._shares()

    def tune(self, tuned: KernelTuned) -> None:
        """The kernel chose a new interval itself."""
        aggr_us = tuned.sample_us * self.attrs.max_nr_accesses
        if tuned.sample_us != self.attrs.sample_us:
            new = replace(self.attrs, sample_us=tuned.sample_us, aggr_us=aggr_us)
            self._retuned = new, self._seq + tuned.one_more

    def begin(self, found: Aggregated, since_ns: int, *, gapless: bool) -> bool:
        """Take notice of a new aggregation before its snapshots; True when other intervals hold in it.

        It did not begin before `since_ns`, and it began where the last one ended if it is certain that none was
        missed (`gapless`).
        """
        self._seq += 1
        tuned = self._retuned is not None and self._seq > self._retuned[1]
        if tuned and self._retuned is not None:
            self.change(self._retuned[0])
        # The kernel counts samples, which come late on a busy machine: a window may be much longer than asked
        # for. Where some may be missing, one that is half as long again is taken for two.
        length = self.attrs.aggr_us * 1_000
        earliest = max(self._end_ns, since_ns)
        whole = gapless or found.time_ns - earliest < length * 3 // 2
        self._begin_ns = earliest if whole else found.time_ns - length
        self._end_ns = found.time_ns
        return tuned

    def snapshot(self, found: Aggregated, target: Target, resident: list[Range] | None) -> Snapshot:
        """The snapshot of one target; `resident` is where it has memory, where that is known."""
        rows = found.rows
        ticks = self.attrs.max_nr_accesses
        starts, ends, counts, ages = zip(*rows, strict=True)
        # Kernels that measure by the clock may fit one more sample in.
        nr_accesses = [min(count, ticks) for count in counts]
        share = self._share
        touched = [
            int((end - start) * share(n)) if n else 0
            for start, end, n in zip(starts, ends, nr_accesses, strict=True)
        ]
        here = None if resident is None else overlaps(array("Q", starts), array("Q", ends), resident)
        if here is not None:
            touched = [min(estimate, there) for estimate, there in zip(touched, here, strict=True)]
        self._count_checks(len(rows))
        return Snapshot(
            target=target.index,
            pid=target.pid,
            seq=self._seq,
            begin_ns=self._begin_ns,
            end_ns=self._end_ns,
            sample_ns=self.attrs.sample_us * 1_000,
            ticks=ticks,
            starts=array("Q", starts),
            ends=array("Q", ends),
            nr_accesses=array("I", nr_accesses),
            ages=array("I", self._ages(ages)),
            touched=array("Q", touched),
            resident=None if here is None else array("Q", here),
        )

    def _ages(self, ages: tuple[int, ...]) -> tuple[int, ...] | list[int]:
        """In aggregations of the window's own length: a tuning counts them anew before they are told."""
        if self._retuned is None or self._retuned[1] != self._seq:
            return ages
        new, old = self._retuned[0].aggr_us, self.attrs.aggr_us
        return [age * new // old for age in ages]

    def _count_checks(self, regions: int) -> None:
        cut = regions if regions > self.attrs.max_nr_regions // 2 else regions * PIECES
        self.checks += cut * self.attrs.max_nr_accesses
