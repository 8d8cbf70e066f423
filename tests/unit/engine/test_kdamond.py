"""The kdamond loop on a manual clock: order, intervals, requests, stopping, subscribers that fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from tests.unit.fakes import Collector, FakeCensus, FakeSampler, FakeSpace
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.damon import DamonPolicy
from udamon.core.target import Target
from udamon.engine.census_watch import CensusWatch
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.refusals import PATIENCE
from udamon.engine.tuner import CensusBudget
from udamon.engine.watch import SampledWatch
from udamon.errors import CannotError, NotPermitted, NotSupported, OutOfFiles, PauseTooLong
from udamon.model import Event, Range, Snapshot
from udamon.ops.base import Touched

MIB = 1 << 20
ATTRS = Attrs(update_us=1_000_000)


class Rig:
    """A kdamond over a fake space of 64 MiB whose first 16 MiB are hot."""

    def __init__(self, attrs: Attrs = ATTRS, targets: int = 1) -> None:
        self.clock = ManualClock(5_000)
        self.space = FakeSpace(*[[Range(0, 64 * MIB)]] * targets)
        self.sampler = FakeSampler(self.clock, [Range(0, 16 * MIB)])
        watch = SampledWatch(DamonPolicy(Random(1)), self.sampler, Random(2))
        self.kdamond = Kdamond(Context(self.space, watch, attrs), self.clock, cpu_ns=lambda: 0)
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


def test_one_call_an_aggregation_and_absolute_windows() -> None:
    rig = Rig()
    rig.run(5)
    assert [ticks for _, ticks in rig.sampler.calls[:5]] == [20] * 5
    windows = [(s.begin_ns, s.end_ns) for s in rig.seen.snapshots]
    assert windows == [(5_000 + k * 10**8, 5_000 + (k + 1) * 10**8) for k in range(5)]
    assert [s.seq for s in rig.seen.snapshots] == [0, 1, 2, 3, 4]
    assert rig.space.closed


def test_hot_bytes_are_found_and_age() -> None:
    rig = Rig()
    rig.run(30)
    last = rig.seen.snapshots[-1]
    hot = [
        (end - start, age)
        for start, end, nr, age in zip(last.starts, last.ends, last.nr_accesses, last.ages, strict=True)
        if nr >= 10
    ]
    assert sum(size for size, _ in hot) == pytest.approx(16 * MIB, rel=0.15)
    assert max(age for _, age in hot) > 10


def test_updates_fall_on_their_interval_and_not_in_between() -> None:
    rig = Rig(replace(ATTRS, update_us=250_000))
    rig.run(9)
    # 20 ticks are an aggregation, 50 an update: stretches end at 20, 40, 50, 60, 80, 100, 120, 140, 150.
    assert [ticks for _, ticks in rig.sampler.calls[:6]] == [20, 20, 10, 10, 20, 20]
    assert rig.space.updates == 1 + 3


def test_regions_follow_ranges_at_the_next_update() -> None:
    rig = Rig()
    rig.sampler.on_call = lambda number: (
        rig.space.ranges.__setitem__(0, [Range(0, 32 * MIB)]) if number == 3 else None
    )
    rig.run(15)
    assert rig.seen.snapshots[8].ends[-1] == 64 * MIB
    assert rig.seen.snapshots[11].ends[-1] == 32 * MIB


def test_no_valid_target_ends_the_loop() -> None:
    rig = Rig()
    rig.sampler.on_call = lambda number: setattr(rig.space, "alive", number < 3)
    rig.kdamond.run()
    assert len(rig.sampler.calls) == 3
    empty = FakeSpace()
    clock = ManualClock()
    watch = SampledWatch(DamonPolicy(Random(1)), FakeSampler(clock), Random(2))
    Kdamond(Context(empty, watch, ATTRS), clock).run()


def test_requests_run_between_ticks_and_may_change_attributes() -> None:
    rig = Rig()
    new = replace(ATTRS, sample_us=10_000, aggr_us=200_000)
    rig.sampler.on_call = lambda number: (
        rig.kdamond.call(lambda: rig.kdamond.change_attrs(new, "asked")) if number == 3 else None
    )
    rig.run(8)
    assert rig.sampler.calls[3][1] == 20
    sizes = {s.end_ns - s.begin_ns for s in rig.seen.snapshots}
    assert sizes == {10**8, 2 * 10**8}
    assert [e.data["why"] for e in rig.seen.events if e.name == "attrs"] == ["asked"]


def test_stop_ends_the_stretch_at_once() -> None:
    rig = Rig()
    rig.sampler.on_call = lambda number: rig.kdamond.stop() if number == 2 else None
    rig.kdamond.run()
    assert len(rig.sampler.calls) == 2
    assert len(rig.seen.snapshots) == 1, "the interrupted aggregation is not reported as a whole one"


def test_stopped_with_a_window_it_tells_nothing_of_the_next() -> None:
    """However long preparing the next one takes: a census answers early, so what is cut short would be published."""

    class Enough(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            super().snapshot(snapshot)
            rig.kdamond.stop(after_window=True)
            for _ in range(2):  # the first wait is the one that stopping interrupts
                rig.clock.wait_until(rig.clock.now_ns() + 10**9)

    rig = Rig()
    rig.kdamond.context.watch.answers_early = True  # as a census does
    rig.kdamond.bus.subscribe(Enough())
    rig.kdamond.run()
    assert [s.seq for s in rig.seen.snapshots] == [0]


def test_a_subscriber_that_raises_is_dropped_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            raise OSError("disk full")

    rig = Rig()
    broken = Broken()
    rig.kdamond.bus.subscribe(broken)
    rig.run(3)
    assert len(rig.seen.snapshots) == 3
    assert [(type(s), str(e)) for s, e in rig.kdamond.bus.failures] == [(Broken, "disk full")]
    assert [e.data["why"] for e in rig.seen.events if e.name == "subscriber"] == ["disk full"]
    assert "disk full" in caplog.text


def test_an_error_on_the_thread_reaches_join() -> None:
    rig = Rig()

    def fail(number: int) -> None:
        raise ValueError("broken sampler")

    rig.sampler.on_call = fail
    rig.kdamond.start()
    with pytest.raises(ValueError, match="broken sampler"):
        rig.kdamond.join(10)


def test_several_contexts_run_side_by_side() -> None:
    rigs = [Rig(), Rig()]
    for number, rig in enumerate(rigs):
        rig.kdamond.name = f"kdamond.{number}"
        rig.sampler.on_call = lambda n, rig=rig: rig.kdamond.stop() if n > 10 else None  # type: ignore[misc]
        rig.kdamond.start()
    for rig in rigs:
        assert rig.kdamond.join(30)
        assert len(rig.seen.snapshots) == 10


class Then(Collector):
    """Does something at each snapshot."""

    def __init__(self, do: Callable[[], None]) -> None:
        super().__init__()
        self._do = do

    def snapshot(self, snapshot: Snapshot) -> None:
        self._do()


@pytest.mark.parametrize("sampled", [True, False])
def test_who_was_forked_is_in_the_next_window(sampled: bool) -> None:
    """Long before the next update, which is due after ten windows."""
    rig: Rig | CensusRig = Rig() if sampled else CensusRig()
    rig.space.forks = [[Range(0, MIB)], [Range(0, MIB)]]
    if isinstance(rig, Rig):
        rig.run(4)
    else:
        rig.stop_after(4)
        rig.kdamond.run()
    assert [(s.seq, s.target) for s in rig.seen.snapshots if s.target] == [
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 2),
    ]
    assert rig.space.updates == 1


class CensusRig:
    def __init__(self, targets: int = 1, budget: CensusBudget | None = None) -> None:
        self.clock = ManualClock()
        self.space = FakeSpace(*[[Range(0, MIB)]] * targets)
        self.census = FakeCensus()
        self.cpu = 0
        watch = CensusWatch(self.census, self.clock)
        self.kdamond = Kdamond(
            Context(self.space, watch, ATTRS), self.clock, tuner=budget, cpu_ns=lambda: self.cpu
        )
        self.seen = Collector()
        self.kdamond.bus.subscribe(self.seen)

    def stop_after(self, snapshots: int) -> None:
        rig = self

        class Stop(Collector):
            def snapshot(self, snapshot: Snapshot) -> None:
                if snapshot.seq + 1 >= snapshots:
                    rig.kdamond.stop()

        self.kdamond.bus.subscribe(Stop())


def test_census_counts_the_touched_share_rounded_up() -> None:
    rig = CensusRig()
    rig.census.seen[0] = [
        Touched(0, 1000, 1000, 10),
        Touched(2000, 3000, 500, 500),
        Touched(5000, 6000, 10, 0),
    ]
    rig.stop_after(3)
    rig.kdamond.run()
    last = rig.seen.snapshots[-1]
    assert list(last.nr_accesses) == [1, 20, 0]
    assert list(last.touched) == [10, 500, 0]
    assert last.resident is not None
    assert list(last.resident) == [1000, 500, 10]
    assert list(last.ages) == [2, 2, 3], "from nothing to something the age begins anew"


@pytest.mark.parametrize("look_ms", [0, 5, 10, 11, 60, 99, 250])
@pytest.mark.parametrize("targets", [1, 3])
def test_windows_are_nine_tenths_of_the_aggregation_however_long_looking_takes(
    look_ms: int, targets: int
) -> None:
    """ATTRS has 100 ms. Where it takes little, the schedule stays as it is."""
    rig = CensusRig(targets)
    look = rig.census.look

    def long(target: Target) -> list[Touched]:
        rig.clock.wait_until(rig.clock.now_ns() + look_ms * 10**6 // targets)
        return look(target)

    rig.census.look = long  # type: ignore[method-assign]
    rig.stop_after(5)
    rig.kdamond.run()
    windows = [snapshot.end_ns - snapshot.begin_ns for snapshot in rig.seen.snapshots]
    assert len(windows) == 5 * targets
    assert min(windows) >= 90 * 10**6
    begins = [one.begin_ns for one in rig.seen.snapshots if one.target == 0]
    period = (begins[-1] - begins[1]) / 3
    assert period == pytest.approx((100 if look_ms <= 10 else 100 + look_ms) * 10**6, abs=10)


def test_who_accessed_most_of_its_memory_is_looked_at_first() -> None:
    """As the last window told; snapshots stay in the order of the targets."""
    rig = CensusRig(targets=3)
    for target, touched in enumerate((0, 900, 500)):
        rig.census.seen[target] = [Touched(0, 1000, 1000, touched)]
    looked: list[int] = []
    look = rig.census.look

    def remembered(target: Target) -> list[Touched]:
        looked.append(target.index)
        return look(target)

    rig.census.look = remembered  # type: ignore[method-assign]
    rig.stop_after(2)
    rig.kdamond.run()
    assert looked == [0, 1, 2, 1, 2, 0]
    assert [shot.target for shot in rig.seen.snapshots] == [0, 1, 2, 0, 1, 2]


def test_census_keeps_the_age_of_a_mapping_that_grows() -> None:
    rig = CensusRig()
    rig.census.seen[0] = [Touched(0, 1000, 1000, 0)]
    rig.stop_after(4)
    rig.kdamond.bus.subscribe(Then(lambda: rig.census.seen.update({0: [Touched(0, 2000, 2000, 0)]})))
    rig.kdamond.run()
    assert list(rig.seen.snapshots[-1].ends) == [2000]
    assert list(rig.seen.snapshots[-1].ages) == [4]


def test_census_of_a_target_that_died_takes_no_snapshot_of_it() -> None:
    rig = CensusRig(targets=2)
    rig.stop_after(3)
    rig.kdamond.bus.subscribe(Then(lambda: rig.census.gone.add(0)))
    rig.kdamond.run()
    assert [(s.seq, s.target) for s in rig.seen.snapshots] == [(0, 0), (0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("error", [NotPermitted, OutOfFiles])
def test_a_window_that_could_not_be_looked_at_is_counted(error: type[CannotError]) -> None:
    """The second window of target 0 is skipped; nothing else is, and its end is no skipped window."""
    rig = CensusRig(targets=2)
    rig.stop_after(6)
    steps = iter([{0: error("no.")}, {}, {}, {}])

    class Steps(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            if snapshot.target == 1:
                rig.census.refused = next(steps, {})
                if snapshot.seq == 4:
                    rig.census.gone.add(0)

    rig.kdamond.bus.subscribe(Steps())
    rig.kdamond.run()
    of_first = [s.seq for s in rig.seen.snapshots if s.target == 0]
    assert len(of_first) == 5 - rig.kdamond.skipped
    assert rig.kdamond.skipped == 1


def test_census_budget_chooses_the_interval_that_pays_its_cost() -> None:
    budget = CensusBudget(0.01)
    assert budget.interval_us(35_000_000) == 3_500_000  # 35 ms each 3.5 s are 1 %
    assert budget.interval_us(10) == 100_000
    assert budget.interval_us(2_000_000_000) == 200_000_000
    assert budget.interval_us(10**12) == 3_600_000_000
    assert CensusBudget(0.0).interval_us(1) == 3_600_000_000


def test_census_budget_says_when_one_census_is_more_than_its_share_of_ten_seconds() -> None:
    assert CensusBudget(0.01).why(100_000_000) == "overhead 1.00%"
    assert CensusBudget(0.01).why(220_000_000) == "overhead 1.00%, though 0.22 s of it at once"


def test_census_budget_lengthens_at_once_and_shortens_with_patience() -> None:
    rig = CensusRig(budget=CensusBudget(0.01))
    costs = iter([5_000_000] * 3 + [1_000_000] * 20)

    class Spend(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            rig.cpu += next(costs)

    rig.kdamond.bus.subscribe(Spend())
    rig.stop_after(14)
    rig.kdamond.run()
    windows = [round((s.end_ns - s.begin_ns) / 1e6) for s in rig.seen.snapshots]
    assert windows[0] == 100
    assert windows[1:7] == [500] * 6
    assert windows[-1] == 100


def test_census_exposes_what_it_prepared_once_for_all() -> None:
    """Not target by target: a visit of a processor serves all of them. Those that ended are left out."""
    rig = CensusRig(targets=3)
    rig.census.gone.add(1)
    rig.stop_after(2)
    rig.kdamond.run()
    assert rig.census.exposed == [[0, 2]] * 3


def test_what_the_targets_lose_belongs_to_the_budget() -> None:
    """40 ms of a target in each window make windows of 4 s, though the monitor itself took nothing."""
    rig = CensusRig(budget=CensusBudget(0.01))

    class Lose(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            rig.census.pauses.cost_ns += 40_000_000

    rig.kdamond.bus.subscribe(Lose())
    rig.stop_after(3)
    rig.kdamond.run()
    windows = [round((s.end_ns - s.begin_ns) / 1e6) for s in rig.seen.snapshots]
    assert windows == [100, 4000, 4000]
    assert rig.kdamond.target_cost_ns == 3 * 40_000_000


def notes(rig: Rig | CensusRig) -> list[str]:
    return [str(event.data["text"]) for event in rig.seen.events if event.name == "note"]


def test_a_census_that_would_stop_its_only_target_for_too_long_is_refused() -> None:
    """Before anything is looked at, and what was opened is closed."""
    rig = CensusRig()
    rig.census.pauses.forbidden.add(0)
    with pytest.raises(PauseTooLong, match="0 would be stopped for too long"):
        rig.kdamond.open()
    assert rig.census.prepared == []
    assert rig.space.closed


def test_of_several_targets_those_that_may_be_looked_at_are() -> None:
    rig = CensusRig(targets=2)
    rig.census.pauses.forbidden.add(0)
    rig.census.pauses.long.add(1)
    rig.stop_after(3)
    rig.kdamond.run()
    assert {snapshot.target for snapshot in rig.seen.snapshots} == {1}
    assert notes(rig) == ["0 would be stopped for too long.", "1 will be stopped for long."]
    assert rig.kdamond.skipped == 3


def test_what_looks_leave_out_is_told() -> None:
    rig = CensusRig()
    rig.census.left_out.append("memory is left out.")
    rig.stop_after(3)
    rig.kdamond.run()
    assert notes(rig) == ["memory is left out."]


def test_one_address_space_is_stopped_by_one_look() -> None:
    """What a look does to it is told once, and a window that is left out is one of each target."""
    rig = CensusRig(targets=4)
    rig.census.leaders = {1: 0, 3: 2}
    rig.census.pauses.long.update((0, 1))
    rig.census.pauses.forbidden.update((2, 3))
    rig.stop_after(3)
    rig.kdamond.run()
    assert notes(rig) == ["0 will be stopped for long.", "2 would be stopped for too long."]
    assert {snapshot.target for snapshot in rig.seen.snapshots} == {0, 1}
    assert rig.kdamond.skipped == 2 * 3


def test_a_target_that_grows_beyond_the_limit_is_left_alone_and_told_once() -> None:
    rig = CensusRig(targets=2)
    rig.kdamond.bus.subscribe(Then(lambda: rig.census.pauses.forbidden.add(0)))
    rig.stop_after(30)
    rig.kdamond.run()
    assert [s.seq for s in rig.seen.snapshots if s.target == 0] == [0, 1]
    assert [s.seq for s in rig.seen.snapshots if s.target == 1] == list(range(30))
    assert rig.kdamond.skipped == 28
    assert notes(rig) == ["0 would be stopped for too long."]


def forbid(rig: CensusRig, *indices: int, backed_off: bool = False) -> Then:
    """After the second window these may not be looked at."""

    def say() -> None:
        rig.census.pauses.forbidden.update(indices)
        if backed_off:
            rig.census.pauses.backed_off.update(indices)

    return Then(say)


def test_a_monitor_whose_targets_may_not_be_looked_at_any_more_ends_with_a_sentence() -> None:
    """Some windows after the last one of them, and the recording has it, too."""
    rig = CensusRig(targets=2)
    rig.kdamond.bus.subscribe(forbid(rig, 0, 1))
    with pytest.raises(
        PauseTooLong,
        match=r"^a look at any of 2 targets was not allowed for 10 windows in a row: 0 would be stopped",
    ):
        rig.kdamond.run()
    assert len(rig.seen.snapshots) == 2 * 2
    assert rig.kdamond.skipped == PATIENCE * 2
    assert notes(rig)[-1].startswith("a look at any of 2 targets was not allowed")
    assert rig.space.closed


def test_it_goes_on_while_one_of_them_may_be_looked_at_or_may_be_later() -> None:
    """Whoever rests for some windows is looked at again as it is."""
    rig = CensusRig(targets=2)
    rig.kdamond.bus.subscribe(forbid(rig, 0))
    rig.stop_after(5 * PATIENCE)
    rig.kdamond.run()
    assert len(rig.seen.snapshots) == 5 * PATIENCE + 2
    backed_off = CensusRig()
    backed_off.kdamond.bus.subscribe(forbid(backed_off, 0, backed_off=True))
    ticks = []
    sleep = backed_off.clock.wait_until

    def wait(deadline_ns: int) -> bool:
        ticks.append(deadline_ns)
        if len(ticks) == 5 * PATIENCE:
            backed_off.kdamond.stop()
        return sleep(deadline_ns)

    backed_off.clock.wait_until = wait  # type: ignore[method-assign]
    backed_off.kdamond.run()
    assert len(backed_off.seen.snapshots) == 2
    assert backed_off.kdamond.skipped > 3 * PATIENCE


def test_a_target_that_was_too_large_for_some_windows_is_looked_at_again() -> None:
    rig = CensusRig()
    pauses = rig.census.pauses

    def too_long(target: Target) -> str | None:
        return "too large." if 3 <= pauses.windows < 3 + PATIENCE - 1 else None

    pauses.too_long = too_long  # type: ignore[method-assign]
    rig.stop_after(3 + PATIENCE + 5)
    rig.kdamond.run()
    assert [s.seq for s in rig.seen.snapshots] == [0, 1, 2, *range(3 + PATIENCE - 1, 3 + PATIENCE + 5)]
    assert notes(rig) == ["too large."]
    assert rig.kdamond.skipped == PATIENCE - 1


DISAGREES = NotSupported("the page tables found for 0 do not agree with its page map; use another --via.")
UNREADABLE = CannotError("process 0 could not be read: Input/output error; try again.")


@pytest.mark.parametrize("error", [DISAGREES, UNREADABLE])
def test_what_fails_of_one_target_leaves_the_others_watched(error: CannotError) -> None:
    """At the first window and later, and while clearing as well as while looking."""
    rig = CensusRig(targets=2)
    rig.census.refused[0] = error
    rig.stop_after(3)
    rig.kdamond.run()
    assert [s.target for s in rig.seen.snapshots] == [1] * 3
    assert notes(rig) == [f"not looked at: {error}"]
    assert rig.kdamond.skipped == 3
    later = CensusRig(targets=2)
    later.kdamond.bus.subscribe(Then(lambda: later.census.refused.update({0: error})))
    later.stop_after(30)
    later.kdamond.run()
    assert [s.seq for s in later.seen.snapshots if s.target == 0] == [0]
    assert [s.seq for s in later.seen.snapshots if s.target == 1] == list(range(30))
    assert notes(later) == [f"not looked at: {error}"]
    assert later.kdamond.skipped == 29


Failing = tuple["Rig | CensusRig", dict[int, CannotError]]
"""A monitor of two targets, and what keeps them from being looked at."""


def check_that_it_ends(make: Callable[[], Failing], error: CannotError) -> Rig | CensusRig:
    """When both targets fail: at once where none was ever seen, else after some windows. Returns the first monitor."""
    rig, refused = make()
    refused.update({0: error, 1: error})
    with pytest.raises(CannotError) as raised:
        rig.kdamond.run()
    assert raised.value is error
    assert rig.seen.snapshots == []
    later, refused_later = make()
    later.kdamond.bus.subscribe(Then(lambda: refused_later.update({0: error, 1: error})))
    with pytest.raises(CannotError) as raised:
        later.kdamond.run()
    assert raised.value is error
    assert len(later.seen.snapshots) == 2
    assert later.kdamond.skipped == PATIENCE * 2
    return rig


@pytest.mark.parametrize("error", [DISAGREES, UNREADABLE])
def test_the_monitor_ends_with_what_keeps_all_targets_from_being_looked_at(error: CannotError) -> None:
    def make() -> Failing:
        rig = CensusRig(targets=2)
        return rig, rig.census.refused

    assert check_that_it_ends(make, error).clock.now_ns() == 0


def test_what_fails_for_some_windows_is_looked_at_again() -> None:
    rig = CensusRig(targets=2)
    rig.census.refused[0] = DISAGREES
    rig.kdamond.bus.subscribe(Then(rig.census.refused.clear))
    rig.stop_after(5)
    rig.kdamond.run()
    assert [s.seq for s in rig.seen.snapshots if s.target == 0] == [1, 2, 3, 4]


def test_what_fails_of_one_sampled_target_leaves_the_others_watched() -> None:
    """It is not told to be idle: it has no windows."""
    rig = Rig(targets=2)
    rig.sampler.refused[0] = DISAGREES
    rig.run(4)
    assert {s.target for s in rig.seen.snapshots} == {1}
    assert rig.kdamond.skipped == len(rig.seen.snapshots) == 4
    assert notes(rig) == [f"not looked at: {DISAGREES}"]


def test_sampling_ends_with_what_keeps_all_targets_from_being_looked_at() -> None:
    def make() -> Failing:
        rig = Rig(targets=2)
        return rig, rig.sampler.refused

    check_that_it_ends(make, DISAGREES)


def test_a_budget_is_measured_although_one_target_cannot_be_looked_at() -> None:
    rig = CensusRig(targets=2, budget=CensusBudget(0.01))
    rig.census.refused[0] = DISAGREES
    rig.stop_after(2)
    rig.kdamond.run()
    assert {s.target for s in rig.seen.snapshots} == {1}


def test_that_a_target_is_left_out_is_said_again_after_some_time() -> None:
    rig = CensusRig(targets=2)
    rig.kdamond.bus.subscribe(forbid(rig, 0))
    rig.stop_after(250)
    rig.kdamond.run()
    assert notes(rig) == ["0 would be stopped for too long."] * 3


def test_events_carry_the_clock_of_the_monitor() -> None:
    rig = Rig()
    rig.run(1)
    assert rig.seen.events[0] == Event(5_000, "target_start", {"target": 0})


def test_advice_is_told_when_it_changes() -> None:
    rig = CensusRig()
    rig.census.seen[0] = [Touched(0, MIB, MIB, 0)]
    advice = [(0, MIB, "random")]

    class Advise(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            if snapshot.seq == 2:
                rig.census.advice[0] = advice
            elif snapshot.seq == 5:
                rig.census.advice[0] = []

    rig.kdamond.bus.subscribe(Advise())
    rig.stop_after(9)
    rig.kdamond.run()
    told = [event.data for event in rig.seen.events if event.name == "advice"]
    assert told == [{"target": 0, "mappings": [[0, MIB, "random"]]}, {"target": 0, "mappings": []}]
