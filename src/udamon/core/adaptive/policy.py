"""The region policy `adaptive`: fit steps to single answers, ask next where they leave doubt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.plan import SlotPlan
from udamon.core.adaptive.shape import shape
from udamon.core.adaptive.space import Space
from udamon.core.adaptive.steps import Steps
from udamon.core.attrs import Attrs
from udamon.core.fit import align_ranges
from udamon.core.policy import Answers, Slots
from udamon.core.split import size_limit
from udamon.core.target import Target
from udamon.errors import RangesError
from udamon.model import PAGE_SIZE


class TargetModel(NamedTuple):
    """What is known of a target, and how much is looked for."""

    steps: Steps
    explorer: Explorer


class AdaptivePolicy:
    """At most `checks` checks an aggregation, whatever the number of regions. Nothing in it is random: places are
    drawn by the sampler, within its slots."""

    name = "adaptive"

    def __init__(
        self,
        min_region: int = PAGE_SIZE,
        checks: int | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        self.parameters = parameters or Parameters()
        self._min_region = min_region
        self._budget = checks
        self._attrs = Attrs()
        self._known: dict[int, TargetModel] = {}
        self._now_us = 0
        self._passed = 0  # ticks of this aggregation
        self._made = 0  # checks of this aggregation
        self._unfitted = 0  # ticks whose answers were taken, and not yet fitted

    @property
    def checks(self) -> int:
        """Most checks in an aggregation; unless it was chosen, as many as there may be regions."""
        return self._budget if self._budget is not None else self._attrs.max_nr_regions

    @checks.setter
    def checks(self, most: int) -> None:
        self._budget = most

    @property
    def backed_off(self) -> bool:
        """Nothing new was found in any target for some time, so that most of the checks are not made."""
        return bool(self._known) and all(known.explorer.backed_off for known in self._known.values())

    def start(self, targets: Sequence[Target], attrs: Attrs) -> None:
        if attrs.sample_us != self._attrs.sample_us:
            for known in self._known.values():
                known.steps.retime()
        self._attrs = attrs
        here = {target.index for target in targets if target.regions}
        for gone in self._known.keys() - here:
            del self._known[gone]
        for target in targets:
            if not target.regions:
                continue
            try:
                ranges = align_ranges(target.ranges, self._min_region)
            except RangesError:  # they make no sense: as fit leaves the regions, all stays as it is
                continue
            total = sum(r.size for r in ranges)
            parameters = self.parameters
            smallest_hole = max(
                parameters.hole_pages * PAGE_SIZE, total // (parameters.hole_part * attrs.max_nr_regions)
            )
            space = Space(ranges, target.resident, smallest_hole)
            if target.index not in self._known:
                steps = Steps(space, parameters, self._now_us)
                self._known[target.index] = TargetModel(steps, Explorer(parameters))
            elif (steps := self._known[target.index].steps).move(space, self._now_us):
                steps.fit(attrs.max_nr_accesses, self._now_us, attrs.aggr_us)

    def plan(self, targets: Sequence[Target], ticks: int) -> Slots:
        slots = Slots()
        known = [(i, self._known[t.index]) for i, t in enumerate(targets) if t.index in self._known]
        whole = self._attrs.max_nr_accesses
        first_look = False
        if any(explorer.learning for _, (_, explorer) in known):
            # Learn early: a first look with little, and then what it says of where to go on.
            first_look = self._passed == 0
            ticks = slots.ticks = 1 if first_look else min(ticks, max(whole // 4, 1))
        last = self._passed + ticks >= whole
        budget = max(self.checks - self._made, 0)
        if not first_look and not last:
            budget = budget * ticks // (whole - self._passed)
        left, total = budget, sum(steps.space.total for _, (steps, _) in known) or 1
        for position, (steps, explorer) in known:
            # In proportion to what is resident; but small targets are looked at, too.
            share = max(
                budget * steps.space.total // total, min(self.parameters.least_checks, budget // len(known))
            )
            share = min(share, left)
            if first_look and explorer.awake:
                share = share * ticks // whole
            elif explorer.learning and not explorer.awake and not first_look:
                continue  # all answers agree: that is enough for this aggregation
            plan = SlotPlan(slots, position, steps, share, self.parameters)
            plan.learn()
            if last:
                plan.follow(explorer.turn)
            wanted = explorer.wanted(share)
            if 4 * ticks >= 3 * whole:
                plan.explore(explorer, wanted * self.parameters.whole_share, ticks)
            plan.explore(explorer, wanted, 1)
            left -= share - plan.left
        return slots

    def fold(self, targets: Sequence[Target], slots: Slots, answers: Answers) -> None:
        ticks = self._attrs.max_nr_accesses
        self._unfitted += answers.ticks
        # After a first look, after each quarter, and at the end: schemes with short intervals make many more stretches,
        # and a fit for each would be most of the work.
        due = (
            slots.ticks == 1 or self._unfitted >= max(ticks // 4, 1) or self._passed + answers.ticks >= ticks
        )
        for position, target in enumerate(targets):
            if target.index not in self._known:
                continue
            steps, explorer = self._known[target.index]
            steps.take(position, slots, answers, ticks, older=self._passed == 0)
            explorer.looked(partial(_tally, position, slots, answers))
            if due:
                steps.fit(ticks, self._now_us, self._attrs.aggr_us)
                explorer.learn(steps)
        if due:
            self._unfitted = 0
        self._passed += answers.ticks
        self._made += answers.checks

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self._now_us += self._attrs.aggr_us
        limit = size_limit(targets, self._attrs.min_nr_regions, self._min_region)
        known = [(target, self._known[target.index]) for target in targets if target.index in self._known]
        for _, (steps, explorer) in known:
            explorer.end()
            steps.ages.settle(self._now_us, self._attrs.aggr_us, steps.bounds)
        shaped = [(target, steps) for target, (steps, _) in known]
        shape(shaped, self._attrs, self._now_us, self._min_region, limit, self.parameters)

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        self._passed = self._made = 0
        for target in targets:
            for r in target.regions:
                r.last_nr_accesses = r.nr_accesses

    def reset_age(self, target: Target, start: int, end: int) -> None:
        # The next aggregation is the first that counts, as where a rate changed in this one.
        if target.index in self._known:
            self._known[target.index].steps.ages.reset(start, end, self._now_us - self._attrs.aggr_us)


def _tally(position: int, slots: Slots, answers: Answers) -> tuple[int, int]:
    """Checks made in the slots of one target, and how many of them were answered by accesses."""
    mine = [i for i, of in enumerate(slots.target) if of == position]
    return sum(slots.checks[i] for i in mine), sum(answers.hits[i] for i in mine)
