"""A watch by a census: every range is looked at, at the end of the aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from udamon.core.attrs import Attrs
from udamon.core.clock import Clock
from udamon.core.merge import age
from udamon.core.target import Target
from udamon.core.tuning import rescale
from udamon.engine.acting import ResetAges
from udamon.engine.refusals import Refusals
from udamon.engine.successors import NO_CUTS, resident_bytes, shared_of, successors
from udamon.errors import CannotError, NotPermitted, OutOfFiles, PauseTooLong, TargetGone
from udamon.model import Rates
from udamon.ops.base import Census, Shared, Touched


class CensusWatch:
    """Looks at every range at the end of the aggregation: no policy, no sampling error.

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
        self._denied: set[int] = set()  # who could not be, other than because it ended
        self._looked: dict[int, tuple[int, int]] = {}
        self._seen: dict[int, list[Touched]] = {}
        self._shared: dict[int, Sequence[Shared | None] | None] = {}
        self._same: dict[int, int] = {}  # target index → the other one whose address space it has
        self._cuts: dict[int, set[int]] = {}  # where schemes began and stopped
        self._known: set[int] = set()
        self._refusals = Refusals()
        self._ever_looked = False
        self._news: list[str] = []

    @property
    def target_cost_ns(self) -> int:
        return self._census.pauses.cost_ns

    @property
    def longest_pause_ns(self) -> int:
        return self._census.pauses.longest_ns

    def news(self) -> list[str]:
        told, self._news = [*self._news, *self._census.pauses.news(), *self._census.news()], []
        return told

    def measure_cost(self, targets: Sequence[Target]) -> None:
        self._begin(targets)
        leaders = self._leaders(targets)
        for target in leaders:
            with suppress(CannotError):  # the windows say so
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
        """Note for new targets how long a look will stop them, or that they will not be looked at."""
        pauses = self._census.pauses
        first, refusals = not self._known, []
        for target in self._leaders(targets):
            if target.index not in self._known:
                refusals.append(why := pauses.too_long(target))
                text = (
                    self._refusals.refuse(target.index, PauseTooLong(why)) if why else pauses.warning(target)
                )
                if text is not None:
                    self._news.append(text)
        self._known = {target.index for target in targets}
        self._refusals.keep(self._known)
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
        if new:
            self._require_one(targets)
        if self._wait(begin_ns + ticks * tick_ns):
            return ticks
        passed = (self._clock.now_ns() - begin_ns) // tick_ns
        return min(max(passed, 0), ticks)

    def _wait(self, deadline_ns: int) -> bool:
        return self._clock.wait_until(deadline_ns)

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """Look at every target, at once prepare it for the next window, then count and age.

        Preparing follows looking at once, so that the unobserved time in between is as short as possible. Raises
        PauseTooLong, or what else keeps a target from being looked at, where none of them can be any more.
        """
        self._looked.clear()
        self._begin(targets)
        leaders = sorted(self._leaders(targets), key=self._density, reverse=True)
        self._census.pauses.window_over({target.index for target in targets})
        for target in leaders:
            begin = self._prepared.pop(target.index, None)
            if begin is None:
                self.skipped += target.index in self._denied
                continue
            try:
                seen = self._census.look(target)
            except TargetGone:
                continue  # the next update says so to everyone
            except CannotError as refused:
                self._note(target, refused)
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
        self._require_one(targets)
        self._refusals.window_over([] if self._looked else [target.index for target in leaders])

    def _density(self, target: Target) -> float:
        """The share of its memory that it accessed in the last window. Accesses to shared pages count for the target
        that is looked at first, which must not be an inactive parent that maps all of them."""
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
        self._ever_looked = True
        cuts = self._cuts.get(target.index, NO_CUTS)
        target.regions = successors(target.regions, seen, self._ticks, cuts)
        self._seen[target.index] = seen
        if cuts:
            self._cuts[target.index] = {r.start for r in target.regions if r.start in cuts}

    def _prepare(self, target: Target) -> None:
        self._refusals.allow(target.index)
        try:
            self._census.prepare(target)
        except TargetGone:
            self._denied.discard(target.index)
            return
        except CannotError as refused:
            self._note(target, refused)
            self._denied.add(target.index)
            return
        self._denied.discard(target.index)
        self._prepared[target.index] = self._clock.now_ns()

    def _note(self, target: Target, refused: CannotError) -> None:
        """What keeps one target from being looked at is no reason to end while there are others. The next update tells
        of a target that may not be looked at."""
        if isinstance(refused, NotPermitted | OutOfFiles):
            return
        if (text := self._refusals.refuse(target.index, refused)) is not None:
            self._news.append(text)

    def _require_one(self, targets: Sequence[Target]) -> None:
        """There is patience once something was seen."""
        if not self._ever_looked:
            self._refusals.require_one([target.index for target in self._leaders(targets)])

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

    def advised(self, target: Target) -> Sequence[tuple[int, int, str]] | None:
        return self._census.advised(target)

    def rates(self, target: Target) -> Rates | None:
        return None

    def touched_bounds(self, target: Target) -> None: ...

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
