"""One policy, one seed, one workload: a simulated monitor scored at every snapshot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from udamon.assembly import parts
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.policies import make_policy
from udamon.core.policy import Answers, RegionPolicy, Slots, TouchedBounds
from udamon.core.target import Target
from udamon.engine.kdamond import Kdamond
from udamon.engine.tuner import IntervalGoalTuner
from udamon.errors import UsageError
from udamon.evaluation.ages import Moved, TrueAges
from udamon.evaluation.bound import Bound, Island
from udamon.evaluation.results import Evaluation, Scored
from udamon.evaluation.score import Sums, TruthScorer, together
from udamon.model import Event, Snapshot
from udamon.ops.sim import SimSpace
from udamon.workload.truth import Truth

UNBUDGETED = frozenset({"damon"})
"""Policies whose checks follow from their regions: there is no budget to give them."""


MOST_AGGREGATIONS = 1_000_000
"""Of one run: 28 hours at 100 ms."""


def check_duration(duration_ns: int, attrs: Attrs) -> None:
    """Whether so much simulated time can be evaluated. Raises UsageError."""
    if duration_ns < attrs.aggr_us * 1_000:
        raise UsageError("the duration is shorter than one aggregation; nothing could be evaluated.")
    if (count := duration_ns // (attrs.aggr_us * 1_000)) > MOST_AGGREGATIONS:
        raise UsageError(
            f"the duration has {float(count):.3g} aggregations; give a shorter one, of at most {MOST_AGGREGATIONS:,}."
        )


class TimedPolicy:
    """A policy that counts the CPU time it takes, in nanoseconds."""

    def __init__(self, policy: RegionPolicy, cpu_ns: Callable[[], int] = time.thread_time_ns) -> None:
        self.name = policy.name
        self.spent_ns = 0
        self._policy = policy
        self._cpu_ns = cpu_ns

    def start(self, targets: Sequence[Target], attrs: Attrs) -> None:
        self._policy.start(targets, attrs)

    def plan(self, targets: Sequence[Target], ticks: int) -> Slots:
        begin = self._cpu_ns()
        slots = self._policy.plan(targets, ticks)
        self.spent_ns += self._cpu_ns() - begin
        return slots

    def fold(self, targets: Sequence[Target], slots: Slots, answers: Answers) -> None:
        begin = self._cpu_ns()
        self._policy.fold(targets, slots, answers)
        self.spent_ns += self._cpu_ns() - begin

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self._timed(self._policy.finish_aggregation, targets)

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        self._timed(self._policy.begin_aggregation, targets)

    def reset_age(self, target: Target, start: int, end: int) -> None:
        self._policy.reset_age(target, start, end)

    def touched_bounds(self, target: Target) -> TouchedBounds | None:
        return self._policy.touched_bounds(target)

    def _timed(self, step: Callable[[Sequence[Target]], None], targets: Sequence[Target]) -> None:
        begin = self._cpu_ns()
        step(targets)
        self.spent_ns += self._cpu_ns() - begin


@dataclass(slots=True)
class TargetScorer:
    """Scores what a simulated monitor says of one target."""

    truth: Truth
    last: Snapshot | None = None
    against: TruthScorer | None = None
    ages: TrueAges | None = None
    moved: Moved = field(default_factory=Moved)

    def score(self, snapshot: Snapshot) -> Sums:
        truth = self.truth.expected(snapshot.begin_ns, snapshot.ticks, snapshot.sample_ns)
        if self.against is None or self.against.truth is not truth:
            self.against = TruthScorer(truth)
        if self.ages is None:
            self.ages = TrueAges(snapshot.starts[0], snapshot.ends[-1])
        self.ages.follow(truth, snapshot.begin_ns)
        self.moved += self.ages.moved(snapshot)
        self.last = snapshot
        return self.against.sums(snapshot)

    def wrong_ages(self) -> tuple[int, int]:
        """At the end: bytes whose age is wrong, of how many."""
        return self.ages.wrong(self.last) if self.ages and self.last else (0, 0)


class Scorer:
    """Subscribes to a simulated monitor and scores what it says of all its targets."""

    def __init__(
        self, truths: Sequence[Truth], checks: Callable[[], int], bound: Bound | None = None, least: int = 0
    ) -> None:
        """`bound` of a single target, from `least` checks an aggregation or as many as were made."""
        self.scored: list[Scored] = []
        self.targets = [TargetScorer(truth) for truth in truths]
        self._checks = checks
        self._bound = bound
        self._least = least
        self._now: list[tuple[int, Sums]] = []  # regions and sums of the targets whose snapshot came

    def snapshot(self, snapshot: Snapshot) -> None:
        self._now.append((len(snapshot), self.targets[snapshot.target].score(snapshot)))
        if len(self._now) < len(self.targets):
            return
        regions = sum(number for number, _ in self._now)
        sums = [one for _, one in self._now]
        each = tuple(one.score() for one in sums)
        checks, bound = self._checks(), None
        against = self.targets[0].against
        if self._bound is not None and against is not None:
            before = self.scored[-1].checks if self.scored else 0
            bound = self._bound.follow(against.truth, max(checks - before, self._least))
        self.scored.append(
            Scored(snapshot.end_ns / 1e9, checks, regions, together(sums).score(), each, bound)
        )
        self._now.clear()

    def event(self, event: Event) -> None:
        """Events say nothing of accuracy."""

    def islands(self) -> Sequence[Island]:
        """At the end; none without a bound."""
        return self._bound.islands if self._bound is not None else ()

    def age_err(self) -> float:
        wrong, total = map(sum, zip(*(target.wrong_ages() for target in self.targets), strict=True))
        return wrong / total if total else 0.0

    def moved(self) -> Moved:
        return sum((target.moved for target in self.targets), Moved())


def evaluate(
    truths: Truth | Sequence[Truth],
    policy: str,
    seed: int,
    attrs: Attrs,
    duration_ns: int,
    checks: int | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    bound: bool = False,
    find: int | None = None,
) -> Evaluation:
    """Run `policy` for `duration_ns` of simulated time on the space that a truth knows; several are targets of one
    context.

    `checks` per aggregation are the budget of a policy that has one; None leaves it to the policy. `progress` is told
    the share 0..1 that is done. `bound`: each score has what F1 could be at most, of a single truth. `find`: bytes of
    the smallest island worth finding, for `adaptive`.
    """

    def make(random: Random) -> RegionPolicy:
        return make_policy(policy, random, checks=checks, find=find)

    return evaluate_made(truths, make, seed, attrs, duration_ns, checks, progress, bound=bound)


def evaluate_made(
    truths: Truth | Sequence[Truth],
    make: Callable[[Random], RegionPolicy],
    seed: int,
    attrs: Attrs,
    duration_ns: int,
    checks: int | None = None,
    progress: Callable[[float], None] | None = None,
    *,
    bound: bool = False,
) -> Evaluation:
    """The same for any policy: `make` gets the source of randomness that it shall draw from."""
    truths = [truths] if isinstance(truths, Truth) else truths
    clock = ManualClock()
    random = Random(seed)
    timed = TimedPolicy(make(random))
    watch = parts.sampled_watch(timed, parts.sim_samplers(truths, clock, seed), random)
    tuner = IntervalGoalTuner() if attrs.goal.aggrs else None
    kdamond = parts.kdamond(SimSpace(*truths), watch, attrs, clock, tuner=tuner)
    least = 0 if timed.name in UNBUDGETED else checks or attrs.max_nr_regions
    scorer = Scorer(truths, lambda: watch.checks, _bound(truths[0], attrs) if bound else None, least)
    kdamond.bus.subscribe(scorer)
    kdamond.bus.subscribe(StopAt(kdamond, duration_ns, progress))
    kdamond.run()
    for _, error in kdamond.bus.failures:
        raise error
    return Evaluation(
        policy=timed.name,
        seed=seed,
        attrs=attrs,
        scored=scorer.scored,
        policy_cpu_share=timed.spent_ns / max(clock.now_ns(), 1),
        age_err=scorer.age_err(),
        budget=checks,
        moved_reset_share=scorer.moved().reset_share,
        islands=scorer.islands(),
    )


def _bound(truth: Truth, attrs: Attrs) -> Bound:
    return Bound(truth.resident(), len(truth.layout.ranges()), attrs.max_nr_regions)


class StopAt:
    """Subscribes to a simulated monitor and stops it where the next window would end later than `end_ns`.

    `progress` is told the share 0..1 of that time.
    """

    def __init__(
        self, kdamond: Kdamond, end_ns: int, progress: Callable[[float], None] | None = None
    ) -> None:
        self._kdamond = kdamond
        self._end_ns = end_ns
        self._progress = progress

    def snapshot(self, snapshot: Snapshot) -> None:
        if self._progress is not None:
            self._progress(min(1.0, snapshot.end_ns / self._end_ns))
        if snapshot.end_ns + snapshot.ticks * snapshot.sample_ns > self._end_ns:
            self._kdamond.stop()

    def event(self, event: Event) -> None:
        """Nothing ends on an event."""
