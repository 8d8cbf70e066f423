"""The interface of region policies: which pages to check next, and what the answers imply for all others.

A policy plans *slots*; a sampler turns them into *answers*; the policy folds those into regions:

    plan(targets, ticks) -> Slots -> [sampler] -> Answers -> fold(targets, slots, answers)
    at the end of an aggregation: finish_aggregation(targets) -> snapshot -> begin_aggregation(targets)

Policies are pure: no clock, no I/O; randomness is handed in.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from udamon.core.attrs import Attrs
from udamon.core.target import Target
from udamon.native._native import ACCESSED, NO_PAGE, NOT_ACCESSED

__all__ = ["ACCESSED", "NOT_ACCESSED", "NO_PAGE", "Answers", "RegionPolicy", "Slots"]


@dataclass(slots=True)
class Slots:
    """What to look at: parallel arrays, one entry a slot.

    In slot i, `checks[i]` checks are spread evenly over the ticks on which their span still fits, and so
    are slots of one check together; as many checks as ticks of span 1 are one on each. On its tick a check
    picks a page uniform in [start, end) of target `target[i]` and prepares it; `span[i]` ticks later it
    is looked at (at the end of the stretch, where that is sooner). `ticks`: a policy that wants to learn
    before going on makes the stretch shorter than asked for; 0 leaves it as it is.
    """

    target: array[int] = field(default_factory=lambda: array("I"))
    start: array[int] = field(default_factory=lambda: array("Q"))
    end: array[int] = field(default_factory=lambda: array("Q"))
    checks: array[int] = field(default_factory=lambda: array("I"))
    span: array[int] = field(default_factory=lambda: array("I"))
    ticks: int = 0

    def add(self, target: int, start: int, end: int, checks: int, span: int = 1) -> None:
        self.target.append(target)
        self.start.append(start)
        self.end.append(end)
        self.checks.append(checks)
        self.span.append(span)

    def extend(
        self, target: int, starts: Sequence[int], ends: Sequence[int], checks: Sequence[int], span: int = 1
    ) -> None:
        """Many slots of one target and span at once."""
        number = len(starts)
        self.target += array("I", [target]) * number
        self.start.extend(starts)
        self.end.extend(ends)
        self.checks.extend(checks)
        self.span += array("I", [span]) * number

    def __len__(self) -> int:
        return len(self.start)


@dataclass(slots=True)
class Answers:
    """What was seen. Per slot: sums. Per check: a point (slot, address, span, answer, page shift)."""

    ticks: int = 0  # ticks that were really done: fewer than asked when interrupted
    hits: array[int] = field(default_factory=lambda: array("I"))  # per slot: checks answered ACCESSED
    no_page: array[int] = field(default_factory=lambda: array("I"))  # per slot: checks answered NO_PAGE
    slot: array[int] = field(default_factory=lambda: array("I"))  # per check
    address: array[int] = field(default_factory=lambda: array("Q"))  # per check, page-aligned
    span: array[int] = field(default_factory=lambda: array("I"))  # per check, ticks between prepare and look
    answer: bytes = b""  # per check
    shift: bytes = b""  # per check: log2 of the bytes the answer speaks for (a page, or a huge page)
    late_ns: array[int] = field(default_factory=lambda: array("q"))  # per tick: how late it began
    errnos: Mapping[int, int] = field(default_factory=dict)  # failed system calls by errno

    @property
    def checks(self) -> int:
        return len(self.slot)


class TouchedBounds(NamedTuple):
    """Between how many bytes were touched in an aggregation, with a confidence of 95 %. Fields are those of a snapshot.

    `idle_checks` of the checks that spanned it lie in memory that was taken for idle before and is so now, or that is
    an island (which stands for the islands that no check met); `idle_hits` of these met an access. `idle_bytes` were
    taken for idle by each fit of the aggregation. Of regions that are told as idle, `idle_mixed` bytes are not taken
    for idle, or are younger than their region is told to be.
    """

    touched_low: int
    touched_high: int
    idle_checks: int
    idle_hits: int
    idle_bytes: int
    idle_mixed: int


class RegionPolicy(Protocol):
    """A region policy. `targets` is the context's list; a policy changes their `regions` in place."""

    name: str

    def start(self, targets: Sequence[Target], attrs: Attrs) -> None:
        """Take over targets whose regions were just made, or attributes that just changed."""

    def plan(self, targets: Sequence[Target], ticks: int) -> Slots:
        """The slots of the next stretch of `ticks` ticks (at most one aggregation)."""

    def fold(self, targets: Sequence[Target], slots: Slots, answers: Answers) -> None:
        """Take in the answers of one stretch; several stretches may make an aggregation."""

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """The aggregation ended: make `regions` final for the snapshot (nr_accesses, age, touched)."""

    def touched_bounds(self, target: Target) -> TouchedBounds | None:
        """Of all regions, in the aggregation that ends; None where the error of the estimate is not known."""

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        """The snapshot was taken: counts begin anew, and regions may be cut, within max_nr_regions."""

    def reset_age(self, target: Target, start: int, end: int) -> None:
        """A scheme acted on the bytes [start, end), which are regions of their own with age 0: so it shall stay."""
