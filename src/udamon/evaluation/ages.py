"""The truth of ages: how long ago each byte's own access rate last changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from udamon.model import Snapshot
from udamon.workload.pieces import Expected

CHANGE = 0.2
"""A change of the rate by more than this share of its range starts a new age."""

USED = 0.05
"""So does a change to less than this chance of being accessed at all in an aggregation, or from it: memory that rests
did not while it was seldom accessed."""

TOLERANCE = 0.1
"""An age counts as right within this share of the truth (or one aggregation, where that is more)."""

NOTICE_DEADLINE_NS = 1_000_000_000
"""A change counts as noticed if, this long after it, the reported age is no older than the change."""


class RateStep(NamedTuple):
    """Bytes [start, end), as they were when they last changed, and when that was."""

    start: int
    end: int
    mean: float
    touched: float
    since_ns: int


class Moved(NamedTuple):
    """Bytes whose rate changed and that were looked at when noticing was due, and those noticed by then."""

    bytes: int = 0
    reset: int = 0

    def __add__(self, other: object) -> Moved:
        if not isinstance(other, Moved):
            return NotImplemented
        return Moved(self.bytes + other.bytes, self.reset + other.reset)

    @property
    def reset_share(self) -> float | None:
        """The share that was noticed; None where nothing changed."""
        return self.reset / self.bytes if self.bytes else None


class TrueAges:
    """Follows the expected rates of one aggregation after the other."""

    def __init__(self, begin: int, end: int) -> None:
        """Bytes [begin, end) of address space; all rates count as changed when the first is known."""
        self._steps = [RateStep(begin, end, -1.0, -1.0, 0)]
        self._last: Sequence[Expected] | None = None
        self._first_ns: int | None = None
        self._changes: set[int] = set()  # when something moved; what was looked at is taken out

    def follow(self, truth: Sequence[Expected], begin_ns: int) -> None:
        """The aggregation that began at `begin_ns` has the rates of `truth`."""
        if truth is self._last:
            return
        self._last = truth
        if self._first_ns is None:
            self._first_ns = begin_ns
        result: list[RateStep] = []
        for known, mean, touched in _with_truth(self._steps, truth):
            changed = abs(mean - known.mean) > CHANGE or (touched < USED) != (known.touched < USED)
            step = RateStep(known.start, known.end, mean, touched, begin_ns) if changed else known
            if changed and begin_ns != self._first_ns:
                self._changes.add(begin_ns)
            if result and result[-1].end == step.start and result[-1][2:] == step[2:]:
                result[-1] = result[-1]._replace(end=step.end)
            else:
                result.append(step)
        self._steps = result

    def wrong(self, snapshot: Snapshot) -> tuple[int, int]:
        """The snapshot's bytes whose age is off by more than the tolerance, and all of its bytes."""
        wrong = total = 0
        for size, since, seen, aggregation in self._overlay(snapshot):
            truth = snapshot.end_ns - since
            wrong += size * (abs(seen - truth) > max(TOLERANCE * truth, aggregation))
            total += size
        return wrong, total

    def moved(self, snapshot: Snapshot) -> Moved:
        """The bytes whose rate changed NOTICE_DEADLINE_NS before this snapshot's end (or less than an aggregation
        more), and not since; and those of them whose age is at most that and one aggregation.

        That all rates become known at the start is no change.
        """
        aggregation = snapshot.ticks * snapshot.sample_ns
        due = range(
            snapshot.end_ns - NOTICE_DEADLINE_NS - aggregation + 1, snapshot.end_ns - NOTICE_DEADLINE_NS + 1
        )
        if not any(change in due for change in self._changes):
            return Moved()
        self._changes = {change for change in self._changes if change >= due.stop}
        moved = reset = 0
        for size, since, seen, _ in self._overlay(snapshot):
            if since in due and since != self._first_ns:
                moved += size
                reset += size * (seen <= NOTICE_DEADLINE_NS + aggregation)
        return Moved(moved, reset)

    def _overlay(self, snapshot: Snapshot) -> Iterator[tuple[int, int, int, int]]:
        """(bytes, when their rate last changed, age that the snapshot gives them, aggregation), times in ns."""
        aggregation = snapshot.ticks * snapshot.sample_ns
        steps = iter(self._steps)
        step = next(steps)
        for start, end, age in zip(snapshot.starts, snapshot.ends, snapshot.ages, strict=True):
            at = start
            while at < end:
                while step.end <= at:
                    step = next(steps)
                upto = min(end, step.end)
                # A region that is new in this aggregation has age 0; it was watched for one.
                yield upto - at, step.since_ns, (age + 1) * aggregation, aggregation
                at = upto


def _with_truth(steps: Sequence[RateStep], truth: Sequence[Expected]) -> list[tuple[RateStep, float, float]]:
    """`steps` cut at the bounds of `truth`, each part with its true mean and chance of being touched."""
    parts = []
    j = 0
    for step in steps:
        at = step.start
        while at < step.end:
            while j < len(truth) and truth[j].end <= at:
                j += 1
            inside = j < len(truth) and truth[j].start <= at
            upto = min(truth[j].end if inside else truth[j].start if j < len(truth) else step.end, step.end)
            one = step._replace(start=at, end=upto)
            parts.append((one, truth[j].mean, truth[j].touched) if inside else (one, 0.0, 0.0))
            at = upto
    return parts
