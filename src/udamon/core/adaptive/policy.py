"""The region policy `adaptive`: fit steps to single answers, ask next where they leave doubt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from udamon.core.adaptive.explorer import Explorer
from udamon.core.adaptive.newcomers import Newcomers
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.plan import SlotPlan
from udamon.core.adaptive.shape import shape
from udamon.core.adaptive.space import Space
from udamon.core.adaptive.steps import Steps
from udamon.core.adaptive.target_model import TargetModel
from udamon.core.attrs import Attrs
from udamon.core.fit import align_ranges
from udamon.core.policy import Answers, Slots, TouchedBounds
from udamon.core.split import size_limit
from udamon.core.target import Target
from udamon.errors import RangesError
from udamon.model import PAGE_SIZE


class AdaptivePolicy:
    """At most `checks` checks an aggregation, whatever the number of regions. Nothing in it is random: places are
    drawn by the sampler, within its slots."""

    name = "adaptive"

    def __init__(
        self,
        min_region: int = PAGE_SIZE,
        checks: int | None = None,
        parameters: Parameters | None = None,
        find: int | None = None,
    ) -> None:
        """`find`: bytes of the smallest island that is looked for before exploration becomes less; None: by the
        parameters."""
        self.parameters = parameters or Parameters()
        self._min_region = min_region
        self._budget = checks
        self._find = find
        self._attrs = Attrs()
        self._known: dict[int, TargetModel] = {}
        self._turn: list[int] = []  # indices of the targets that are looked at in this aggregation
        self._limit = min_region  # of a region's size
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
        limit = size_limit(targets, attrs.min_nr_regions, self._min_region)
        for known in self._known.values():
            if attrs.sample_us != self._attrs.sample_us:
                known.steps.retime(self._attrs.sample_us, attrs.sample_us, self._now_us)
            if attrs.aggr_us != self._attrs.aggr_us:
                known.steps.forget_judged()
            if (attrs, limit) != (self._attrs, self._limit):
                known.shaped = None
        self._attrs, self._limit = attrs, limit
        here = {target.index for target in targets if target.nr_regions}
        for gone in self._known.keys() - here:
            del self._known[gone]
        for target in targets:
            if not target.nr_regions:
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
                self._known[target.index] = TargetModel(steps, Explorer(parameters), Newcomers(parameters))
            elif (known := self._known[target.index]).steps.move(space, self._now_us):
                known.steps.fit(attrs.max_nr_accesses, self._now_us, attrs.aggr_us)
                known.shaped = None

    def plan(self, targets: Sequence[Target], ticks: int) -> Slots:
        slots = Slots()
        if not self._turn:
            self._choose()
        known = self._looked_at(targets)
        whole = self._attrs.max_nr_accesses
        # Learn early: a first look with little, and then what it says of where to go on. Targets that take turns have
        # too few checks for that.
        crowd = len(self._turn) < len(self._known)
        early = not crowd and any(one.explorer.learning for _, one in known)
        first_look = early and self._passed == 0
        if early:
            ticks = slots.ticks = 1 if first_look else min(ticks, max(whole // 4, 1))
        last = self._passed + ticks >= whole
        budget = max(self.checks - self._made, 0)
        if not first_look and not last:
            budget = budget * ticks // (whole - self._passed)
        left, weights = budget, sum(one.weight for _, one in known)
        # What one does not need reaches the others: who wants least comes first, and each has its part of what is left.
        for position, one in sorted(known, key=lambda known: known[1].explorer.wanted(budget)):
            steps, explorer = one.steps, one.explorer
            share = left * one.weight // max(weights, 1)
            weights -= one.weight
            one.slots = range(len(slots), len(slots))
            if first_look and explorer.awake:
                share = share * ticks // whole
            elif early and explorer.learning and not explorer.awake and not first_look:
                continue  # all answers agree: that is enough for this aggregation
            plan = SlotPlan(slots, position, steps, share, self.parameters)
            if one.relay.running:
                plan.pass_on(one.relay, ticks)
            plan.learn()
            if last:
                plan.follow(explorer.turn)
            before = plan.left
            self._explore(plan, one, share, ticks, first_look=first_look)
            one.newcomers.explore(before - plan.left)
            left -= share - plan.left
            one.slots = range(one.slots.start, len(slots))
        return slots

    def _explore(self, plan: SlotPlan, one: TargetModel, share: int, ticks: int, *, first_look: bool) -> None:
        """Look for what is not known, with a part of the checks spanning the aggregation."""
        explorer, whole = one.explorer, self._attrs.max_nr_accesses
        wanted = explorer.wanted(share)
        spanning = wanted * self.parameters.whole_share
        if 4 * ticks >= 3 * whole:
            plan.measure(explorer, spanning, ticks)
        elif not first_look and not one.relay.running and 4 * (whole - self._passed) >= 3 * whole:
            plan.choose(one.relay, explorer, spanning, ticks)
        plan.explore(explorer, wanted)

    def _choose(self) -> None:
        """Whose turn it is. Where there are too many for all to be looked at: those who have waited longest."""
        room = max(self.checks // self.parameters.turn_checks, 1)
        waiting = sorted(self._known, key=lambda index: -self._known[index].waited)
        self._turn = waiting[:room]
        for index in waiting[room:]:
            self._known[index].waited += 1

    def _looked_at(self, targets: Sequence[Target]) -> list[tuple[int, TargetModel]]:
        """Position and model of the targets whose turn it is, and that are still there."""
        turn = self._known.keys() & self._turn
        return [(i, self._known[target.index]) for i, target in enumerate(targets) if target.index in turn]

    def fold(self, targets: Sequence[Target], slots: Slots, answers: Answers) -> None:
        ticks = self._attrs.max_nr_accesses
        self._unfitted += answers.ticks
        # After a first look, after each quarter, and at the end: schemes with short intervals make many more stretches,
        # and a fit for each would be most of the work.
        due = (
            slots.ticks == 1 or self._unfitted >= max(ticks // 4, 1) or self._passed + answers.ticks >= ticks
        )
        for position, one in self._looked_at(targets):
            older = one.waited + 1 if self._passed == 0 else 0
            one.waited = 0
            last = self._passed + answers.ticks >= ticks
            told = one.relay.take(position, slots, answers, whole=ticks, last=last)
            one.steps.take(position, *told, ticks, older=older, most_regions=self._attrs.max_nr_regions)
            one.explorer.looked(partial(_tally, one.slots, slots, answers))
            if due:
                one.steps.fit(ticks, self._now_us, self._attrs.aggr_us)
                one.explorer.learn(one.steps, met=self._met(one))
                one.newcomers.found(one.steps)
                one.shaped = None
        if due:
            self._unfitted = 0
        self._passed += answers.ticks
        self._made += answers.checks

    def _met(self, one: TargetModel) -> bool:
        """Whether the smallest island worth finding would hardly have been missed so far."""
        total = one.steps.space.total
        smallest = self._find or total / self.parameters.find_part
        return one.newcomers.explored * smallest >= self.parameters.find_looks * total

    def finish_aggregation(self, targets: Sequence[Target]) -> None:
        self._now_us += self._attrs.aggr_us
        for _, one in self._looked_at(targets):
            one.explorer.end()
            one.newcomers.end(one.steps, self._now_us, self._attrs.aggr_us)
            one.steps.ages.settle(self._now_us, self._attrs.aggr_us, one.steps.bounds)
        known = [(target, self._known[target.index]) for target in targets if target.index in self._known]
        shape(known, self._attrs, self._now_us, self._min_region, self._limit, self.parameters)

    def touched_bounds(self, target: Target) -> TouchedBounds | None:
        known = self._known.get(target.index)
        return None if known is None else known.steps.touched_bounds(known.idle_mixed)

    def begin_aggregation(self, targets: Sequence[Target]) -> None:
        self._passed = self._made = 0
        self._turn = []
        for one in self._known.values():
            one.relay.begin()
            one.steps.begin_aggregation()
        for target in targets:
            target.begin_aggregation()

    def reset_age(self, target: Target, start: int, end: int) -> None:
        # The next aggregation is the first that counts, as where a rate changed in this one.
        if target.index in self._known:
            one = self._known[target.index]
            one.steps.ages.reset(start, end, self._now_us - self._attrs.aggr_us)
            one.shaped = None


def _tally(mine: range, slots: Slots, answers: Answers) -> tuple[int, int]:
    """Checks made in the slots `mine`, and how many of them were answered by accesses."""
    return sum(slots.checks[mine.start : mine.stop]), sum(answers.hits[mine.start : mine.stop])
