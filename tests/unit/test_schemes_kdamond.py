"""Schemes in the kdamond's loop: order, due times, what they do to regions, requests, watermarks that rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.unit.fakes import Collector, FakeSampler, FakeSpace
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.damon import DamonPolicy
from udamon.core.policy import RegionPolicy
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    Bounds,
    Deed,
    Goal,
    Scheme,
)  # fmt: skip
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch, Watch
from udamon.model import Range
from udamon.ops.base import Applied
from udamon.schemes import Matching, Schemes

MIB = 1 << 20
ATTRS = Attrs(update_us=1_000_000)
COLD = AccessPattern(ANY_SIZE, Bounds(0, 0), ANY_COUNT)
ALL = AccessPattern.all()


@dataclass
class Recorder:
    """An actor that does all it is told, at once. `calls`: target index, start, end, deed."""

    calls: list[tuple[int, int, int, Deed]] = field(default_factory=list)
    closed: bool = False

    def missing(self, deed: Deed) -> str | None:
        return None

    def apply(self, target: Target, start: int, end: int, deed: Deed) -> Applied:
        self.calls.append((target.index, start, end, deed))
        return Applied(end - start, end - start)

    def close(self) -> None:
        self.closed = True


@dataclass
class Numbers:
    """Metrics that a test sets."""

    free: int | None = None
    values: dict[str, int | None] = field(default_factory=dict)

    def value(self, goal: Goal) -> int | None:
        return self.values.get(goal.target_metric)

    def eligible_bp(self, goal: Goal, matching: Sequence[Matching]) -> int | None:
        return None

    def free_mem_permil(self) -> int | None:
        return self.free


class Rig:
    """A kdamond over a fake space of 64 MiB whose first 16 MiB are hot."""

    def __init__(
        self,
        *schemes: Scheme,
        policy: RegionPolicy | None = None,
        attrs: Attrs = ATTRS,
        numbers: Numbers | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.space = FakeSpace([Range(0, 64 * MIB)])
        self.sampler = FakeSampler(self.clock, [Range(0, 16 * MIB)])
        self.watch: Watch = SampledWatch(policy or DamonPolicy(Random(1)), self.sampler, Random(2))
        self.actor, self.numbers = Recorder(), numbers or Numbers()
        self.schemes = Schemes(schemes, self.actor, self.numbers, self.clock.now_ns)
        self.kdamond = Kdamond(
            Context(self.space, self.watch, attrs, schemes=self.schemes), self.clock, cpu_ns=lambda: 0
        )
        self.seen = Collector()
        self.kdamond.bus.subscribe(self.seen)

    def run(self, calls: int) -> None:
        before = self.sampler.on_call

        def count(number: int) -> None:
            before(number)
            if number > calls:
                self.kdamond.stop()

        self.sampler.on_call = count
        self.kdamond.run()


def test_a_scheme_is_due_at_each_aggregation_and_ages_begin_anew() -> None:
    rig = Rig(Scheme(COLD, Action.PAGEOUT))
    rig.run(5)
    stats = rig.schemes.status()[0].stats
    assert stats.nr_tried == len(rig.actor.calls) > 0
    assert stats.sz_tried == stats.sz_applied == sum(end - start for _, start, end, _ in rig.actor.calls)
    last = rig.seen.snapshots[-1]
    assert {age for nr, age in zip(last.nr_accesses, last.ages, strict=True) if nr == 0} == {0}, (
        "snapshots show the ages that schemes began anew"
    )
    assert rig.actor.closed
