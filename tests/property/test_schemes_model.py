"""Random schemes against random access patterns for a simulated hour: no quota, filter or watermark is ever broken.

The checker is simple and knows nothing of udamon.schemes: it sees when passes begin, what the schemes are told of the
world, and what they ask of the actor, and keeps books of its own. What an action is asked for says whose it is:
scheme N has the node N, and the path N in its goals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.fakes import FakeCensus, FakeSampler, FakeSpace
from udamon.acting.base import Applied
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.damon import DamonPolicy
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    ActionRequest,
    Bounds,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    SchemeStats,
    WatermarkMetric,
    Watermarks,
    Weights,
)  # fmt: skip
from udamon.core.target import Target
from udamon.engine.acting import ResetAges
from udamon.engine.census_watch import CensusWatch
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch, Watch
from udamon.model import Emit, Event, Range, Snapshot
from udamon.ops.base import Touched
from udamon.schemes import MatchingBytes, Schemes

PAGE = 4096
PAGES = 4096
SAMPLE_US, TICKS = 500_000, 20
ATTRS = Attrs(SAMPLE_US, SAMPLE_US * TICKS, 60_000_000, 3, 60)
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""An hour takes a second, so a failing one is told as it was found."""
HOUR_NS = 3_600_000_000_000
NS_PER_PAGE = 2_000
RANGES = ([Range(0, PAGES * PAGE)], [Range(5 * PAGES * PAGE, 6 * PAGES * PAGE)])

addresses = st.integers(0, 6 * PAGES).map(lambda page: page * PAGE)
bounds = st.tuples(st.integers(0, 20), st.integers(0, 40)).map(lambda ab: Bounds(ab[0], ab[0] + ab[1]))
core_filters = st.one_of(
    st.builds(
        lambda matching, allow, a, b: Filter(FilterType.ADDR, matching, allow, addr=Range(min(a, b), max(a, b))),
        st.booleans(), st.booleans(), addresses, addresses,
    ),
    st.builds(
        lambda matching, allow, index: Filter(FilterType.TARGET, matching, allow, damon_target_idx=index),
        st.booleans(), st.booleans(), st.integers(0, 2),
    ),
)  # fmt: skip
ops_filters = st.builds(Filter, st.just(FilterType.ANON), st.booleans(), st.booleans())
quotas = st.builds(
    Quota,
    ms=st.sampled_from([0, 0, 1, 5]),
    bytes=st.sampled_from([0, 0, PAGE - 1, PAGE, 100 * PAGE, 3_000 * PAGE]),
    reset_interval_ms=st.sampled_from([0, 1_000, 7_000, 60_000]),
    weights=st.builds(Weights, st.just(0), st.integers(0, 2), st.integers(0, 2)),
    goals=st.lists(st.builds(Goal, st.just(GoalMetric.FILE), st.integers(0, 2_000)), max_size=1).map(tuple),
    goal_tuner=st.sampled_from(GoalTuner),
    fail_charge_num=st.integers(0, 2),
    fail_charge_denom=st.sampled_from([0, 2, 1_024]),
)
watermarks = st.one_of(
    st.just(Watermarks()),
    st.builds(
        lambda marks, us: Watermarks(WatermarkMetric.FREE_MEM_RATE, us, *sorted(marks, reverse=True)),
        st.lists(st.integers(0, 1_000), min_size=3, max_size=3),
        st.sampled_from([0, 300_000, 5_000_000]),
    ),
)
schemes = st.builds(
    Scheme,
    access_pattern=st.builds(
        AccessPattern,
        st.just(ANY_SIZE),
        st.one_of(bounds, st.just(ANY_COUNT)),
        st.one_of(bounds, st.just(ANY_COUNT)),
    ),
    action=st.sampled_from([Action.PAGEOUT, Action.COLD, Action.STAT, Action.MIGRATE_HOT]),
    apply_interval_us=st.sampled_from([0, 0, 0, 2_000_000, 3_300_000, 24_000_000]),
    quotas=quotas,
    watermarks=watermarks,
    core_filters=st.lists(core_filters, max_size=3).map(tuple),
    ops_filters=st.lists(ops_filters, max_size=1).map(tuple),
    max_nr_snapshots=st.sampled_from([0, 0, 0, 40]),
)


class World:
    """Memory and numbers at random, the same at the same time."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = ManualClock()
        self.space = FakeSpace(*RANGES)
        self.sampler = FakeSampler(self.clock)
        self.sampler.on_call = lambda number: self.stir()
        self.census = FakeCensus()
        self._free = [self.random.choice((0, 150, 300, 450, 700, 1_000)) for _ in range(200)]
        for index, (whole,) in enumerate(RANGES):
            self.census.seen[index] = [Touched(*whole, whole.size, 0)]
        self.stir()

    def stir(self) -> None:
        draw = self.random
        if draw.random() < 0.1:
            self.sampler.hot = [
                Range(whole.start + draw.randrange(PAGES) * PAGE, whole.end) for (whole,) in RANGES
            ]
        for index, (whole,) in enumerate(RANGES):
            if draw.random() < 0.1:
                places = sorted({0, PAGES, *(draw.randrange(PAGES) for _ in range(3))})
                self.census.seen[index] = [
                    Touched(
                        whole.start + a * PAGE,
                        whole.start + b * PAGE,
                        (b - a) * PAGE,
                        draw.choice((0, 0, PAGE)),
                    )
                    for a, b in pairwise(places)
                ]

    def free(self) -> int:
        return self._free[self.clock.now_ns() // 20_000_000_000 % len(self._free)]

    def watch(self, kind: str) -> Watch:
        if kind == "census":
            return CensusWatch(self.census, self.clock)
        policy = DamonPolicy(Random(1)) if kind == "damon" else AdaptivePolicy(checks=60)
        return SampledWatch(policy, self.sampler, Random(2))


@dataclass(eq=False)
class Books:
    """What the checker knows of one scheme."""

    scheme: Scheme
    next_apply: int
    active: bool = True
    window_ns: int | None = None  # when it began
    limit: int = 0
    charged: int = 0
    took_ns: int = 0
    total: int = 0
    total_ns: int = 0
    last_rate: int = 0  # bytes per ms in the last window
    wanted_bp: int = 0  # what the goal has come to
    stats: SchemeStats = field(default_factory=SchemeStats)
    reached: tuple[int, int] = (-1, 0)  # target and end of the last call of this pass

    @property
    def limited(self) -> bool:
        quota = self.scheme.quotas
        return bool(quota.ms or quota.bytes or any(goal.target_value for goal in quota.goals))


class Checker:
    """Metrics, actor and the schemes themselves, as those who use them see them; nothing passes unseen."""

    def __init__(self, made: Sequence[Scheme], world: World) -> None:
        self.world, self.clock = world, world.clock
        self.books = [Books(scheme, interval(scheme)) for scheme in made]
        self.schemes = Schemes(made, self.Act(self), self, self.clock.now_ns)
        self.told: dict[int, int | None] = {}  # of the goals, in this pass
        self.opened: set[int] = set()  # schemes whose window was looked at in this pass
        self.pass_ns = 0
        self.positions: dict[int, int] = {}
        self.calls = 0
        self.end: Callable[[], None] = lambda: None

    # What the schemes are told.

    def value(self, goal: Goal) -> int | None:
        index = int(goal.path)
        assert index not in self.told, "a goal is looked at once a window"
        choices = (0, 10, goal.target_value, 3 * goal.target_value + 1, None)
        self.told[index] = self.world.random.choice(choices)
        return self.told[index]

    def eligible_bp(self, goal: Goal, matching: Sequence[MatchingBytes]) -> int | None:
        raise AssertionError("no scheme asks for it")

    def free_mem_permil(self) -> int | None:
        return self.world.free()

    # What the kdamond asks them.

    def start(self, attrs: Attrs, emit: Emit) -> None:
        self.schemes.start(attrs, emit)

    def change(self, attrs: Attrs, sis: int) -> None:
        raise AssertionError("nobody changes attributes")

    def next_due(self) -> int | None:
        return self.schemes.next_due()

    def finish(self) -> None:
        self.schemes.finish()

    def close(self) -> None:
        self.schemes.close()

    def wait_us(self) -> int:
        if self.clock.now_ns() >= HOUR_NS:
            self.end()
        free, waits = self.world.free(), [0] * (not self.books)
        for books in self.books:
            marks = books.scheme.watermarks
            if marks.metric is WatermarkMetric.FREE_MEM_RATE:
                if free > marks.high or free < marks.low:
                    books.active = False
                elif free < marks.mid:
                    books.active = True
            waits.append(0 if books.active else marks.interval_us)
        wait = self.schemes.wait_us()
        assert wait == min(waits)
        return wait

    def apply(
        self, targets: Sequence[Target], sis: int, valid: Callable[[Target], bool]
    ) -> Sequence[ResetAges]:
        self.pass_ns = self.clock.now_ns()
        self.told.clear()
        self.opened.clear()
        self.positions = {target.index: position for position, target in enumerate(targets)}
        self.due = [n for n, books in enumerate(self.books) if books.active and sis >= books.next_apply]
        for books in self.books:
            books.reached = (-1, 0)
        acted = self.schemes.apply(targets, sis, valid)
        for index in self.due:
            self.open_window(index)  # if nothing was asked of the actor
        if self.due:
            for books in self.books:
                if sis >= books.next_apply:
                    books.next_apply = sis + interval(books.scheme)
        return acted

    def commit(self, made: Sequence[Scheme]) -> None:
        self.schemes.commit(made)
        for books, scheme in zip(self.books, made, strict=True):
            books.scheme, books.active = scheme, True

    # What they ask.

    class Act:
        def __init__(self, checker: Checker) -> None:
            self._checker = checker

        def missing(self, request: ActionRequest) -> str | None:
            return None

        def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
            return self._checker.call(target, start, end, request)

        def close(self) -> None:
            """Nothing is open."""

    def call(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        index = request.target_nid
        books = self.books[index]
        scheme, size, position = books.scheme, end - start, self.positions[target.index]
        self.calls += 1
        assert index in self.due, "it is neither due nor held back by its watermarks"
        assert request.action is scheme.action
        (whole,) = target.ranges
        assert whole.start <= start < end <= whole.end
        assert start % PAGE == end % PAGE == 0
        assert (position, start) >= books.reached, "in the order of targets and addresses, nothing twice"
        books.reached = (position, end)
        assert size <= scheme.access_pattern.sz.max
        if scheme.max_nr_snapshots:
            assert self.schemes.status()[index].stats.nr_snapshots < scheme.max_nr_snapshots

        first = set()
        edges = {start, end - PAGE, *(a for f in scheme.core_filters for a in f.addr if start <= a < end)}
        for page in edges | {edge - PAGE for edge in edges if edge > start}:
            first.add(decision(scheme, position, page))
        assert len(first) == 1, "one part of it is decided otherwise than another"
        (allow,) = first
        if allow is None:
            assert scheme.ops_filters or not scheme.core_filters or not scheme.core_filters[-1].allow
            assert request.page_filters == scheme.ops_filters
            assert request.pages_allowed_by_default is not (
                bool(scheme.ops_filters) and scheme.ops_filters[-1].allow
            )
        else:
            assert allow
            assert (request.page_filters, request.pages_allowed_by_default) == ((), True)

        self.open_window(index)
        if books.limited:
            assert books.charged + size <= books.limit
            assert not scheme.quotas.ms or books.took_ns < scheme.quotas.ms * 1_000_000

        took = size // PAGE * NS_PER_PAGE
        until = self.clock.now_ns() + took
        while self.clock.now_ns() < until:  # a request may have interrupted the clock
            self.clock.wait_until(until)
        applied = 0 if scheme.action is Action.STAT else self.world.random.choice((0, size, size // 2))
        books.took_ns += took
        books.total_ns += took
        num, denom = scheme.quotas.fail_charge_num, scheme.quotas.fail_charge_denom
        books.charged += applied + (size - applied) * num // denom if denom else size
        books.stats.nr_tried += 1
        books.stats.sz_tried += size
        books.stats.sz_applied += applied
        books.stats.nr_applied += applied > 0
        return Applied(applied, size)

    def open_window(self, index: int) -> None:
        """Once a pass; by the time at which the pass began."""
        books = self.books[index]
        quota = books.scheme.quotas
        if index in self.opened:
            return
        self.opened.add(index)
        goals = [goal for goal in quota.goals if goal.target_value]
        over = (
            books.window_ns is None or self.pass_ns - books.window_ns >= quota.reset_interval_ms * 1_000_000
        )
        if not books.limited or not over:
            assert index not in self.told
            return
        full = books.limit - books.charged < PAGE or (quota.ms and books.took_ns >= quota.ms * 1_000_000)
        books.stats.qt_exceeds += books.window_ns is not None and bool(full)
        books.total += books.charged
        if books.took_ns:
            books.last_rate = books.charged * 1_000_000 // books.took_ns
        books.window_ns, books.charged, books.took_ns = self.pass_ns, 0, 0
        limits = [quota.bytes] if quota.bytes else []
        if quota.ms:
            rate = books.total * 1_000_000 // books.total_ns if books.total_ns else 1_024 * PAGE
            limits.append(max(max(rate, books.last_rate) * quota.ms, PAGE))
        for goal in goals:
            self.follow(books, goal, self.told[index])
            limits.append(books.wanted_bp // 10_000)
        books.limit = min(limits)

    @staticmethod
    def follow(books: Books, goal: Goal, told: int | None) -> None:
        if told is None:
            return
        score = told * 10_000 // goal.target_value
        quota = books.scheme.quotas
        if quota.goal_tuner is GoalTuner.TEMPORAL:
            books.wanted_bp = 0 if score >= 10_000 else quota.bytes * 10_000 or 2**64 - 1
        elif score >= 20_000:
            books.wanted_bp = 10_000
        else:
            last = max(books.wanted_bp, 10_000)
            step = (
                abs(score - 10_000) * last // 10_000
                if last < 2**50
                else abs(score - 10_000) * (last // 10_000)
            )
            books.wanted_bp = max(min(last + step if score < 10_000 else last - step, 2**64 - 1), 10_000)


def interval(scheme: Scheme) -> int:
    return (scheme.apply_interval_us or ATTRS.aggr_us) // SAMPLE_US


def decision(scheme: Scheme, position: int, page: int) -> bool | None:
    """Of the filters of regions on one page: the first that applies; None when none does."""
    for filter in scheme.core_filters:
        if filter.type is FilterType.TARGET:
            matches = position == filter.damon_target_idx
        else:
            matches = filter.addr.start <= page < filter.addr.end
        if matches == filter.matching:
            return filter.allow
    return None


class Until:
    """Lets the hour go by, commits what is to be committed, and looks at the regions."""

    def __init__(self, checker: Checker, kdamond: Kdamond, commits: Sequence[Sequence[Scheme]]) -> None:
        self._checker, self._kdamond = checker, kdamond
        self._commits = list(commits)

    def snapshot(self, snapshot: Snapshot) -> None:
        self._checker.world.stir()
        (whole,) = RANGES[snapshot.target]
        assert (snapshot.starts[0], snapshot.ends[-1]) == whole
        assert all(a == b for a, b in zip(snapshot.ends, snapshot.starts[1:], strict=False))
        assert all(start < end for start, end in zip(snapshot.starts, snapshot.ends, strict=True))
        if self._commits and self._checker.clock.now_ns() > HOUR_NS // 4:
            made = numbered(self._commits.pop())
            self._kdamond.call(lambda: self._checker.commit(made))

    def event(self, event: Event) -> None:
        assert event.name != "note", event.data


def numbered(made: Sequence[Scheme]) -> list[Scheme]:
    """So that each call of the actor says whose it is, and each look at a goal."""

    def goals(scheme: Scheme, index: int) -> tuple[Goal, ...]:
        return tuple(replace(goal, path=str(index)) for goal in scheme.quotas.goals)

    return [
        replace(scheme, target_nid=index, quotas=replace(scheme.quotas, goals=goals(scheme, index)))
        for index, scheme in enumerate(made)
    ]


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=12, deadline=None, phases=NO_SHRINKING)
@given(
    st.integers(1, 3).flatmap(
        lambda n: st.lists(st.lists(schemes, min_size=n, max_size=n), min_size=1, max_size=2)
    ),
    st.integers(0, 2**32),
    st.sampled_from(["damon", "adaptive", "census"]),
)
def test_an_hour_of_anything(made: list[list[Scheme]], seed: int, kind: str) -> None:
    world = World(seed)
    checker = Checker(numbered(made[0]), world)
    kdamond = Kdamond(
        Context(world.space, world.watch(kind), ATTRS, schemes=checker), world.clock, cpu_ns=lambda: 0
    )
    kdamond.bus.subscribe(Until(checker, kdamond, made[1:]))
    checker.end = kdamond.stop
    kdamond.run()
    assert kdamond.bus.failures == []
    for books, status in zip(checker.books, checker.schemes.status(), strict=True):
        assert not status.why or "cannot act" not in status.why
        books.stats.nr_snapshots = status.stats.nr_snapshots
        books.stats.sz_ops_filter_passed = books.stats.sz_tried
        assert status.stats == books.stats
