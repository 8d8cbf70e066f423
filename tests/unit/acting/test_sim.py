"""Acting on simulated memory: what is moved out is away until the workload wants it."""

from __future__ import annotations

from udamon.acting.sim import SimActor, SimMemory
from udamon.core.clock import ManualClock
from udamon.core.policy import ACCESSED, NO_PAGE, Slots
from udamon.core.scheme import Action, ActionRequest, Filter
from udamon.core.target import Target
from udamon.model import Range
from udamon.ops.sim import SimSampler, SimSpace
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

MIB, TICK, BASE, PAGE = 1 << 20, 5_000_000, 1 << 30, 4096
S = 1_000_000_000

# 10 MiB hot all the time; 10 MiB cold for 100 s and hot after that. `cold` comes to lie behind `hot`.
TEXT = """hot, 10M
cold, 10M

first
100000
hot, 1, 4096, 1 # udamon: chance=1

then
100000
hot, 1, 4096, 1 # udamon: chance=1
cold, 1, 4096, 1 # udamon: chance=0.5
"""


class Sim:
    def __init__(self, text: str = TEXT) -> None:
        workload = parse(text)
        self.truth = Truth(workload, place(workload, base=BASE))
        self.memory = SimMemory(self.truth)
        self.actor = SimActor(self.memory)
        self.sampler = SimSampler(self.truth, ManualClock(), seed=7, memory=self.memory)
        placed = {r.name: Range(r.start, r.end) for r in self.truth.layout.regions}
        self.hot, self.cold = placed["hot"], placed["cold"]

    def look(self, area: Range, *, at_s: float, ticks: int = 20) -> list[int]:
        slots = Slots()
        slots.add(0, area.start, area.end, 50)
        return list(self.sampler.sample([], slots, int(at_s * S), ticks, TICK, 3).answer)

    def pageout(self, area: Range) -> tuple[int, int | None]:
        applied = self.actor.apply(Target(0), area.start, area.end, ActionRequest(Action.PAGEOUT))
        return applied.applied, applied.moved


def test_cold_memory_stays_out() -> None:
    sim = Sim()
    assert sim.pageout(sim.cold) == (10 * MIB, 10 * MIB)
    assert set(sim.look(sim.cold, at_s=1)) == {NO_PAGE}
    assert set(sim.look(sim.hot, at_s=2)) == {ACCESSED}
    assert sim.memory.out_bytes == sim.memory.moved_bytes == 10 * MIB
    assert sim.memory.refault_bytes == 0
    assert sim.memory.out_byte_ns == 10 * MIB * 2 * 20 * TICK
    assert sim.memory.resident() == [sim.hot]


def test_hot_memory_comes_back_at_once_and_counts_as_refault() -> None:
    sim = Sim()
    sim.pageout(sim.hot)
    assert set(sim.look(sim.hot, at_s=1)) == {ACCESSED}
    assert sim.memory.refault_bytes == sim.memory.returned_bytes == 10 * MIB
    assert sim.memory.out_bytes == 0


def test_what_is_wanted_back_after_a_minute_is_no_refault() -> None:
    sim = Sim()
    sim.pageout(sim.cold)
    sim.look(sim.cold, at_s=99)
    assert sim.memory.returned_bytes == 0
    sim.look(sim.cold, at_s=101)
    assert sim.memory.returned_bytes == 10 * MIB
    assert sim.memory.refault_bytes == 0


def test_a_page_that_is_out_is_not_moved_twice() -> None:
    sim = Sim()
    half = Range(sim.cold.start, sim.cold.start + 5 * MIB)
    assert sim.pageout(half) == (5 * MIB, 5 * MIB)
    assert sim.pageout(sim.cold) == (5 * MIB, 5 * MIB)
    assert sim.pageout(sim.cold) == (0, 0)


def test_pages_come_back_one_by_one_as_the_same_truth_has_it_that_checks_see() -> None:
    sim = Sim()
    sim.pageout(sim.cold)
    sim.look(sim.cold, at_s=150, ticks=1)
    back = sim.memory.returned_bytes // PAGE
    assert 0.4 < back / 2560 < 0.6
    plain = SimSampler(sim.truth, ManualClock(), seed=7)
    slots = Slots()
    for page in range(sim.cold.start, sim.cold.end, PAGE):
        slots.add(0, page, page + PAGE, 1)
    answers = plain.sample([], slots, 150 * S, 1, TICK, 3)
    assert sum(answers.hits) == back


def test_willneed_brings_in_and_is_no_refault() -> None:
    sim = Sim()
    sim.pageout(sim.cold)
    applied = sim.actor.apply(Target(0), sim.cold.start, sim.cold.start + MIB, ActionRequest(Action.WILLNEED))
    assert applied.moved == MIB
    assert (sim.memory.out_bytes, sim.memory.refault_bytes) == (9 * MIB, 0)


def test_cold_changes_nothing_and_the_rest_is_said_to_mean_nothing() -> None:
    sim = Sim()
    assert sim.actor.apply(Target(0), *sim.cold, ActionRequest(Action.COLD)) == (10 * MIB, 10 * MIB, None)
    assert sim.actor.apply(Target(0), *sim.cold, ActionRequest(Action.STAT)).applied == 0
    assert sim.memory.out_bytes == 0
    for request in (
        ActionRequest(Action.COLLAPSE),
        ActionRequest(Action.MIGRATE_HOT),
        ActionRequest(Action.PAGEOUT, (Filter(),)),
    ):
        assert sim.actor.missing(request)
        assert sim.actor.apply(Target(0), *sim.cold, request) == (0, 0, None)


def test_the_operations_set_knows_what_is_resident() -> None:
    sim = Sim()
    space, targets = SimSpace(sim.truth, memory=sim.memory), list[Target]()
    space.update(targets, lambda name, data: None)
    sim.pageout(sim.cold)
    space.update(targets, lambda name, data: None)
    assert targets[0].resident == sim.memory.resident()
    assert sum(r.size for r in targets[0].resident or ()) == 10 * MIB
