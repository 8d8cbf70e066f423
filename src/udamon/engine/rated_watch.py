"""A census that tells rates: cleared again at a random moment of each window, looked at after growing spans.

docs/rates.md says why, and what follows from what is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import floor, nan
from random import Random

from udamon.core.attrs import Attrs
from udamon.core.clock import Clock
from udamon.core.rates import Pool, estimate, sample
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.engine.census_watch import CensusWatch
from udamon.errors import CannotError
from udamon.model import PAGE_SIZE, Range, Rates
from udamon.ops.base import FirstSeen, RateCensus, Touched

_Pooled = tuple[int, int, Pool]  # start, end
_MAX_MIDWAY_LOOKS = 14


class RatedWatch(CensusWatch):
    """As CensusWatch, with a rate for each region; nr_accesses is the rate × ticks, rounded to nearest.

    Where a target could not be cleared again in a window, it has no rates in that one, and nr_accesses are of what was
    pooled before, where anything was.
    """

    def __init__(self, census: RateCensus, clock: Clock, random: Random | None = None) -> None:
        super().__init__(census, clock)
        self._rate_census = census
        self._random = random or Random()
        self._interval_ns = self._window_ns = 0
        self._watched: list[Target] = []
        self._again: list[Target] | None = None  # who was cleared again in this window; None: not yet
        self._due: list[int] = []
        self._end_ns = 0
        self._planned = False
        self._found: dict[int, list[FirstSeen] | None] = {}
        self._pools: dict[int, list[_Pooled]] = {}
        self._rates: dict[int, Rates] = {}

    def measure_cost(self, targets: Sequence[Target]) -> None:
        self._begin(targets)
        leaders = self._leaders(targets)
        glances = max(1, min(_MAX_MIDWAY_LOOKS, self._ticks.bit_length() - 1))
        for target in leaders:
            with suppress(CannotError):  # the windows say so
                self._census.prepare(target)
                self._rate_census.clear_again(target)
                for _ in range(glances):
                    self._rate_census.look_midway(target)
                self._census.look(target)
        for _ in range(2):
            self._census.expose(leaders)

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        super().adopt(targets, attrs)
        self._take_intervals(attrs)
        here = {target.index for target in targets}
        for known in (self._pools, self._rates):
            for gone in known.keys() - here:
                del known[gone]

    def change(self, targets: Sequence[Target], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
        super().change(targets, old, new, aggregated=aggregated)
        if (old.sample_us, old.aggr_us) != (new.sample_us, new.aggr_us):
            self._pools.clear()  # a rate is for a length of the interval
        self._take_intervals(new)
        self._forget_plan()

    def _take_intervals(self, attrs: Attrs) -> None:
        self._interval_ns = max(1, attrs.sample_us) * 1_000
        self._window_ns = self._interval_ns * attrs.max_nr_accesses

    def observe(self, targets: Sequence[Target], begin_ns: int, ticks: int, tick_ns: int) -> int:
        self._watched = self._leaders(targets)
        if not self._planned:
            self._plan(begin_ns)
        return super().observe(targets, begin_ns, ticks, tick_ns)

    def _plan(self, begin_ns: int) -> None:
        self._planned = True
        room = self._window_ns - self._interval_ns
        self._end_ns = begin_ns + self._window_ns
        if room > 0:
            self._due = [begin_ns + self._random.randrange(room)]

    def _forget_plan(self) -> None:
        self._due, self._again, self._planned = [], None, False

    def _wait(self, deadline_ns: int) -> bool:
        while self._due and self._due[0] < deadline_ns:
            if not super()._wait(self._due[0]):
                return False
            del self._due[0]
            if self._again is None:
                self._clear_again()
            else:
                self._look_midway(self._again)
        return super()._wait(deadline_ns)

    def _clear_again(self) -> None:
        self._again = []
        begin = self._clock.now_ns()
        for target in self._watched:
            if target.index in self._prepared:
                with suppress(CannotError):  # it has no rates then; the look says why, if that fails, too
                    self._rate_census.clear_again(target)
                    self._again.append(target)
        now, span = (begin + self._clock.now_ns()) // 2, self._interval_ns
        self._census.expose(self._again)
        # The last look is that at the end of the window; it takes the place of one that would come close before it.
        while now + span + self._interval_ns // 2 < self._end_ns and len(self._due) < _MAX_MIDWAY_LOOKS:
            self._due.append(now + span)
            span *= 2

    def _look_midway(self, targets: Sequence[Target]) -> None:
        for target in targets:
            with suppress(CannotError):
                self._rate_census.look_midway(target)
        now = self._clock.now_ns()
        while self._due and self._due[0] <= now:
            del self._due[0]  # looking takes longer than that

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self._found.clear()
        super().finish_aggregation(targets)
        self._forget_plan()
        for target in targets:
            for region in target.regions:
                if region.touched and not region.nr_accesses:
                    region.age = 0  # seldom is not never: nothing that was touched is as idle as it was

    def _take(self, target: Target, window: tuple[int, int], seen: list[Touched]) -> None:
        super()._take(target, window, seen)
        leader = self._same.get(target.index, target.index)
        if leader == target.index:
            pieces = [Range(region.start, region.end) for region in target.regions]
            self._found[leader] = self._rate_census.first_seen(target, pieces)
        found = self._found.get(leader)
        if found is not None and len(found) != len(target.regions):
            found = None  # schemes have cut them elsewhere than the other target's
        self._rate(target, found)

    def _rate(self, target: Target, found: list[FirstSeen] | None) -> None:
        old = self._pools.get(target.index, ())
        pools: list[_Pooled] = []
        told: list[tuple[int, Pool, int]] = []
        for at, (region, parts) in enumerate(_inherited(target.regions, old)):
            pool = Pool.mixed(parts)
            one = None if found is None else found[at]
            if one is not None and one.pages:
                pool.add(
                    sample(one.pages, one.touched, one.before, one.looks, self._interval_ns, self._ticks)
                )
                told.append((at, pool, one.pages))
            elif pool.windows and region.touched:
                told.append((at, pool, max(1, region.size // PAGE_SIZE)))
            pools.append((region.start, region.end, pool))
        self._pools[target.index] = pools
        rates = estimate([(pool, pages) for _, pool, pages in told], self._ticks)
        columns = [[nan] * len(target.regions) for _ in range(3)]
        for (at, _, _), rate in zip(told, rates, strict=True):
            region = target.regions[at]
            region.nr_accesses = min(self._ticks, floor(rate.rate * self._ticks + 0.5))
            region.nr_accesses_bp = region.nr_accesses * 10_000
            for column, value in zip(columns, rate, strict=True):
                column[at] = value
        self._rates.pop(target.index, None)
        if found is not None:
            self._rates[target.index] = Rates.of(columns)

    def rates(self, target: Target) -> Rates | None:
        return self._rates.get(target.index)

    def discard_window(self) -> None:
        super().discard_window()
        self._forget_plan()


def _inherited(
    regions: Sequence[Region], old: Sequence[_Pooled]
) -> Iterator[tuple[Region, list[tuple[float, Pool]]]]:
    """Each region with the pools that its bytes had, and their shares of it. Both in address order, disjoint."""
    at = 0
    for region in regions:
        while at < len(old) and old[at][1] <= region.start:
            at += 1
        parts, next_at = [], at
        while next_at < len(old) and old[next_at][0] < region.end:
            start, end, pool = old[next_at]
            shared = min(end, region.end) - max(start, region.start)
            parts.append((shared / region.size, pool))
            next_at += 1
        yield region, parts
