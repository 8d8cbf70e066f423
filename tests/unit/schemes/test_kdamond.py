"""Schemes in the kdamond's loop: order, due times, what they do to regions of each kind of watch, requests, resting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from tests.unit.actors import ALL, COLD, Numbers, Recorder
from tests.unit.fakes import Collector, FakeCensus, FakeSampler, FakeSpace
from tests.unit.simulated import BASE, Island, Memory, Simulation
from udamon.acting.base import Applied
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock, MonotonicClock
from udamon.core.damon import DamonPolicy
from udamon.core.policy import RegionPolicy
from udamon.core.scheme import (
    ANY_COUNT,
    ANY_SIZE,
    AccessPattern,
    Action,
    Bounds,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
)  # fmt: skip
from udamon.core.tried import TriedRegions
from udamon.engine.census_watch import CensusWatch
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.watch import SampledWatch, Watch
from udamon.errors import CannotError, UsageError
from udamon.model import Range, Snapshot
from udamon.ops.base import Touched
from udamon.schemes import Schemes

MIB, PAGE = 1 << 20, 4096
ATTRS = Attrs(update_us=1_000_000)
OLD = AccessPattern(ANY_SIZE, Bounds(0, 0), Bounds(5, ANY_COUNT.max))


class Rig:
    """A kdamond over a fake space of 64 MiB whose first 16 MiB are hot."""

    def __init__(
        self,
        *schemes: Scheme,
        policy: RegionPolicy | None = None,
        census: FakeCensus | None = None,
        attrs: Attrs = ATTRS,
        numbers: Numbers | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.space = FakeSpace([Range(0, 64 * MIB)])
        self.sampler = FakeSampler(self.clock, [Range(0, 16 * MIB)])
        self.watch: Watch = (
            CensusWatch(census, self.clock)
            if census is not None
            else SampledWatch(policy or DamonPolicy(Random(1)), self.sampler, Random(2))
        )
        self.actor, self.numbers = Recorder(), numbers or Numbers()
        self.schemes = Schemes(schemes, self.actor, self.numbers, self.clock.now_ns)
        context = Context(self.space, self.watch, attrs, schemes=self.schemes)
        self.kdamond = Kdamond(context, self.clock, cpu_ns=lambda: 0)
        self.seen = Collector()
        self.kdamond.bus.subscribe(self.seen)

    def run(self, snapshots: int, each: Callable[[Snapshot], None] = lambda snapshot: None) -> list[Snapshot]:
        rig = self

        class Until(Collector):
            def snapshot(self, snapshot: Snapshot) -> None:
                each(snapshot)
                if snapshot.seq + 1 >= snapshots:
                    rig.kdamond.stop()

        self.kdamond.bus.subscribe(Until())
        self.kdamond.run()
        assert self.kdamond.bus.failures == []
        return self.seen.snapshots


def ages(snapshot: Snapshot, where: Range) -> set[int]:
    """Of the regions that lie wholly in a range."""
    rows = zip(snapshot.starts, snapshot.ends, snapshot.ages, strict=True)
    return {age for start, end, age in rows if where.start <= start and end <= where.end}


def test_a_scheme_is_due_at_each_aggregation_and_snapshots_show_what_it_began_anew() -> None:
    rig = Rig(Scheme(COLD, Action.PAGEOUT))
    snapshots = rig.run(5)
    stats = rig.schemes.status()[0].stats
    assert stats.nr_tried == len(rig.actor.calls) > 0
    assert stats.nr_snapshots == 5
    assert stats.sz_tried == stats.sz_applied == sum(end - start for _, start, end, _ in rig.actor.calls)
    for snapshot in snapshots:
        rows = zip(snapshot.nr_accesses, snapshot.ages, strict=True)
        assert {age for nr, age in rows if nr == 0} == {0}
    assert rig.actor.closed
    assert rig.seen.events[-1].name == "schemes"


def test_stretches_end_where_a_scheme_is_due() -> None:
    rig = Rig(Scheme(ALL, apply_interval_us=35_000))
    rig.run(2)
    assert [ticks for _, ticks in rig.sampler.calls[:6]] == [7, 7, 6, 1, 7, 7]
    assert rig.schemes.status()[0].stats.nr_snapshots == 5


def test_without_schemes_stretches_are_whole() -> None:
    rig = Rig()
    rig.run(3)
    assert [ticks for _, ticks in rig.sampler.calls] == [20, 20, 20]
    assert not [e for e in rig.seen.events if e.name == "schemes"]


def test_in_mid_aggregation_the_moving_sum_counts() -> None:
    """A quarter into an aggregation nr_accesses is a quarter: a scheme of what is always accessed still matches."""
    always = AccessPattern(ANY_SIZE, Bounds(20, 20), ANY_COUNT)
    rig = Rig(Scheme(always, apply_interval_us=25_000))
    tried: list[tuple[int, int]] = []  # when, and how many bytes

    def count(snapshot: Snapshot) -> None:
        tried.append((snapshot.seq, sum(end - start for _, start, end, _ in rig.actor.calls)))
        rig.actor.calls.clear()

    snapshots = rig.run(30, count)
    for seq, size in tried[20:]:
        rows = zip(snapshots[seq].starts, snapshots[seq].ends, snapshots[seq].nr_accesses, strict=True)
        hot = sum(end - start for start, end, nr in rows if nr == 20)
        # Four passes an aggregation; those in its middle see regions that were split since the snapshot before.
        assert size == pytest.approx(4 * hot, rel=0.3)
        assert size > 3 * hot


def test_changed_attributes_change_what_is_due() -> None:
    rig = Rig(Scheme(ALL))
    new = replace(ATTRS, sample_us=10_000, aggr_us=400_000)
    rig.run(
        4, lambda s: rig.kdamond.call(lambda: rig.kdamond.change_attrs(new, "asked")) if s.seq == 1 else None
    )
    assert rig.schemes.status()[0].stats.nr_snapshots == 4


def test_time_that_acting_takes_is_not_made_up_for_in_a_hurry() -> None:
    rig = Rig(Scheme(ALL, Action.PAGEOUT, quotas=Quota(bytes=PAGE, reset_interval_ms=10**6)))

    def slow(target: object, start: int, end: int) -> Applied:
        rig.clock.wait_until(rig.clock.now_ns() + 730_000_000)
        return Applied(end - start, end - start)

    rig.actor.answer = slow
    snapshots = rig.run(3)
    assert [begin for begin, _ in rig.sampler.calls] == [0, 830_000_000, 930_000_000]
    windows = [(s.begin_ns, s.end_ns) for s in snapshots]
    assert windows == [(0, 100_000_000), (830_000_000, 930_000_000), (930_000_000, 1_030_000_000)]


# The policy adaptive makes its regions anew each time.


def adaptive_rig(size: int, *schemes: Scheme) -> tuple[Simulation, Recorder, Callable[[], None]]:
    """Pages 0 to 512 of `size` are hot; schemes apply after each aggregation, as the kdamond has it."""
    simulation = Simulation(Memory(size, Island(0, 512)))
    actor, clock = Recorder(), ManualClock()
    acting = Schemes(schemes, actor, Numbers(), clock.now_ns)
    acting.start(simulation.attrs, lambda name, data: None)
    passed = 0

    def step() -> None:
        nonlocal passed
        simulation.aggregate()
        passed += simulation.attrs.max_nr_accesses
        clock.wait_until(clock.now_ns() + 100_000_000)
        for target, start, end in acting.apply(simulation.targets, passed, lambda target: True):
            simulation.policy.reset_age(target, start, end)

    return simulation, actor, step


def test_adaptive_keeps_the_ages_that_a_scheme_began_anew() -> None:
    _, actor, step = adaptive_rig(8192, Scheme(OLD, Action.PAGEOUT))
    acted = []
    for _ in range(40):
        step()
        acted.append(sum(end - start for start, end in actor.ranges()))
    often = [n for n, size in enumerate(acted) if size > 6000 * PAGE]
    assert len(often) >= 4
    # Acted on at age 5, an age is 0 then, 1 after the next aggregation, and 5 again after five.
    assert all(b - a >= 5 for a, b in pairwise(often)), acted
    assert sum(acted) < 40 / 4.5 * 8192 * PAGE


def test_adaptive_keeps_a_small_part_that_a_quota_cut_out() -> None:
    """Eight pages of 7680 in a single window: they begin anew, and the rest goes on ageing. One of them may turn out to
    be hot: it lies where that was not known well enough."""
    scheme = Scheme(OLD, Action.PAGEOUT, quotas=Quota(bytes=8 * PAGE, reset_interval_ms=10**9))
    simulation, actor, step = adaptive_rig(8192, scheme)
    acted: list[tuple[int, int]] = []
    while not acted:
        step()
        acted = actor.ranges()
    (start, end) = acted[0]
    assert end - start == 8 * PAGE
    for _ in range(25):
        step()
    regions = simulation.targets[0].regions
    assert [r.age for r in regions if start <= r.start < r.end <= end and r.nr_accesses == 0] == [25]
    assert {
        r.age for r in regions if r.end > end and r.nr_accesses == 0 and r.start > (BASE + 1024) * PAGE
    } != {25}
    assert max(r.age for r in regions) >= 30


def test_adaptive_is_right_when_it_is_applied_to_in_mid_aggregation() -> None:
    """Between aggregations its regions are those of the last one: what was acted on is not old then."""
    rig = Rig(Scheme(OLD, Action.PAGEOUT, apply_interval_us=25_000), policy=AdaptivePolicy(checks=200))
    rig.run(30)
    sizes = sum(end - start for _, start, end, _ in rig.actor.calls)
    assert 0 < sizes <= 48 * MIB * 30 / 4.5


# A census has a region a mapping.


def test_a_census_shows_the_counts_that_schemes_go_by() -> None:
    census = FakeCensus()
    census.seen[0] = [Touched(0, MIB, MIB, MIB), Touched(2 * MIB, 4 * MIB, MIB, 0)]
    rig = Rig(Scheme(COLD, Action.PAGEOUT), census=census)
    rig.run(3)
    assert {(start, end) for _, start, end, _ in rig.actor.calls} == {(2 * MIB, 4 * MIB)}


def test_parts_of_a_mapping_keep_ages_and_bytes_of_their_own() -> None:
    census = FakeCensus()
    census.seen[0] = [Touched(0, MIB, MIB, MIB), Touched(2 * MIB, 6 * MIB, 3 * MIB, 4_001)]
    pattern = AccessPattern(ANY_SIZE, Bounds(0, 10), Bounds(5, ANY_COUNT.max))
    quota = Quota(bytes=MIB, reset_interval_ms=10**6)
    rig = Rig(Scheme(pattern, Action.PAGEOUT, quotas=quota), census=census)
    snapshots = rig.run(12)
    assert [(start, end) for _, start, end, _ in rig.actor.calls] == [(2 * MIB, 3 * MIB)]
    for snapshot in snapshots:
        assert sum(snapshot.touched) == MIB + 4_001
        assert snapshot.resident is not None
        assert sum(snapshot.resident) == 4 * MIB
    last = snapshots[-1]
    assert list(zip(last.starts, last.ends, strict=True)) == [
        (0, MIB),
        (2 * MIB, 3 * MIB),
        (3 * MIB, 6 * MIB),
    ]
    assert list(last.ages) == [11, 6, 11]
    assert last.nr_accesses[1] == last.nr_accesses[2]


def test_parts_of_a_mapping_stay_few() -> None:
    census = FakeCensus()
    census.seen[0] = [Touched(0, 1000 * PAGE, 1000 * PAGE, 0)]
    rig = Rig(Scheme(COLD, Action.PAGEOUT, quotas=Quota(bytes=PAGE)), census=census)
    snapshots = rig.run(400)
    assert len({(start, end) for _, start, end, _ in rig.actor.calls}) == 400, (
        "page by page through the mapping"
    )
    assert max(len(s) for s in snapshots) < 60
    assert all(s.ends[-1] - s.starts[0] == 1000 * PAGE for s in snapshots)


def test_a_mapping_that_grows_keeps_its_parts() -> None:
    census = FakeCensus()
    census.seen[0] = [Touched(0, 4 * MIB, 4 * MIB, 0)]
    rig = Rig(Scheme(OLD, Action.PAGEOUT, quotas=Quota(bytes=MIB, reset_interval_ms=10**6)), census=census)

    def grow(snapshot: Snapshot) -> None:
        if snapshot.seq == 8:
            census.seen[0] = [Touched(0, 6 * MIB, 6 * MIB, 0)]

    last = rig.run(12, grow)[-1]
    assert list(zip(last.starts, last.ends, last.ages, strict=True)) == [(0, MIB, 7), (MIB, 6 * MIB, 12)]


# Requests and resting.


FREE = Watermarks(WatermarkMetric.FREE_MEM_RATE, 5_000_000, 500, 400, 200)


def test_it_rests_until_a_watermark_opens() -> None:
    rig = Rig(Scheme(ALL, Action.PAGEOUT, watermarks=FREE), numbers=Numbers(free=800))
    looked = 0

    def free() -> int:
        nonlocal looked
        looked += 1
        return 800 if looked <= 3 else 300

    rig.numbers.free_mem_permil = free  # type: ignore[method-assign]
    first = rig.run(2)[0]
    assert first.begin_ns == 15_000_000_000, "three intervals of 5 s, of which nothing is in the window"
    assert first.end_ns - first.begin_ns == 100_000_000
    assert rig.actor.calls


def test_a_census_forgets_what_it_prepared_before_it_rested() -> None:
    census = FakeCensus()
    census.seen[0] = [Touched(0, MIB, MIB, 0)]
    rig = Rig(Scheme(ALL, watermarks=FREE), census=census, numbers=Numbers(free=300))

    def rest(snapshot: Snapshot) -> None:
        looks = iter([900, 900, 300])
        if snapshot.seq == 1:
            rig.numbers.free_mem_permil = lambda: next(looks, 300)  # type: ignore[method-assign]

    windows = [(s.begin_ns, s.end_ns) for s in rig.run(3, rest)]
    assert windows[2] == (windows[1][1] + 10_000_000_000, windows[1][1] + 10_100_000_000)


def test_it_ends_with_its_targets_while_it_rests() -> None:
    rig = Rig(Scheme(ALL, watermarks=FREE), numbers=Numbers(free=800))
    looked = 0

    def free() -> int:
        nonlocal looked
        looked += 1
        rig.space.alive = looked < 4
        return 800

    rig.numbers.free_mem_permil = free  # type: ignore[method-assign]
    rig.kdamond.run()
    assert rig.sampler.calls == []


class Live:
    """The same on a thread and by the machine's clock."""

    def __init__(self, *schemes: Scheme, numbers: Numbers | None = None) -> None:
        clock = MonotonicClock()
        self.census = FakeCensus()
        self.census.seen[0] = [Touched(0, MIB, MIB, 0)]
        self.schemes = Schemes(schemes, Recorder(), numbers or Numbers(), clock.now_ns)
        attrs = Attrs(1_000, 20_000, 1_000_000)
        context = Context(
            FakeSpace([Range(0, MIB)]), CensusWatch(self.census, clock), attrs, schemes=self.schemes
        )
        self.kdamond = Kdamond(context, clock)
        self.kdamond.start()

    def end(self) -> None:
        self.kdamond.stop()
        assert self.kdamond.join(10)


def test_other_threads_ask_and_commit_while_it_runs() -> None:
    live = Live(Scheme(ALL, quotas=Quota(bytes=PAGE)))
    answered = threading.Event()
    found: list[Sequence[TriedRegions] | None] = []

    def tell(tried: Sequence[TriedRegions] | None) -> None:
        found.append(tried)
        answered.set()

    live.kdamond.ask(lambda: live.schemes.walk(tell))
    assert answered.wait(10)
    assert found[0] is not None
    assert found[0][0].total_bytes == PAGE
    live.kdamond.ask(lambda: live.schemes.commit([Scheme(COLD), Scheme(ALL)]))
    statuses = live.kdamond.ask(live.schemes.status)
    assert [s.scheme for s in statuses] == [Scheme(COLD), Scheme(ALL)]
    assert statuses[0].stats.nr_tried > 0

    def wrong() -> None:
        raise UsageError("no such thing.")

    with pytest.raises(UsageError, match="no such thing"):
        live.kdamond.ask(wrong)
    live.end()
    with pytest.raises(CannotError, match="has ended"):
        live.kdamond.ask(live.schemes.status)


def test_requests_are_served_while_it_rests_and_a_commit_wakes_it() -> None:
    live = Live(Scheme(ALL, watermarks=replace(FREE, interval_us=3_600_000_000)), numbers=Numbers(free=900))
    assert live.kdamond.ask(live.schemes.status)[0].stats.nr_tried == 0
    live.kdamond.ask(lambda: live.schemes.commit([Scheme(ALL)]))
    answered = threading.Event()
    live.kdamond.ask(lambda: live.schemes.walk(lambda tried: answered.set()))
    assert answered.wait(10)
    assert live.kdamond.ask(live.schemes.status)[0].stats.nr_tried > 0
    live.end()


def test_an_actor_that_breaks_does_not_break_the_monitor() -> None:
    rig = Rig(Scheme(ALL, Action.PAGEOUT))

    def broken(target: object, start: int, end: int) -> None:
        raise ZeroDivisionError("a mistake")

    rig.actor.answer = broken  # type: ignore[assignment]
    assert len(rig.run(3)) == 3
    assert [e.data["text"] for e in rig.seen.events if e.name == "note"] == [
        "scheme 0 (pageout) leaves target 0 alone from now on: a mistake"
    ]
