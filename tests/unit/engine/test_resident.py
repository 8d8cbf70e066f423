"""Residency of regions: overlaps by hand, and looks that are put off until they are paid for."""

from __future__ import annotations

from array import array
from random import Random

from tests.unit.fakes import Collector, FakeSampler, FakeSpace
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.damon import DamonPolicy
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.resident import Residents, overlaps
from udamon.engine.watch import SampledWatch
from udamon.errors import TargetGone
from udamon.linux.held import Held
from udamon.model import Range, Snapshot

MIB = 1 << 20


def test_overlaps() -> None:
    regions = array("Q", [0, 10, 30]), array("Q", [10, 20, 40])
    assert list(overlaps(*regions, [])) == [0, 0, 0]
    assert list(overlaps(*regions, [Range(5, 12), Range(14, 16), Range(18, 32), Range(39, 90)])) == [5, 6, 3]


def test_a_look_is_put_off_until_the_last_one_has_paid_for_itself() -> None:
    clock = ManualClock()
    looks: list[int] = []
    cpu = 0

    def look(target: Target, held: Held) -> list[Range]:
        nonlocal cpu
        cpu += 2_000_000
        looks.append(clock.now_ns())
        return [Range(0, 5)]

    residents = Residents(look, clock.now_ns, lambda: cpu)
    target = Target(0)
    target.regions = [Region(0, 10)]
    assert target.resident is None
    for second in range(6):
        clock.wait_until(second * 10**9)
        residents.refresh([target])
    assert looks == [0, 2 * 10**9, 4 * 10**9], "2 ms at a thousandth of a CPU are 2 s"
    assert target.resident == [Range(0, 5)]


def test_snapshots_say_what_is_resident_and_touched_is_never_more() -> None:
    clock = ManualClock()
    gone = False

    def look(target: Target, held: Held) -> list[Range]:
        if gone:
            raise TargetGone("the process has ended.")
        return [Range(0, MIB)]

    residents = Residents(look, clock.now_ns, lambda: 0)
    sampler = FakeSampler(clock, [Range(0, 4 * MIB)])
    watch = SampledWatch(DamonPolicy(Random(1)), sampler, Random(2), residents=residents)
    kdamond = Kdamond(Context(FakeSpace([Range(0, 8 * MIB)]), watch, Attrs()), clock)
    seen = Collector()
    kdamond.bus.subscribe(seen)
    sampler.on_call = lambda number: kdamond.stop() if number > 5 else None
    kdamond.run()
    last: Snapshot = seen.snapshots[-1]
    assert last.resident is not None
    assert sum(last.resident) == MIB
    assert sum(last.touched) == MIB
    gone = True
    residents.refresh([Target(0)])
