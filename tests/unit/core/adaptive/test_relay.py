"""Checks that outlast stretches: the working set where each aggregation is cut, as the first ones are."""

from __future__ import annotations

from array import array
from math import sqrt
from random import Random

import pytest

from tests.unit.points import PAGE, Answer, answers_to
from tests.unit.simulated import BASE, Island, Memory, Simulation, seen
from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.relay import Relay
from udamon.core.attrs import Attrs
from udamon.core.policy import Slots
from udamon.model import Range

SIZE, SEEDS = 1 << 14, 10
TICKS = Attrs().max_nr_accesses


def salted(share: float, seed: int) -> Memory:
    """This share of the pages, chosen at random, is always accessed, all others never."""
    rng = Random(seed)
    return Memory(SIZE, *(Island(page, page + 1, 1.0) for page in range(SIZE) if rng.random() < share))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(("longest", "aggregations"), [(1 << 30, 1), (1 << 30, 3), (2, 3)])
def test_where_pages_are_unlike_the_working_set_is_known_although_stretches_are_short(
    share: float, longest: int, aggregations: int
) -> None:
    """One check of a page of unknown state has the variance q (1 - q). The first aggregation has 40 of them or more (a
    fifth of what is left after its first look), or 20 in stretches of two ticks. Two checks' worth of belief say that
    pages are alike: that adds at most 2 / 42. Of the seeds together at most three standard errors are chance."""
    checks = 40
    told = []
    for seed in range(SEEDS):
        memory = salted(share, seed)
        Simulation(memory, checks=1000, seed=seed, longest=longest).aggregate(aggregations)
        told.append(sum(region.touched for region in seen(memory)) / SIZE)
    off = sum(told) / SEEDS - share
    assert abs(off) <= Parameters().prior / (checks + 2) + 3 * sqrt(share * (1 - share) / checks / SEEDS)


@pytest.mark.parametrize("seed", range(5))
def test_what_lies_between_ranges_is_no_memory(seed: int) -> None:
    """Cold heap, cold and hot mappings far from it: the working set is right within the issue's tenth, and no memory
    counts as accessed that never was."""
    far, rng = 1 << 33, Random(seed)
    spots = (Island(far + page, far + page + 1) for page in range(500) if rng.random() < 0.15)
    memory = Memory(0, *spots, Island(far + 4096, far + 8192))
    ranges = [(0, 200), (far, far + 8192), (2 * far, 2 * far + 30)]
    memory.target.ranges = [Range((BASE + start) * PAGE, (BASE + end) * PAGE) for start, end in ranges]
    hot = sum(island.end - island.start for island in memory.islands)
    simulation = Simulation(memory, checks=1000, seed=seed, attrs=Attrs(sample_us=100_000, aggr_us=1_000_000))
    for _ in range(8):
        simulation.aggregate()
        cold = [region for region in seen(memory) if region.end <= 200 or region.start >= 2 * far]
        assert cold
        assert not any(region.nr_accesses for region in cold)
        assert sum(region.touched for region in seen(memory)) == pytest.approx(hot, rel=0.1)


def test_what_it_costs_is_within_the_budget_and_a_fifth_of_exploration() -> None:
    memory = salted(0.3, 1)
    simulation = Simulation(memory, checks=1000)
    for _ in range(3):
        simulation.aggregate()
        assert simulation.checks[-1] <= 1000
        spanning = sum(
            checks
            for slots, _ in simulation.plans
            for checks, span in zip(slots.checks, slots.span, strict=True)
            if span > 1
        )
        assert 0 < spanning <= 200


def follow(
    relay: Relay, answers: list[list[Answer]], ticks: int = 5, whole: int = TICKS
) -> list[tuple[int, int, int]]:
    """Hand a relay the answers of stretches, all from its own slots, and tell the points of the last."""
    told: list[tuple[int, int, int]] = []
    for k, found in enumerate(answers):
        slots = Slots()
        for answer in found:
            slots.add(0, answer.address, answer.address + PAGE, 1, ticks)
        relay.ask(range(len(slots)))
        last = k + 1 == len(answers)
        of, out = relay.take(0, slots, answers_to(slots, found, ticks), whole=whole, last=last)
        told = [
            (out.address[i] // PAGE, out.span[i], out.answer[i])
            for i, slot in enumerate(out.slot)
            if of.target[slot] == 0
        ]
        assert last or not told, "nothing is told before the aggregation is over"
    return told


def at(page: int, hit: int, span: int = 5) -> Answer:
    return Answer(page * PAGE, hit, 0, span)


def test_looks_at_a_page_one_after_another_are_one_answer() -> None:
    relay = Relay()
    relay.begin()
    stretches = [[at(3, 0), at(7, 1)], [at(3, 0)], [at(3, 0)], [at(3, 0)]]
    for i, found in enumerate(stretches):
        stretches[i] = [answer._replace(slot=k) for k, answer in enumerate(found)]
    assert follow(relay, stretches) == [(3, TICKS, 0), (7, TICKS, 1)]


def test_a_page_that_was_seen_accessed_is_asked_no_more() -> None:
    relay = Relay()
    slots = Slots(start=array("Q", [0, 0]), target=array("I", [0, 0]))
    relay.ask(range(2))
    relay.take(0, slots, answers_to(slots, [at(3, 1), at(9, 0)._replace(slot=1)], 5), whole=TICKS, last=False)
    assert relay.running
    assert list(relay.pages(10)) == [9 * PAGE]


def test_too_little_of_the_aggregation_is_no_answer() -> None:
    """Pages that were chosen when more than a quarter of it was over say nothing of all of it."""
    relay = Relay()
    assert follow(relay, [[at(3, 1)], [at(5, 0)]], ticks=5) == []


@pytest.mark.parametrize("room", [0, 1, 5, 17, 64])
def test_of_too_many_those_that_go_are_not_chosen_by_their_answers(room: int) -> None:
    kept = []
    for accessed in (0, 1):
        relay = Relay()
        found = [at(page, (page % 3 == 0) == accessed)._replace(slot=page) for page in range(64)]
        slots = Slots(start=array("Q", [0] * 64), target=array("I", [0] * 64))
        relay.ask(range(64))
        relay.take(0, slots, answers_to(slots, found, 5), whole=TICKS, last=False)
        assert len(relay.pages(room)) <= room
        relay.ask(range(0))
        _, told = relay.take(0, slots, answers_to(slots, [], 15), whole=TICKS, last=True)
        kept.append(list(told.address))
    assert kept[0] == kept[1]
    assert len(kept[0]) <= room
