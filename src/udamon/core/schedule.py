"""When the next aggregation and update are due, counted in sampling intervals (docs/damon.md#start, #iteration)."""

from __future__ import annotations

from udamon.core.attrs import Attrs

MAX_LOST_SHARE = 0.1
"""Of an aggregation, how much may pass before its first tick. What looks at all memory clears it at the end of the
aggregation before: if that takes longer, the rest would be too short to be called a window of that length."""
REBASE_TICKS = 2
"""Falling this many ticks behind (a suspended machine, an overloaded one) moves the schedule, not the past."""


class Schedule:
    """Counts passed sampling intervals ("sis") and knows on which of them something is due.

    Deadlines are absolute: tick k begins at base + k × sample, so small lateness never adds up.
    """

    def __init__(self, attrs: Attrs, now_ns: int) -> None:
        self.sis = 0
        self.attrs = attrs
        self._base_ns = now_ns
        self.next_aggr = attrs.max_nr_accesses
        self.next_update = self._samples(attrs.update_us)
        self._aggr_begin_ns = now_ns

    def _samples(self, interval_us: int) -> int:
        # Not at least 1: an update interval below one sample is due on every tick, as in the kernel.
        return interval_us // (self.attrs.sample_us or 1)

    @property
    def tick_ns(self) -> int:
        return (self.attrs.sample_us or 1) * 1_000

    @property
    def begin_ns(self) -> int:
        """When the next tick begins."""
        return self._base_ns + self.sis * self.tick_ns

    @property
    def aggregation_begin_ns(self) -> int:
        return self._aggr_begin_ns

    def ticks_to_next(self, other: int | None = None) -> int:
        """Ticks until the next thing is due, at least 1; `other`: the tick on which something else is."""
        due = min(self.next_aggr, self.next_update)
        if other is not None:
            due = min(due, other)
        return max(due - self.sis, 1)

    def passed(self, ticks: int, now_ns: int) -> None:
        """Count `ticks` as done; when far behind, go on from now instead of hurrying."""
        self.sis += ticks
        behind = now_ns - self.begin_ns
        if behind > REBASE_TICKS * self.tick_ns:
            self._base_ns += behind

    def keep_length(self, now_ns: int) -> None:
        """Between two aggregations: move the next one where too much of it would have passed already."""
        behind = now_ns - self.begin_ns
        if behind > MAX_LOST_SHARE * self.attrs.aggr_us * 1_000:
            self._base_ns += behind

    def skip_time(self, now_ns: int) -> None:
        """Continue from now after time that was not watched. An aggregation that had not begun begins now."""
        untouched = self.sis + self.attrs.max_nr_accesses == self.next_aggr
        self._base_ns += max(now_ns - self.begin_ns, 0)
        if untouched:
            self._aggr_begin_ns = self.begin_ns

    def aggregation_due(self) -> bool:
        return self.sis >= self.next_aggr

    def update_due(self) -> bool:
        return self.sis >= self.next_update

    def begin_aggregation(self) -> None:
        self.next_aggr = self.sis + self.attrs.max_nr_accesses
        self._aggr_begin_ns = self.begin_ns

    def updated(self) -> None:
        self.next_update += max(self._samples(self.attrs.update_us), 1)

    def change(self, attrs: Attrs) -> None:
        """Take new intervals from the present tick on (docs/damon.md#commits)."""
        begin = self.begin_ns
        if not self.aggregation_due():
            self._aggr_begin_ns = begin  # what was counted so far is dropped
        self.attrs = attrs
        self._base_ns = begin - self.sis * self.tick_ns
        self.next_aggr = self.sis + attrs.max_nr_accesses
        self.next_update = self.sis + max(self._samples(attrs.update_us), 1)
