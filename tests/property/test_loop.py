"""The kdamond loop under anything that may happen to it between two calls of the sampler."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.fakes import Collector, FakeSampler, FakeSpace
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.damon import DamonPolicy
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch
from udamon.model import Range, Snapshot

PAGE = 4096
ATTRS = st.builds(
    lambda sample, ticks, update, low, more: Attrs(sample, sample * ticks, sample * update, low, low + more),
    st.integers(1, 5_000),
    st.integers(1, 30),
    st.integers(1, 100),
    st.integers(3, 20),
    st.integers(0, 80),
)


@st.composite
def range_lists(draw: st.DrawFn) -> list[Range]:
    ranges, at = [], draw(st.integers(0, 1_000))
    for _ in range(draw(st.integers(1, 4))):
        start = at + draw(st.integers(0, 50))
        at = start + draw(st.integers(1, 2_000))
        ranges.append(Range(start * PAGE, at * PAGE))
    return ranges


class Loop:
    """A kdamond that hands control to a script before every call of its sampler; its policy is one of both."""

    def __init__(self, attrs: Attrs, ranges: list[Range], seed: int) -> None:
        self.clock = ManualClock()
        self.space = FakeSpace(ranges)
        self.sampler = FakeSampler(self.clock, ranges[:1])
        policy = AdaptivePolicy() if seed % 2 else DamonPolicy(Random(seed))
        watch = SampledWatch(policy, self.sampler, Random(seed))
        self.kdamond = Kdamond(Context(self.space, watch, attrs), self.clock, cpu_ns=lambda: 0)
        self.seen = Collector()
        self.kdamond.bus.subscribe(self.seen)


@dataclass
class Rude:
    """Raises at the given snapshots."""

    at: int
    calls: int = field(default=0)

    def snapshot(self, snapshot: Snapshot) -> None:
        self.calls += 1
        if self.calls >= self.at:
            raise RuntimeError("rude")

    def event(self, event: object) -> None:
        """Events are fine."""


ACTIONS = st.one_of(
    st.tuples(st.just("ranges"), range_lists()),
    st.tuples(st.just("attrs"), ATTRS),
    st.tuples(st.just("target"), range_lists()),
    st.tuples(st.just("interrupt"), st.none()),
    st.tuples(st.just("late"), st.integers(1, 10**9)),
    st.tuples(st.just("rude"), st.integers(1, 3)),
    st.tuples(st.just("nothing"), st.none()),
)


def act(loop: Loop, action: tuple[str, object]) -> None:
    name, value = action
    if name == "ranges":
        loop.space.ranges[0] = list(value)  # type: ignore[call-overload]
    elif name == "attrs":
        loop.kdamond.call(lambda: loop.kdamond.change_attrs(value, "test"))  # type: ignore[arg-type]
    elif name == "target" and len(loop.space.ranges) < 4:
        loop.space.ranges.append(list(value))  # type: ignore[call-overload]
    elif name == "interrupt":
        loop.clock.interrupt()
    elif name == "late":
        loop.clock.wait_until(loop.clock.now_ns() + value)  # type: ignore[operator]
    elif name == "rude":
        loop.kdamond.bus.subscribe(Rude(value))  # type: ignore[arg-type]


def check(loop: Loop) -> None:
    """What holds of any run: windows in order, regions sorted and whole, counts within their ticks."""
    last_end: dict[int, int] = {}
    last_seq = -1
    for s in loop.seen.snapshots:
        assert s.begin_ns < s.end_ns
        assert s.begin_ns >= last_end.get(s.target, 0), "windows of a target do not overlap"
        last_end[s.target] = s.end_ns
        assert s.seq >= last_seq
        last_seq = s.seq
        assert all(start < end for start, end in zip(s.starts, s.ends, strict=True))
        assert all(end <= start for end, start in zip(s.ends, s.starts[1:], strict=False))
        assert all(nr <= s.ticks for nr in s.nr_accesses)
    assert all(type(error) is RuntimeError for _, error in loop.kdamond.bus.failures)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
@given(ATTRS, range_lists(), st.lists(ACTIONS, max_size=40), st.integers(0, 2**32))
def test_whatever_happens_the_loop_goes_on_until_it_is_stopped(
    attrs: Attrs, ranges: list[Range], actions: list[tuple[str, object]], seed: int
) -> None:
    loop = Loop(attrs, ranges, seed)
    script = iter(actions)

    def step(number: int) -> None:
        action = next(script, None)
        if action is None:
            loop.kdamond.stop()
        else:
            act(loop, action)

    loop.sampler.on_call = step
    loop.kdamond.run()
    assert len(loop.sampler.calls) == len(actions) + 1, "no call too many after the stop"
    assert loop.space.closed
    check(loop)


class LoopMachine(RuleBasedStateMachine):
    """The same as a state machine: each rule is what happens before one more call of the sampler.

    The loop owns control while it runs, so each step replays the history on a fresh loop; a seed makes it the
    same one, and the snapshots that were there before must be there again.
    """

    @initialize(attrs=ATTRS, ranges=range_lists(), seed=st.integers(0, 2**32))
    def start(self, attrs: Attrs, ranges: list[Range], seed: int) -> None:
        self.made = (attrs, ranges, seed)
        self.history: list[tuple[str, object]] = []
        self.snapshots: list[Snapshot] = []

    @precondition(lambda self: len(self.history) < 25)
    @rule(action=ACTIONS)
    def happen(self, action: tuple[str, object]) -> None:
        self.history.append(action)
        loop = Loop(*self.made)
        script = iter(self.history)

        def step(number: int) -> None:
            following = next(script, None)
            if following is None:
                loop.kdamond.stop()
            else:
                act(loop, following)

        loop.sampler.on_call = step
        loop.kdamond.run()
        check(loop)
        assert loop.seen.snapshots[: len(self.snapshots)] == self.snapshots, "the past does not change"
        self.snapshots = loop.seen.snapshots

    @invariant()
    def no_snapshot_is_lost(self) -> None:
        seqs = sorted({s.seq for s in getattr(self, "snapshots", [])})
        assert seqs == list(range(len(seqs)))


TestLoopMachine = LoopMachine.TestCase
TestLoopMachine.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)


def test_stop_before_the_start_ends_at_once() -> None:
    loop = Loop(Attrs(), [Range(0, 1 << 20)], 1)
    loop.kdamond.stop()
    loop.kdamond.run()
    assert loop.sampler.calls == []
    assert loop.seen.snapshots == []
