"""The interface between the kdamond and access checks, and its implementation by samples that feed a region policy.
engine.census_watch is the other implementation."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from udamon.core.attrs import Attrs
from udamon.core.policy import RegionPolicy, TouchedBounds
from udamon.core.target import Target
from udamon.core.tuning import rescale
from udamon.engine.acting import ResetAges
from udamon.engine.refusals import Refusals
from udamon.engine.region_fitting import RegionFitting
from udamon.engine.resident import Residents, overlaps
from udamon.errors import NotPermitted, OutOfFiles
from udamon.linux import cpu_time
from udamon.model import PAGE_SIZE, Rates
from udamon.ops.base import TOUCH_NS, Sampler, Shared


class Watch(Protocol):
    """The access checks of one context; see engine.kdamond for the order of the calls."""

    checks: int
    """Access checks made so far (a census counts none)."""

    skipped: int
    """Windows of targets that were wanted and could not be watched so far, other than because the target ended."""

    answers_early: bool
    """Whether an aggregation that ends early still has a result."""

    @property
    def target_cost_ns(self) -> int:
        """What watching has cost the targets so far, by an estimate."""

    @property
    def longest_pause_ns(self) -> int:
        """The longest time so far that a target's mapping lock was held at a time."""

    def news(self) -> list[str]:
        """New notes for the user since the last call."""

    def measure_cost(self, targets: Sequence[Target]) -> None:
        """Do the work of one aggregation once, without a result, so that its cost can be measured."""

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        """Targets came, went or changed their ranges. Raises PauseTooLong where none of them may be looked at."""

    def change(self, targets: Sequence[Target], old: Attrs, new: Attrs, *, aggregated: bool) -> None:
        """Attributes changed."""

    def observe(self, targets: Sequence[Target], begin_ns: int, ticks: int, tick_ns: int) -> int:
        """Prepare, sleep and check for `ticks` ticks; returns how many passed (fewer when interrupted)."""

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        """The aggregation is complete: make the regions final. Raises PauseTooLong where no target may be looked at any
        more."""

    def window(self, target: Target, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
        """When `target` was really watched within the aggregation; None when it was not."""

    def resident(self, target: Target) -> Sequence[int] | None:
        """Resident bytes of each region, where known."""

    def shared(self, target: Target) -> tuple[list[Shared | None], int | None] | None:
        """For each region, its sharing with other mappings; and the index of the target that has the same address
        space, if there is one. None if nothing is known."""

    def advised(self, target: Target) -> Sequence[tuple[int, int, str]] | None:
        """What ops.base.Census has of that name."""

    def rates(self, target: Target) -> Rates | None:
        """How often the pages of each region are accessed, where that is known."""

    def touched_bounds(self, target: Target) -> TouchedBounds | None:
        """What core.policy.RegionPolicy has of that name; None where the touched bytes are no estimate."""

    def acted(self, acted: Sequence[ResetAges]) -> None:
        """Schemes have split regions, and reset the ages of `acted`."""

    def discard_window(self) -> None:
        """Nothing was watched for some time: discard what was prepared before."""

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        """The snapshot was taken: a new aggregation begins."""

    def interrupt(self) -> None:
        """From any thread: end a running `observe` within one tick."""

    def close(self) -> None:
        """Release what was opened. Idempotent."""


class SampledWatch:
    """Samples single pages; `policy` decides which, and infers the rest from the answers."""

    answers_early = False

    def __init__(
        self,
        policy: RegionPolicy,
        sampler: Sampler,
        random: Random,
        min_region: int = PAGE_SIZE,
        residents: Residents | None = None,
        cpu_ns: Callable[[], int] = cpu_time.thread_ns,
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
        self._fitting = RegionFitting(min_region)
        self._residents = residents
        self._refusals = Refusals()
        self._unseen: set[int] = set()  # targets of which a part of the window is missing
        self._ever_seen = False
        self._news: list[str] = []

    @property
    def target_cost_ns(self) -> int:
        return self._hits * TOUCH_NS

    @property
    def longest_pause_ns(self) -> int:
        of_residents = 0 if self._residents is None else self._residents.held.longest_ns
        return max(self._sampler.longest_pause_ns, of_residents)

    def news(self) -> list[str]:
        news, self._news = self._news, []
        return news

    def measure_cost(self, targets: Sequence[Target]) -> None:
        """Samples are cheap one by one: no cost to measure."""

    def adopt(self, targets: Sequence[Target], attrs: Attrs) -> None:
        self._fitting.fit(targets)
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
        self._refuse(targets)
        self.checks += answers.checks
        hits = 0 if self._sampler.name == "sim" else sum(answers.hits)
        self._hits += hits
        self.policy.fold(targets, slots, answers)
        self.checking_ns += self._cpu_ns() - before + hits * TOUCH_NS
        return answers.ticks

    def _refuse(self, targets: Sequence[Target]) -> None:
        """A target that the sampler could not open is not idle, but not watched; the others go on. The next update
        tells of one that may not be looked at."""
        for target in targets:
            refused = self._sampler.refused.get(target.index)
            if refused is None:
                self._refusals.allow(target.index)
                continue
            self._unseen.add(target.index)
            if not isinstance(refused, NotPermitted | OutOfFiles):
                text = self._refusals.refuse(target.index, refused)
                self._news += [] if text is None else [text]

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self.policy.finish_aggregation(targets)
        here = [target.index for target in targets]
        self._refusals.keep(here)
        unseen = self._unseen.intersection(here)
        self.skipped += len(unseen)
        self._ever_seen |= len(unseen) < len(here)
        if not self._ever_seen:
            self._refusals.require_one(here)
        self._refusals.window_over(here if len(unseen) == len(here) else [])

    def window(self, target: Target, begin_ns: int, end_ns: int) -> tuple[int, int] | None:
        return None if target.index in self._unseen else (begin_ns, end_ns)

    def resident(self, target: Target) -> array[int] | None:
        if target.resident is None:
            return None
        columns = target.columns
        return overlaps(columns.starts, columns.ends, target.resident)

    def shared(self, target: Target) -> None: ...

    def advised(self, target: Target) -> None: ...

    def rates(self, target: Target) -> None: ...

    def touched_bounds(self, target: Target) -> TouchedBounds | None:
        return self.policy.touched_bounds(target)

    def acted(self, acted: Sequence[ResetAges]) -> None:
        for target, start, end in acted:
            self.policy.reset_age(target, start, end)

    def discard_window(self) -> None:
        """Nothing is prepared between two stretches."""

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        self._unseen.clear()
        self.policy.begin_aggregation(targets)

    def interrupt(self) -> None:
        self._sampler.interrupt()

    def close(self) -> None:
        self._sampler.close()
