"""The policy `adaptive` under arbitrary answers, ranges, residency, attributes and targets."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.property.test_regions import covered, joined_ranges
from tests.unit.points import PAGE, Answer, answers_to
from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.fit import fit
from udamon.core.policy import Slots
from udamon.core.target import Target
from udamon.model import Range

pytestmark = pytest.mark.native

SPACE = 40_000  # pages


@st.composite
def range_lists(draw: st.DrawFn, least: int = 1, most: int = 4) -> list[Range]:
    """Sorted, not touching; most of them small."""
    at = draw(st.integers(0, 1000))
    ranges = []
    for _ in range(draw(st.integers(least, most))):
        at += draw(st.sampled_from([1, 2, 70, 5000]))
        end = at + draw(st.sampled_from([1, 3, 64, 1000, 9000]))
        ranges.append(Range(at * PAGE, end * PAGE))
        at = end
    return ranges


ATTRS = st.builds(
    lambda sample, ticks, low, more: Attrs(sample, sample * ticks, 1_000_000, low, low + more),
    st.sampled_from([5_000, 10_000]),
    st.sampled_from([1, 2, 3, 20]),
    st.integers(3, 20),
    st.integers(0, 60),
)
RESIDENT = st.one_of(st.none(), range_lists(0, 6))


class Machine(RuleBasedStateMachine):
    """Each answer is drawn at random, a hit as often as `warmth` says. In some machines one in three is that of a
    huge page, which may reach beyond the range: a folio of which only a part is mapped."""

    @initialize(
        ranges=range_lists(), resident=RESIDENT, attrs=ATTRS, budget=st.sampled_from([1, 3, 40, 300]),
        huge=st.booleans(),
    )  # fmt: skip
    def start(
        self, ranges: list[Range], resident: list[Range] | None, attrs: Attrs, budget: int, huge: bool
    ) -> None:
        self.random = Random(budget)
        self.policy = AdaptivePolicy(checks=budget)
        self.budget = budget
        self.huge = huge
        self.attrs = attrs
        self.next_index = 1
        self.passed_us = 0
        self.targets = [Target(0, ranges=ranges, resident=resident)]
        self.adopt()

    def adopt(self) -> None:
        for target in self.targets:
            target.regions = fit(target.regions, target.ranges, PAGE)
        self.policy.start(self.targets, self.attrs)

    @rule(warmth=st.floats(0, 1), interrupted=st.booleans())
    def aggregate(self, warmth: float, interrupted: bool) -> None:
        left, made = self.attrs.max_nr_accesses, 0
        while left:
            slots = self.policy.plan(self.targets, left)
            ticks = slots.ticks or left
            assert 1 <= ticks <= left
            self.check(slots, ticks)
            done = self.random.randint(0, ticks) if interrupted else ticks
            interrupted = False
            made += sum(self.answer(slots, ticks, done, warmth))
            left -= done
        assert made <= self.budget
        self.policy.finish_aggregation(self.targets)
        self.passed_us += self.attrs.aggr_us
        self.check_regions()
        self.policy.begin_aggregation(self.targets)

    def check(self, slots: Slots, ticks: int) -> None:
        """The samplers look at whole pages, all that a slot lies in."""
        for position, start, end, checks, span in zip(
            slots.target, slots.start, slots.end, slots.checks, slots.span, strict=True
        ):
            ranges = self.targets[position].ranges
            assert ranges[0].start <= start < end <= ranges[-1].end
            assert checks >= 1
            assert 1 <= span <= ticks

    def answer(self, slots: Slots, ticks: int, done: int, warmth: float) -> list[int]:
        """The checks made of each slot: as many as the ticks that were done allow."""
        draw = self.random.random
        checks = [number * done // ticks for number in slots.checks]
        answers = []
        for i, number in enumerate(checks):
            for _ in range(number):
                address = self.random.randrange(slots.start[i], slots.end[i]) // PAGE * PAGE
                answer = 2 if draw() < 0.05 else int(draw() < warmth)
                shift = 21 if self.huge and draw() < 0.3 else 12
                answers.append(Answer(address, answer, i, min(slots.span[i], max(done, 1)), shift))
        self.policy.fold(self.targets, slots, answers_to(slots, answers, done))
        return checks

    def check_regions(self) -> None:
        attrs, count = self.attrs, sum(len(target.regions) for target in self.targets)
        ranges = sum(len(target.ranges) for target in self.targets)
        if len(self.targets) == 1:
            # Ranges that do not touch are regions of their own, and the limit that keeps the minimum divides them.
            assert count <= max(attrs.max_nr_regions, attrs.min_nr_regions + ranges)
        assert count <= attrs.max_nr_regions + attrs.min_nr_regions + ranges
        pages = sum(r.size for target in self.targets for r in target.ranges) // PAGE
        if pages >= attrs.min_nr_regions**2:
            assert count >= attrs.min_nr_regions - 1
        for target in self.targets:
            for r in target.regions:
                assert 0 <= r.touched <= r.size
                assert 0 <= r.nr_accesses <= attrs.max_nr_accesses
                assert 0 <= r.age * attrs.aggr_us <= self.passed_us

    @rule(which=st.integers(0, 3), ranges=range_lists())
    def move(self, which: int, ranges: list[Range]) -> None:
        self.targets[which % len(self.targets)].ranges = ranges
        self.adopt()

    @rule(which=st.integers(0, 3), resident=RESIDENT)
    def reside(self, which: int, resident: list[Range] | None) -> None:
        self.targets[which % len(self.targets)].resident = resident
        self.adopt()

    @rule(attrs=ATTRS)
    def change_attrs(self, attrs: Attrs) -> None:
        self.attrs = attrs
        self.adopt()
        self.policy.begin_aggregation(self.targets)

    @rule(budget=st.sampled_from([0, 1, 17, 500]))
    def change_budget(self, budget: int) -> None:
        self.budget = self.policy.checks = budget

    @rule(ranges=range_lists(), resident=RESIDENT)
    def add_target(self, ranges: list[Range], resident: list[Range] | None) -> None:
        if len(self.targets) < 4:
            self.targets.append(Target(self.next_index, ranges=ranges, resident=resident))
            self.next_index += 1
            self.adopt()

    @rule(which=st.integers(0, 3))
    def remove_target(self, which: int) -> None:
        if len(self.targets) > 1:
            del self.targets[which % len(self.targets)]
            self.adopt()

    @invariant()
    def regions_cover_the_ranges(self) -> None:
        for target in getattr(self, "targets", []):
            assert covered(target.regions) == joined_ranges(target.ranges)


TestAdaptivePolicy = Machine.TestCase
