"""A census that tells rates, through the kdamond: pages whose accesses are computed, as pte would see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from random import Random

import pytest

from bench.rates import INTERVAL, MS, Kind, Next, burst, independent, periodic
from tests.unit.fakes import Collector, FakeCensus, FakeSpace
from udamon.core.attrs import Attrs
from udamon.core.clock import ManualClock
from udamon.core.rates import Look
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.rated_watch import RatedWatch
from udamon.errors import TargetGone
from udamon.model import PAGE_SIZE, Range, Rates, Snapshot
from udamon.ops.base import FirstSeen, Touched
from udamon.ops.touched_ranges import TouchedRanges

ATTRS = Attrs()
WINDOW = 20 * INTERVAL
GAP = 1 << 20


class PagesCensus(FakeCensus):
    """Bands of pages, a mapping each, `GAP` bytes apart."""

    def __init__(self, clock: ManualClock, bands: Sequence[Kind], seed: int = 1) -> None:
        super().__init__()
        self._clock = clock
        self.bands: list[tuple[int, int, Next]] = []
        at = GAP
        for kind in bands:
            self.bands.append((at, kind.pages, kind.make(Random(seed))))
            at += kind.pages * PAGE_SIZE + GAP
        self.size = at
        self.since = 0
        self.again: int | None = None
        self.glances: list[int] = []
        self.refuses_again = False
        self._early: set[int] = set()
        self._first: dict[int, int] = {}

    def _pages(self) -> list[tuple[int, Next, int]]:
        return [(at + i * PAGE_SIZE, get, i) for at, pages, get in self.bands for i in range(pages)]

    def _accessed(self, since: int) -> set[int]:
        now = self._clock.now_ns()
        return {address for address, get, i in self._pages() if get(i, since) < now}

    def prepare(self, target: Target) -> None:
        super().prepare(target)
        self.since, self.again, self.glances = self._clock.now_ns(), None, []
        self._early, self._first = set(), {}

    def clear_again(self, target: Target) -> None:
        if self.refuses_again:
            raise TargetGone("it was replaced.")
        self._early = self._accessed(self.since)
        self.before = self._clock.now_ns() - self.since
        self.again = self.since = self._clock.now_ns()

    def look_midway(self, target: Target) -> None:
        assert self.again is not None
        self.glances.append(self._clock.now_ns() - self.again)
        for address in self._accessed(self.since):
            self._first.setdefault(address, len(self.glances))

    def look(self, target: Target) -> list[Touched]:
        self._check(target)
        if self.again is not None:
            self.look_midway(target)
        accessed = self._accessed(self.since) | self._early
        self.all_accessed = accessed
        found = TouchedRanges(1000)
        for band, (at, pages, _) in enumerate(self.bands):
            for address in range(at, at + pages * PAGE_SIZE, PAGE_SIZE):
                touched = PAGE_SIZE if address in accessed else 0
                found.add(band, address, address + PAGE_SIZE, PAGE_SIZE, touched)
        return found.ranges()

    def first_seen(self, target: Target, pieces: Sequence[Range]) -> list[FirstSeen] | None:
        if self.again is None:
            return None
        found = []
        for piece in pieces:
            pages = range(piece.start, piece.end, PAGE_SIZE)
            looks = [
                Look(span, span, span, sum(self._first.get(page, 99) <= number for page in pages))
                for number, span in enumerate(self.glances, 1)
            ]
            early = sum(page in self._early for page in pages)
            touched = sum(page in self.all_accessed for page in pages)
            found.append(FirstSeen(len(pages), touched, (self.before, early), looks))
        return found


class Rig:
    def __init__(self, *bands: Kind, attrs: Attrs = ATTRS, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.census = PagesCensus(self.clock, bands, seed)
        self.watch = RatedWatch(self.census, self.clock, Random(seed))
        space = FakeSpace([Range(0, self.census.size)])
        self.kdamond = Kdamond(Context(space, self.watch, attrs), self.clock, cpu_ns=lambda: 0)
        self.seen = Collector()

    def run(self, windows: int) -> list[Snapshot]:
        rig = self

        class Stop(Collector):
            def snapshot(self, snapshot: Snapshot) -> None:
                if snapshot.seq + 1 >= windows:
                    rig.kdamond.stop()

        self.kdamond.bus.subscribe(self.seen)
        self.kdamond.bus.subscribe(Stop())
        self.kdamond.run()
        return self.seen.snapshots

    def band(self, snapshot: Snapshot, number: int) -> tuple[float, float, float]:
        """Rate and interval of all of a band, by bytes."""
        at, pages, _ = self.census.bands[number]
        rates = known(snapshot)
        sums = [0.0, 0.0, 0.0]
        for i, (start, end) in enumerate(zip(snapshot.starts, snapshot.ends, strict=True)):
            if at <= start < at + pages * PAGE_SIZE:
                for k, column in enumerate((rates.rate, rates.low, rates.high)):
                    sums[k] += column[i] * (end - start) / (pages * PAGE_SIZE)
        return sums[0], sums[1], sums[2]


def known(snapshot: Snapshot) -> Rates:
    assert snapshot.rates is not None
    return snapshot.rates


def idle(pages: int) -> Kind:
    return Kind("idle", 0.0, pages, lambda random: lambda page, time: 1 << 62)


def test_bands() -> None:
    """Steady, periodic, random and idle memory side by side, over 40 windows: pages × windows of each are more than
    4 · (1 − r) / (0.01 · r)."""
    kinds = [
        periodic(0.9, 128), periodic(0.5, 128), periodic(0.1, 128), independent(0.7, 128),
        independent(0.3, 128), independent(0.1, 256), idle(64),
    ]  # fmt: skip
    rig = Rig(*kinds)
    last = rig.run(40)[-1]
    for number, kind in enumerate(kinds):
        rate, low, high = rig.band(last, number)
        assert rate == pytest.approx(kind.truth, rel=0.2)
        assert low <= kind.truth <= high
    assert rig.band(last, len(kinds) - 1) == (0.0, 0.0, 0.0)


def test_pages_that_are_accessed_together() -> None:
    """Bursts in step with the windows: without a second clear at a random moment each would tell the same."""
    held, rates = 0, []
    for seed in range(30):
        rig = Rig(burst(30 * MS, 100 * MS, 8), seed=seed)
        rate, low, high = rig.band(rig.run(15)[-1], 0)
        held += low <= 0.35 <= high
        rates.append(rate)
    assert held >= 28
    assert sum(rates) / len(rates) == pytest.approx(0.35, abs=0.06)


def test_counts_follow_from_rates() -> None:
    rig = Rig(periodic(0.33, 64), independent(0.02, 64), idle(4))
    for snapshot in rig.run(12):
        rates = known(snapshot)
        for i in range(len(snapshot)):
            assert 0 <= rates.low[i] <= rates.rate[i] <= rates.high[i] <= 1
            assert snapshot.nr_accesses[i] == int(rates.rate[i] * 20 + 0.5)
            if snapshot.touched[i] and not snapshot.nr_accesses[i]:
                assert snapshot.ages[i] == 0, "what was touched is not as idle as it was"


def test_touched_bytes_are_those_of_the_whole_window() -> None:
    """What was accessed before the second clear counts: all pages, each once in 0.75 windows."""
    rig = Rig(periodic(1 / 15, 64))
    assert {sum(snapshot.touched) for snapshot in rig.run(20)} == {64 * PAGE_SIZE}
    windows = [(one.begin_ns, one.end_ns) for one in rig.seen.snapshots]
    assert windows == [(k * WINDOW, (k + 1) * WINDOW) for k in range(20)]


def test_looks_are_at_growing_spans() -> None:
    """After δ, 2δ, 4δ, …, and at the end of the window; the moment of the clear is another one each time."""
    rig = Rig(periodic(0.5, 4))
    spans: list[list[int]] = []
    first_seen = rig.census.first_seen

    def note(target: Target, pieces: Sequence[Range]) -> list[FirstSeen] | None:
        spans.append(list(rig.census.glances))
        return first_seen(target, pieces)

    rig.census.first_seen = note  # type: ignore[method-assign]
    rig.run(50)
    for found in spans:
        assert found[:-1] == [INTERVAL << k for k in range(len(found) - 1)]
        assert found[-1] < 2 * (INTERVAL << len(found) - 1)
    moments = [WINDOW - found[-1] for found in spans]
    assert len(set(moments)) > 45
    assert min(moments) < 0.1 * WINDOW < 0.85 * WINDOW < max(moments)


def test_where_it_is_not_cleared_again() -> None:
    """No rates; nr_accesses are the touched share, as of any census."""
    rig = Rig(periodic(0.1, 64))
    rig.census.refuses_again = True
    for snapshot in rig.run(3):
        assert snapshot.rates is None
        assert set(snapshot.nr_accesses) == {20}
    one_tick = Rig(periodic(0.5, 8), attrs=replace(ATTRS, sample_us=100_000))
    assert {snapshot.rates for snapshot in one_tick.run(3)} == {None}


def test_other_intervals_begin_anew() -> None:
    rig = Rig(periodic(0.5, 64))
    changed = replace(ATTRS, sample_us=2_500, aggr_us=50_000)

    class Change(Collector):
        def snapshot(self, snapshot: Snapshot) -> None:
            if snapshot.seq == 9:
                rig.kdamond.call(lambda: rig.kdamond.change_attrs(changed, "test"))

    rig.kdamond.bus.subscribe(Change())
    snapshots = rig.run(40)
    rate, _, _ = rig.band(snapshots[-1], 0)
    assert rate == pytest.approx(0.25, rel=0.2), "half as long an interval has half as many"
    assert not any(map(isnan, known(snapshots[-1]).rate))
