"""The simulated space: frequencies, spans, residency, windows and phases, against the truth they come from."""

from __future__ import annotations

from array import array

import pytest

from tests.unit.native_calls import named
from udamon.core.clock import ManualClock
from udamon.core.policy import ACCESSED, NO_PAGE, Answers, Slots
from udamon.core.target import Target
from udamon.native._native import Simulated, sim_sample
from udamon.ops.sim import SimSampler, SimSamplers, SimSpace
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

TICK = 5_000_000


def truth_of(text: str) -> Truth:
    workload = parse(text)
    return Truth(workload, place(workload, base=1 << 30))


def ask(truth: Truth, slots: Slots, *, at_ns: int = 0, ticks: int = 20, seed: int = 1) -> Answers:
    sampler = SimSampler(truth, ManualClock(), seed=7)
    return sampler.sample([], slots, at_ns, ticks, TICK, seed)


def one_slot(start: int, end: int, checks: int, span: int = 1) -> Slots:
    slots = Slots()
    slots.add(0, start, end, checks, span)
    return slots


HALF = truth_of("a, 40M\n\nonly\n1000\na, 1, 4096, 1 # udamon: chance=0.3\n")
BASE = 1 << 30


def test_hits_are_as_frequent_as_the_chance() -> None:
    answers = ask(HALF, one_slot(BASE, BASE + (40 << 20), 20_000))
    assert answers.hits[0] / 20_000 == pytest.approx(0.3, abs=0.015)  # 4.6 standard deviations
    assert answers.checks == len(answers.address) == 20_000
    assert sum(a == ACCESSED for a in answers.answer) == answers.hits[0]


def test_a_longer_span_hits_as_often_as_any_of_its_ticks() -> None:
    answers = ask(HALF, one_slot(BASE, BASE + (40 << 20), 20_000, span=3))
    assert set(answers.span) == {3}, "every check begins where its span fits"
    assert sum(answers.answer) / 20_000 == pytest.approx(1 - 0.7**3, abs=0.015)


def test_what_a_page_does_in_a_tick_does_not_depend_on_the_stretch() -> None:
    """Twenty ticks are the same in one stretch as in four, with a check of each page on each tick."""
    ticks, places = 20, range(BASE, BASE + (100 << 12), 4096)

    def hits(first: int, number: int) -> list[int]:
        slots = Slots()
        for start in places:
            slots.add(0, start, start + 4096, number)
        return list(ask(HALF, slots, at_ns=first * TICK, ticks=number).hits)

    whole = hits(0, ticks)
    parts = [hits(first, 5) for first in range(0, ticks, 5)]
    assert [sum(page) for page in zip(*parts, strict=True)] == whole
    assert len(set(whole)) > 1


def test_a_span_as_long_as_the_stretch_sees_all_of_it() -> None:
    """And a longer one is cut to it."""
    late = truth_of("a, 40M\n\nfirst\n95\n\nthen\n1000\na, 1, 4096, 1 # udamon: chance=1\n")
    for span in (20, 30):
        answers = ask(late, one_slot(BASE, BASE + (40 << 20), 10, span=span))
        assert set(answers.span) == {20}
        assert answers.hits[0] == 10


def test_slots_of_one_check_are_spread_over_the_ticks() -> None:
    """Hot in the last 5 of 20 ticks: a quarter of them is made then."""
    late = truth_of("a, 40M\n\nfirst\n75\n\nthen\n1000\na, 1, 4096, 1 # udamon: chance=1\n")
    slots = Slots()
    for _ in range(1000):
        slots.add(0, BASE, BASE + (40 << 20), 1)
    assert sum(ask(late, slots).hits) == pytest.approx(250, abs=5)


def test_a_page_in_a_tick_has_one_answer() -> None:
    slots = one_slot(BASE, BASE + 4096, 400)  # 20 checks of one page in each of 20 ticks
    answers = ask(HALF, slots)
    by_tick = [set(answers.answer[i * 20 : i * 20 + 20]) for i in range(20)]
    assert all(len(found) == 1 for found in by_tick)
    assert len({*map(tuple, by_tick)}) == 2, "and over the ticks, both"


def test_addresses_are_pages_of_the_slot_spread_evenly() -> None:
    answers = ask(HALF, one_slot(BASE + 8192, BASE + 8192 + 10 * 4096, 10_000))
    assert all(a % 4096 == 0 for a in answers.address)
    counts = [answers.address.count(BASE + 8192 + i * 4096) for i in range(10)]
    assert sum(counts) == 10_000
    assert all(abs(c - 1000) < 150 for c in counts)  # 5 standard deviations


def test_what_is_not_resident_has_no_page() -> None:
    truth = truth_of("a, 100M # udamon: resident=10%\n\nonly\n1000\na, 1, 4096, 1 # udamon: chance=1\n")
    answers = ask(truth, one_slot(BASE, BASE + (100 << 20), 1_000))
    inside = [a < BASE + (10 << 20) for a in answers.address]
    assert [a == ACCESSED for a in answers.answer] == inside
    assert answers.no_page[0] == inside.count(False) == list(answers.answer).count(NO_PAGE)


def test_every_answer_agrees_with_a_moving_window() -> None:
    text = "a, 100M\n\nonly\n10000\na, 0, 4096, 1 # udamon: chance=1 window=10% period=1s\n"
    truth = truth_of(text)
    for at in (0, 17 * TICK, 1_000 * TICK, 1_993 * TICK):
        answers = ask(truth, one_slot(BASE, BASE + (100 << 20), 2_000), at_ns=at)
        for i, (address, answer) in enumerate(zip(answers.address, answers.answer, strict=True)):
            pieces = truth.pieces(at + i * 20 // 2_000 * TICK, TICK)
            assert answer == any(p.start <= address < p.end for p in pieces)


def test_phases_change_within_a_stretch() -> None:
    text = "a, 4M\nb, 4M\n\none\n50\na, 1, 4096, 1 # udamon: chance=1\n\ntwo\n50\nb, 1, 4096, 1 # udamon: chance=1\n"
    answers = ask(truth_of(text), one_slot(BASE, BASE + (8 << 20), 200))
    for i, (address, answer) in enumerate(zip(answers.address, answers.answer, strict=True)):
        in_a = address < BASE + (4 << 20)
        assert answer == (in_a if i < 100 else not in_a)


def test_an_interrupted_stretch_answers_for_the_ticks_it_had() -> None:
    clock = ManualClock()
    sampler = SimSampler(HALF, clock)
    sampler.interrupt()
    answers = sampler.sample([], one_slot(BASE, BASE + 4096, 20), 0, 20, TICK, 1)
    assert (answers.ticks, answers.checks) == (0, 0)


def call(buffers: list[array[int] | array[float]]) -> Simulated:
    return sim_sample(**named("sim_sample", buffers), ticks=1, first_tick=0, truth_seed=0, draw_seed=0)


@pytest.mark.parametrize("wrong", range(13))
def test_arrays_that_do_not_fit_are_refused(wrong: int) -> None:
    buffers: list[array[int] | array[float]] = [array(code) for code in "IIIQQddQQQQII"]
    for i in range(3):
        buffers[i].append(0)
    assert call(buffers).hits == array("I")
    extra = {6: [0.0] * 6}.get(wrong, [2**40] if buffers[wrong].typecode in "Qd" else [5])
    for value in extra:
        buffers[wrong].append(value)  # type: ignore[arg-type]
    if wrong == 6:
        call(buffers)  # one more window is fine
    else:
        with pytest.raises(ValueError, match=r"must have|begin"):
            call(buffers)


def test_several_workloads_are_targets_of_one_space_and_each_answers_for_itself() -> None:
    """Slots of both in turns: those of the first are answered as if it were alone, the second is never accessed."""
    idle = truth_of("b, 40M\n\nonly\n1000\n")
    targets: list[Target] = []
    SimSpace(HALF, idle).update(targets, lambda *_: None)
    assert [(t.index, t.ranges) for t in targets] == [(0, HALF.layout.ranges()), (1, idle.layout.ranges())]
    slots, alone = Slots(), Slots()
    for start in range(BASE, BASE + (40 << 20), 4 << 20):
        slots.add(1, start, start + (4 << 20), 7)
        slots.add(0, start, start + (2 << 20), 50, 3)
        alone.add(0, start, start + (2 << 20), 50, 3)
    sampler = SimSamplers([SimSampler(HALF, ManualClock(), seed=7), SimSampler(idle, ManualClock(), seed=7)])
    both, first = sampler.sample(targets, slots, 0, 20, TICK, 1), ask(HALF, alone)
    assert list(both.hits[1::2]) == list(first.hits)
    assert sum(both.hits[::2]) == 0
    mine = [i for i, slot in enumerate(both.slot) if slot % 2]
    assert [both.address[i] for i in mine] == list(first.address)
    assert [both.slot[i] // 2 for i in mine] == list(first.slot)
    assert (both.checks, both.ticks) == (10 * 57, 20)
    assert all(slots.start[s] <= a < slots.end[s] for s, a in zip(both.slot, both.address, strict=True))
