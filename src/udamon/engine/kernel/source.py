"""Two ways to get snapshots out of in-kernel DAMON: its tracepoint, or the regions that a scheme tried."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from udamon.claim.damon import DamonClaim
from udamon.core.attrs import Attrs
from udamon.engine.kernel import plan
from udamon.engine.kernel import rows as kernel_rows
from udamon.engine.kernel.rows import Aggregated, Grouping, KernelTuned, Row
from udamon.linux.damon_tree import CONTEXT, INTERVALS, Setting
from udamon.linux.tracefs import TraceInstance

READ_NS = 250_000_000
"""Trace buffers are read this often, or once an aggregation where that is longer."""
_EVENT_BYTES = 56
_ENDED = {errno.ECANCELED, errno.EINVAL, errno.EPERM, errno.ENOENT, errno.ENODEV}
"""What commands answer when the kdamond has ended in the meantime."""


class KernelSource(Protocol):
    """Where the engine gets what the kernel found."""

    name: str
    gapless: bool
    """Every aggregation is told, save those that `lost` speaks of."""

    @property
    def lost(self) -> int:
        """Grows when snapshots could not be had, or not whole; not by how many."""

    def settings(self) -> Iterator[Setting]:
        """Of the scheme that this source needs beside those that act; none where it needs none."""

    def read(self) -> Iterator[Aggregated | KernelTuned]:
        """What was found since the last time, in the order of time."""

    def pause_ns(self, attrs: Attrs) -> int:
        """How long to wait before the next `read`."""

    def close(self) -> None:
        """Leave nothing behind. Idempotent."""


class Traced:
    """The tracepoint damon_aggregated: every aggregation, at its very time, for little CPU.

    Raises OSError or ValueError where this kernel's tracing cannot be used.
    """

    name = "tracepoint"
    gapless = True

    def __init__(self, claim: DamonClaim, root: Path, max_nr_regions: int) -> None:
        name = f"udamon-{os.getpid()}"
        claim.use_instance(name)
        # Room for four full snapshots on each processor: the kdamond moves, and we may be late.
        self._trace = TraceInstance(root, name, 64 + max_nr_regions * _EVENT_BYTES * 4 // 1024)
        self._grouping = Grouping()
        try:
            if not self._trace.enable("damon", kernel_rows.AGGREGATED, kernel_rows.AGGREGATED_FIELDS):
                raise ValueError(f"this kernel has no event {kernel_rows.AGGREGATED}")
            self._trace.enable("damon", kernel_rows.TUNED, kernel_rows.TUNED_FIELDS)
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> int:
        return self._grouping.torn + self._trace.lost

    def settings(self) -> Iterator[Setting]:
        return iter(())

    def read(self) -> Iterator[Aggregated | KernelTuned]:
        return self._grouping.feed(self._trace.drain())

    def pause_ns(self, attrs: Attrs) -> int:
        return max(attrs.aggr_us * 1_000, READ_NS)

    def close(self) -> None:
        self._trace.close()


class TriedRegionsSource:
    """The regions that a scheme of everything tried (Linux 6.2 and later): some aggregations, at some CPU.

    The kernel makes a directory a region for each answer, so large snapshots take longer than short
    aggregations, and those in between are missed. It does not say which target a region is of: one target's
    regions end where the addresses go back.
    """

    name = "tried_regions"
    gapless = False

    def __init__(self, claim: DamonClaim, *, position: int, tunes: bool) -> None:
        """`position`: of its scheme, after all others, so that it sees what they have left."""
        self._claim = claim
        self._scheme = f"{CONTEXT}/schemes/{position}"
        self._tunes = tunes
        self._answered_ns = 0
        self.targets = 1  # in the kernel's list
        self.lost = 0

    def settings(self) -> Iterator[Setting]:
        return plan.scheme_of_everything(self._scheme)

    def read(self) -> Iterator[Aggregated | KernelTuned]:
        """Waits for the end of the present aggregation."""
        tree = self._claim.tree
        try:
            tree.command("update_schemes_tried_regions")
            self._answered_ns = time.monotonic_ns()
            found = [row[:4] for row in tree.tried_regions(f"{self._scheme}/tried_regions")]
            if self._tunes:
                tree.command("update_tuned_intervals")
        except OSError as error:
            if error.errno in _ENDED | {errno.EBUSY}:
                return
            raise
        by_target = apart(found)
        if len(by_target) == self.targets:
            for position, rows in enumerate(by_target):
                yield Aggregated(self._answered_ns, position, position == 0, rows)
        elif found:
            self.lost += self.targets
        if self._tunes:
            yield KernelTuned(self._answered_ns, int(tree.read(f"{INTERVALS}/sample_us")), one_more=False)

    def pause_ns(self, attrs: Attrs) -> int:
        """Until a tenth before the next answer is due: waiting for it inside the kernel cannot be interrupted."""
        aggr_ns = attrs.aggr_us * 1_000
        due = self._answered_ns + aggr_ns - max(aggr_ns // 10, 20_000_000)
        return max(due - time.monotonic_ns(), 20_000_000)

    def close(self) -> None:
        """The scheme goes with the tree."""


def apart(rows: Sequence[Row]) -> list[list[Row]]:
    """The regions of each target: addresses rise within one, and fall from one to the next."""
    by_target: list[list[Row]] = []
    last_end = None
    for row in rows:
        if last_end is None or row[0] < last_end:
            by_target.append([])
        by_target[-1].append(row)
        last_end = row[1]
    return by_target
