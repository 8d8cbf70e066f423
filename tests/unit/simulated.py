"""A policy over memory whose rates a test sets and changes: no engine, no clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tests.unit.points import PAGE, Answer, answers_to
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.fit import fit
from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.model import Range

BASE = 1 << 20
"""Page at which spaces begin, so that an address is no offset by accident."""


class Island(NamedTuple):
    """Pages [start, end) from BASE on, each accessed with `rate` in a tick; all others with the target's own."""

    start: int
    end: int
    rate: float = 0.97


class Memory:
    """One target of `size` pages. `islands` (sorted, disjoint) may be replaced at any time."""

    def __init__(self, size: int, *islands: Island, rate: float = 0.0, index: int = 0) -> None:
        self.islands = list(islands)
        self.rate = rate
        self.target = Target(index, ranges=[Range(BASE * PAGE, (BASE + size) * PAGE)])

    def rate_of(self, page: int) -> float:
        at = bisect_right(self.islands, page - BASE, key=lambda island: island.start) - 1
        return self.islands[at].rate if at >= 0 and page - BASE < self.islands[at].end else self.rate

    def resident(self, page: int) -> bool:
        where = self.target.resident
        return where is None or any(r.start <= page * PAGE < r.end for r in where)


class Simulation:
    """Aggregations of a policy over memories, whose checks it answers at random."""

    def __init__(
        self,
        *memories: Memory,
        checks: int | None = 300,
        seed: int = 1,
        attrs: Attrs | None = None,
        shift: int = 12,
        longest: int = 1 << 30,
    ) -> None:
        """`longest`: ticks of a stretch, as schemes with short intervals have it."""
        self.memories = list(memories)
        self.attrs = attrs or Attrs()
        self.policy = AdaptivePolicy(checks=checks)
        self.checks: list[int] = []  # planned, in each aggregation
        self.plans: list[tuple[Slots, int]] = []  # of the last aggregation, with their ticks
        self._shift = shift
        self._longest = longest
        self._random = Random(seed)
        self.adopt()

    @property
    def targets(self) -> list[Target]:
        return [memory.target for memory in self.memories]

    def adopt(self) -> None:
        """Targets came or went, or their memory lies elsewhere."""
        for target in self.targets:
            target.regions = fit(target.regions, target.ranges, PAGE)
        self.policy.start(self.targets, self.attrs)

    def aggregate(self, times: int = 1) -> None:
        """Up to the moment of the snapshot; what comes after it is done first the next time."""
        for _ in range(times):
            if self.checks:
                self.policy.begin_aggregation(self.targets)
            self.plans.clear()
            passed = 0
            while passed < self.attrs.max_nr_accesses:
                passed += self.stretch(min(self.attrs.max_nr_accesses - passed, self._longest))
            self.policy.finish_aggregation(self.targets)
            self.checks.append(sum(sum(slots.checks) for slots, _ in self.plans))

    def stretch(self, ticks: int) -> int:
        slots = self.policy.plan(self.targets, ticks)
        ticks = slots.ticks or ticks
        self.plans.append((slots, ticks))
        self.policy.fold(self.targets, slots, self.answer(slots, ticks))
        return ticks

    def answer(self, slots: Slots, ticks: int) -> Answers:
        draw = self._random.random
        answers = []
        columns = zip(slots.target, slots.start, slots.end, slots.checks, slots.span, strict=True)
        for i, (position, start, end, checks, span) in enumerate(columns):
            memory = self.memories[position]
            span, first, pages = min(span, ticks), start // PAGE, -(-end // PAGE) - start // PAGE
            for _ in range(checks):
                page = first + int(draw() * pages)
                hit = draw() < 1 - (1 - memory.rate_of(page)) ** span
                answers.append(Answer(page * PAGE, hit if memory.resident(page) else 2, i, span, self._shift))
        return answers_to(slots, answers, ticks)


class Seen(NamedTuple):
    """A region, in pages from BASE on."""

    start: int
    end: int
    nr_accesses: int
    age: int
    touched: float


def seen(memory: Memory) -> list[Seen]:
    return [
        Seen(r.start // PAGE - BASE, r.end // PAGE - BASE, r.nr_accesses, r.age, r.touched / PAGE)
        for r in memory.target.regions
    ]


def pages_where(regions: Sequence[Seen], low: int, high: int = 1 << 30) -> set[int]:
    """The pages of regions with `low` to `high` accesses."""
    return {page for r in regions if low <= r.nr_accesses <= high for page in range(r.start, r.end)}


def agreement(found: set[int], true: set[int]) -> float:
    """F1 of two sets of pages."""
    return 2 * len(found & true) / (len(found) + len(true)) if found or true else 1.0
