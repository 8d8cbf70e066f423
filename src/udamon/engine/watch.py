"""The two ways to watch accesses: by samples that feed a region policy, or by a census of everything."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Protocol

from udamon.core.attrs import Attrs
from udamon.core.clock import Clock
from udamon.core.merge import age
from udamon.core.policy import RegionPolicy
from udamon.core.target import Target
from udamon.core.tuning import rescale
from udamon.engine.acting import ResetAges
from udamon.engine.coverage import Coverage
from udamon.engine.resident import Residents, overlaps
from udamon.engine.successors import NO_CUTS, resident_bytes, shared_of, successors
from udamon.errors import NotPermitted, OutOfFiles, PauseTooLong, TargetGone
from udamon.model import PAGE_SIZE, Rates
from udamon.ops.base import TOUCH_NS, Census, Sampler, Shared, Touched


class Watch(Protocol):
    """What the kdamond asks of its access checks; see engine.kdamond for the order of the calls."""

    checks: int
    """Access checks made so far (a census counts none)."""

    skipped: int
    """Windows of targets that were wanted and could not be watched so far, other than because the target ended."""

    answers_early: bool
    """An aggregation that is cut short still has an answer."""

    @property
    def target_cost_ns(self) -> int:
        """What watching has cost the targets so far, by an estimate."""

    @property
    def longest_pause_ns(self) -> int:
        """The longest time so far that a target's mapping lock was held at a time."""

    def news(self) -> list[str]:
        """What people should know, and were not told yet."""

    def rehearse(self, targets: Sequence[Target]) -> None:
        """Do once what an aggregation will cost, without a result, so that it can be measured."""

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        """Targets came, went or changed their ranges. Raises PauseTooLong where none of them may be looked at."""

    def change(self, targets: Sequence[Target], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
        """Attributes changed."""

    def observe(self, targets: Sequence[Target], begin_ns: int, ticks: int, tick_ns: int) -> int:
        """Prepare, sleep and check for `ticks` ticks; returns how many passed (fewer when interrupted)."""

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """The aggregation is complete: make the regions final."""

    def window(self, target: Target, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
        """When `target` was really watched within the aggregation; None when it was not."""

    def resident(self, target: Target) -> Sequence[int] | None:
        """Resident bytes of each region, where known."""

    def shared(self, target: Target) -> tuple[list[Shared | None], int | None] | None:
        """Of each region, what is known of others who map its pages; and the index of the target whose address
        space this one's is, where that is another. None where nothing of that is known."""

    def rates(self, target: Target) -> Rates | None:
        """How often the pages of each region are accessed, where that is known."""

    def acted(self, acted: Sequence[ResetAges]) -> None:
        """Schemes have cut regions, and begun the ages of these anew."""

    def discard_window(self) -> None:
        """Nothing was watched for some time: what was prepared before says nothing now."""

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        """The snapshot was taken: a new aggregation begins."""

    def interrupt(self) -> None:
        """From any thread: end a running `observe` within one tick."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


class SampledWatch:
    """Samples answer for single pages; `policy` decides which, and what the answers say of the rest."""

    answers_early = False

    def __init__(
        self,
        policy: RegionPolicy,
        sampler: Sampler,
        random: Random,
        min_region: int = PAGE_SIZE,
        residents: Residents | None = None,
        cpu_ns: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        self.policy = policy
        self.checks = 0
        self.skipped = 0
        self.checking_ns = 0
        """CPU time that planning, making and folding in the checks took."""
        self._hits = 0
        self._cpu_ns = cpu_ns
        self._sampler = sampler
        self._random = random
        self._coverage = Coverage(min_region)
        self._residents = residents

    @property
    def target_cost_ns(self) -> int:
        return self._hits * TOUCH_NS

    @property
    def longest_pause_ns(self) -> int:
        of_residents = 0 if self._residents is None else self._residents.held.longest_ns
        return max(self._sampler.longest_pause_ns, of_residents)

    def news(self) -> list[str]:
        return []

    def rehearse(self, targets: Sequence[Target]) -> None:
        """Samples are cheap one by one: nothing to rehearse."""

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        self._coverage.fit(targets)
        if self._residents is not None:
            self._residents.refresh(targets)
        self.policy.start(targets, attrs)

    def change(self, targets: Sequence[Target], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
        for target in targets:
            rescale(target.regions, old, new, aggregated=aggregated)
        self.policy.start(targets, new)

    def observe(self, targets: Sequence[Target], begin_ns: int, ticks: int, tick_ns: int) -> int:
        before = self._cpu_ns()
        slots = self.policy.plan(targets, ticks)
        ticks = slots.ticks or ticks
        seed = self._random.getrandbits(64)
        answers = self._sampler.sample(targets, slots, begin_ns, ticks, tick_ns, seed)
        self.checks += answers.checks
        hits = 0 if self._sampler.name == "sim" else sum(answers.hits)
        self._hits += hits
        self.policy.fold(targets, slots, answers)
        self.checking_ns += self._cpu_ns() - before + hits * TOUCH_NS
        return answers.ticks

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self.policy.finish_aggregation(targets)

    def window(self, target: Target, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
        return begin_ns, end_ns

    def resident(self, target: Target) -> array[int] | None:
        if target.resident is None:
            return None
        columns = target.columns
        return overlaps(columns.starts, columns.ends, target.resident)

    def shared(self, target: Target) -> None: ...

    def rates(self, target: Target) -> None: ...

    def acted(self, acted: Sequence[ResetAges]) -> None:
        for target, start, end in acted:
            self.policy.reset_age(target, start, end)

    def discard_window(self) -> None:
        """Nothing is prepared between two stretches."""

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        self.policy.begin_aggregation(targets)

    def interrupt(self) -> None:
        self._sampler.interrupt()

    def close(self) -> None:
        self._sampler.close()


class CensusWatch:
    """Every range is asked at the end of the aggregation: no policy, no sampling error.

    nr_accesses of a range is the touched share of its resident bytes × ticks, rounded up.
    """

    answers_early = True

    def __init__(self, census: Census, clock: Clock) -> None:
        self.checks = 0
        self.skipped = 0
        self._census = census
        self._clock = clock
        self._ticks = 1
        self._prepared: dict[int, int] = {}  # target index → when it was prepared
        self._denied: set[int] = set()  # who could not be: no permission, no open files, too long a pause
        self._looked: dict[int, tuple[int, int]] = {}
        self._seen: dict[int, list[Touched]] = {}
        self._shared: dict[int, Sequence[Shared | None] | None] = {}
        self._same: dict[int, int] = {}  # target index → the other one whose address space it has
        self._cuts: dict[int, set[int]] = {}  # where schemes began and stopped
        self._known: set[int] = set()
        self._too_long: set[int] = set()  # a look would stop them for too long
        self._news: list[str] = []

    @property
    def target_cost_ns(self) -> int:
        return self._census.pauses.cost_ns

    @property
    def longest_pause_ns(self) -> int:
        return self._census.pauses.longest_ns

    def news(self) -> list[str]:
        told, self._news = [*self._news, *self._census.pauses.news()], []
        return told

    def rehearse(self, targets: Sequence[Target]) -> None:
        self._begin(targets)
        leaders = self._leaders(targets)
        for target in leaders:
            with suppress(TargetGone, NotPermitted, OutOfFiles, PauseTooLong):
                self._census.prepare(target)
                self._census.look(target)
        self._census.expose(leaders)

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        self._ticks = attrs.max_nr_accesses
        here = {target.index for target in targets}
        if here - self._known:
            self._begin(targets)  # one address space is stopped by one look: it is told once
        for known in (self._prepared, self._looked, self._seen, self._shared, self._cuts, self._same):
            for gone in known.keys() - here:
                del known[gone]
        self._denied &= here
        self._forecast(targets)

    def _forecast(self, targets: Sequence[Target]) -> None:
        """Say of targets that came what a look will do to them, or that it will not be done."""
        pauses = self._census.pauses
        first, refusals = not self._known, []
        for target in self._leaders(targets):
            if target.index not in self._known:
                refusals.append(pauses.too_long(target))
                if (text := refusals[-1] or pauses.warning(target)) is not None:
                    self._news.append(text)
                if refusals[-1] is not None:
                    self._too_long.add(target.index)
        here = {target.index for target in targets}
        self._too_long &= here
        self._known = here
        if first and refusals and None not in refusals:
            raise PauseTooLong(str(refusals[0]))

    def change(self, targets: Sequence[Target], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
        self._ticks = new.max_nr_accesses
        for target in targets:
            rescale(target.regions, old, new, aggregated=aggregated)
        if not aggregated:
            self._prepared.clear()

    def observe(self, targets: Sequence[Target], begin_ns: int, ticks: int, tick_ns: int) -> int:
        new = [target for target in self._leaders(targets) if target.index not in self._prepared]
        for target in new:
            self._prepare(target)
        self._expose(new)
        if self._wait(begin_ns + ticks * tick_ns):
            return ticks
        passed = (self._clock.now_ns() - begin_ns) // tick_ns
        return min(max(passed, 0), ticks)

    def _wait(self, deadline_ns: int) -> bool:
        return self._clock.wait_until(deadline_ns)

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """Look at every target, at once prepare it for the next window, then count and age.

        Preparing is the next thing after looking so that as little as possible goes unseen in between.
        """
        self._looked.clear()
        self._begin(targets)
        leaders = sorted(self._leaders(targets), key=self._density, reverse=True)
        for target in leaders:
            begin = self._prepared.pop(target.index, None)
            if begin is None:
                self.skipped += target.index in self._denied
                continue
            try:
                seen = self._census.look(target)
            except TargetGone:
                continue  # the next update says so to everyone
            except (NotPermitted, OutOfFiles):
                self.skipped += 1
                continue
            self._shared[target.index] = self._census.shared(target)
            self._take(target, (begin, self._clock.now_ns()), seen)
            self._prepare(target)
        self._expose(leaders)
        for target in targets:
            leader = self._same.get(target.index)
            if leader is not None and leader in self._looked:
                self._shared[target.index] = self._shared.get(leader)
                self._take(target, self._looked[leader], self._seen[leader])
            elif leader in self._denied:
                self.skipped += 1
        largest = max((r.nr_accesses for t in targets for r in t.regions), default=0)
        for target in targets:
            age(target.regions, largest // 10)

    def _density(self, target: Target) -> float:
        """How much of its memory it accessed in the last window. Accesses to pages in common count for whoever is
        looked at first: it shall not be a parent that has all of them and rests."""
        seen = self._seen.get(target.index, ())
        return sum(one.touched for one in seen) / max(1, sum(one.resident for one in seen))

    def _begin(self, targets: Sequence[Target]) -> None:
        self._census.begin(targets)
        leaders = {target.index: self._census.leader(target) for target in targets}
        self._same = {index: leader for index, leader in leaders.items() if leader != index}
        for index in self._same:
            self._prepared.pop(index, None)

    def _leaders(self, targets: Sequence[Target]) -> list[Target]:
        """One target of each address space: looking at it clears the bits that the others would look at."""
        return [target for target in targets if target.index not in self._same]

    def _take(self, target: Target, window: tuple[int, int], seen: list[Touched]) -> None:
        self._looked[target.index] = window
        cuts = self._cuts.get(target.index, NO_CUTS)
        target.regions = successors(target.regions, seen, self._ticks, cuts)
        self._seen[target.index] = seen
        if cuts:
            self._cuts[target.index] = {r.start for r in target.regions if r.start in cuts}

    def _prepare(self, target: Target) -> None:
        try:
            self._census.prepare(target)
        except PauseTooLong as refused:
            if target.index not in self._too_long:  # it has grown
                self._too_long.add(target.index)
                self._news.append(str(refused))
            self._denied.add(target.index)
            return
        except TargetGone:
            self._denied.discard(target.index)
            return
        except (NotPermitted, OutOfFiles):
            self._denied.add(target.index)
            return
        self._denied.discard(target.index)
        self._prepared[target.index] = self._clock.now_ns()

    def _expose(self, targets: Sequence[Target]) -> None:
        prepared = [target for target in targets if target.index in self._prepared]
        if prepared:
            self._census.expose(prepared)

    def window(self, target: Target, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
        return self._looked.get(target.index)

    def resident(self, target: Target) -> list[int] | None:
        seen = self._seen.get(target.index)
        return None if seen is None else resident_bytes(target.regions, seen)

    def shared(self, target: Target) -> tuple[list[Shared | None], int | None] | None:
        seen, shared = self._seen.get(target.index), self._shared.get(target.index)
        if seen is None or shared is None:
            return None
        return shared_of(target.regions, seen, shared), self._same.get(target.index)

    def rates(self, target: Target) -> Rates | None:
        return None

    def acted(self, acted: Sequence[ResetAges]) -> None:
        for target, start, end in acted:
            self._cuts.setdefault(target.index, set()).update((start, end))

    def discard_window(self) -> None:
        self._prepared.clear()

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        for target in targets:
            target.begin_aggregation()

    def interrupt(self) -> None:
        self._clock.interrupt()

    def close(self) -> None:
        self._census.close()
