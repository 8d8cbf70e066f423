"""Services looked at page by page, in simulated time: what is told of all ages, within a bound on memory."""

from __future__ import annotations

import errno

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Pages, Program
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.pages import Room
from udamon.agent.process import PAUSE
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.ways.choice import Ways
from udamon.core.idle_time import SECONDS
from udamon.errors import NotSupported, PauseTooLong

MIXED = {1.0: 4 * MIB, 290.0: 3 * MIB, 0.0: 9 * MIB}
TWO_MINUTES, FIVE, TEN, HOUR = (SECONDS.index(age) for age in (120, 300, 600, 3600))


def watched(node: Node, pages: Pages, room: Room | None = None, settings: Settings | None = None) -> Rotation:
    return node.rotation(settings or Settings(budget=1.0), Ways({pages.via: pages}, room=room))


def test_all_ages_are_told_at_each_window() -> None:
    """The part that is touched every 290 s is idle for two minutes in some windows, for ten in none."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = watched(node, Pages(node))
    seen = set()
    for _ in range(40):
        node.run(rotation, 123)
        figures = rotation.services["mixed"].figures
        if TEN in figures.measured:
            seen.add(figures.measured[TWO_MINUTES].cold.low)
            assert figures.measured[TEN].cold == (9 * MIB, 9 * MIB)
    assert seen == {9 * MIB, 12 * MIB}
    assert figures.measured[HOUR].cold == (9 * MIB, 9 * MIB)
    assert SECONDS.index(7200) not in figures.measured
    assert figures.measured[TWO_MINUTES].accessed.high == 16 * MIB - figures.measured[TWO_MINUTES].cold.low
    assert figures.promoted[TWO_MINUTES] > 0
    assert figures.promoted[TWO_MINUTES] % (3 * MIB) == 0
    assert figures.promoted[TEN] == 0
    assert figures.needs.limit is not None
    one = rotation.services["mixed"]
    assert (one.way.via, one.way.grain) == ("pte", "page")
    assert +rotation.states() == {"watched": 1}


def test_the_safe_age_is_known_after_an_hour() -> None:
    """As by refs: 3 MiB that are touched every 290 s come back after two minutes, nothing after five."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = watched(node, Pages(node))
    node.run(rotation, 3500)
    figures = rotation.services["mixed"].figures
    assert figures.safe is None
    node.run(rotation, 300)
    assert 3600 * NS <= figures.promotions.watched_ns <= 3800 * NS
    assert figures.safe is not None
    assert SECONDS[figures.safe] == 300


def test_ages_below_a_window_are_told_within_the_hour() -> None:
    node = Node()
    node.add("mixed", Program({1.0: 4 * MIB, 30.0: 4 * MIB, 0.0: 8 * MIB}))
    rotation = watched(node, Pages(node))
    node.run(rotation, 70)
    cold = {SECONDS[at]: found.cold.low for at, found in rotation.services["mixed"].figures.measured.items()}
    assert cold == {1: 12 * MIB, 10: 12 * MIB, 60: 8 * MIB}
    node.run(rotation, 3 * 3600)
    now_ns = node.clock.now_ns()
    measured = rotation.services["mixed"].figures.measured
    assert all(now_ns - measured[SECONDS.index(age)].at_ns < 3700 * NS for age in (1, 10, 60))


def test_a_process_that_grows_within_a_window() -> None:
    """What it allocated and accessed since is no part of what was there before and is cold."""
    node = Node()
    program = Program({1.0: 4 * MIB, 0.0: 12 * MIB})
    node.add("web", program)
    rotation = watched(node, Pages(node))
    node.run(rotation, 20)
    program.parts = {1.0: 4 * MIB, 0.0: 12 * MIB, 1.5: 8 * MIB}
    node.run(rotation, 50)
    found = rotation.services["web"].figures.measured[SECONDS.index(60)]
    assert found.resident == (24 * MIB, 24 * MIB)
    assert (found.cold, found.accessed) == ((12 * MIB, 12 * MIB), (12 * MIB, 12 * MIB))


def test_shared_pages_are_bounds() -> None:
    node = Node()
    node.add("web", *(Program({1.0: 2 * MIB, 0.0: 2 * MIB}, files=4 * MIB) for _ in range(2)))
    rotation = watched(node, Pages(node))
    node.run(rotation, 140)
    found = rotation.services["web"].figures.measured[TWO_MINUTES]
    assert found.resident == (12 * MIB, 16 * MIB)
    assert found.cold == (8 * MIB, 16 * MIB), "2 private ones each, at least; 12 less 4 that were accessed"
    assert found.accessed == (0, 4 * MIB)


def test_beyond_the_bound_on_memory_it_is_a_subset() -> None:
    """Room for some 4 MiB of 16: coverage says so, and the rest may be either."""
    node = Node()
    node.add("mixed", Program(MIXED))
    room = Room(200 + (4 * MIB // 4096) // 2)
    rotation = watched(node, Pages(node), room)
    node.run(rotation, 140)
    found = rotation.services["mixed"].figures.measured[TWO_MINUTES]
    assert found.coverage == pytest.approx(0.25, abs=0.02)
    assert found.cold.low <= 9 * MIB <= found.cold.high
    assert found.accessed.low <= 4 * MIB <= found.accessed.high
    assert +rotation.states() == {"partial": 1}
    assert rotation.dropped["memory"] > 0
    assert room.used <= room.most + 32


def test_what_ended_leaves_nothing() -> None:
    node = Node()
    pages, room = Pages(node), Room()
    node.add("a", Program({0.0: MIB}), Program({1.0: MIB}))
    rotation = watched(node, pages, room)
    node.run(rotation, 130)
    assert room.used > 0
    del node.programs["a"][100]
    node.run(rotation, 130)
    assert pages.forgotten == [100]
    node.remove("a")
    node.run(rotation, 2)
    assert sorted(pages.forgotten) == [100, 101]
    assert room.used == 0


def test_who_came_within_a_window_is_told_when_it_was_watched_for_as_long() -> None:
    node = Node()
    node.add("web", Program({1.0: MIB}))
    rotation = watched(node, Pages(node))
    node.run(rotation, 15)
    node.programs["web"][900] = Program({0.0: 4 * MIB})
    node.run(rotation, 110)
    found = rotation.services["web"].figures.measured[TWO_MINUTES]
    assert found.coverage == pytest.approx(0.2)
    assert found.cold == (0, 4 * MIB)
    node.run(rotation, 125)
    assert rotation.services["web"].figures.measured[TWO_MINUTES].cold == (4 * MIB, 4 * MIB)


def test_a_process_that_misses_a_look_begins_anew() -> None:
    """As for want of descriptors: its pages had the numbers of before, which mean other times now. 2 MiB were accessed
    at 1450 s for the last time, and nothing was seen of them at 1680 s."""
    node = Node()
    program = Program({1.0: MIB, 1450.0: 2 * MIB, 0.0: 4 * MIB})
    node.add("web", program)
    rotation = watched(node, Pages(node))
    while (now_s := node.clock.now_ns() // NS) < 2400:
        program.error = errno.EMFILE if 1600 < now_s < 1700 else 0
        node.run(rotation, 1)
        found = rotation.services["web"].figures.measured.get(FIVE)
        if found is not None and found.at_ns > (1450 + 300) * NS:
            assert found.cold.high >= 6 * MIB
    assert found is not None
    assert found.cold == (6 * MIB, 6 * MIB)


def test_who_comes_to_a_service_of_which_nothing_could_be_looked_at() -> None:
    """It was given, and another monitor has what is in it: nothing ran since, and nothing is known."""
    node = Node()
    node.add("idle", Program({0.0: MIB}))
    rotation = watched(node, Pages(node))
    node.run(rotation, 130)
    rotation.give(["idle"])
    node.locked.add(100)
    rotation.take_back(["idle"])
    node.run(rotation, 10)
    node.programs["idle"][900] = Program({0.0: 4 * MIB})
    node.run(rotation, 260)
    assert rotation.services["idle"].figures.measured[TWO_MINUTES].cold.low == 4 * MIB


def test_a_service_of_which_nothing_ran_is_not_looked_at() -> None:
    node = Node()
    pages = Pages(node)
    node.add("idle", Program({0.0: 8 * MIB}))
    rotation = watched(node, pages)
    node.run(rotation, 4000)
    assert len(pages.clears[100]) == 1
    assert rotation.services["idle"].figures.measured[HOUR].cold == (8 * MIB, 8 * MIB)


@pytest.mark.parametrize("failure", [PauseTooLong("long"), NotSupported("other tables")])
def test_a_way_that_does_not_do_is_not_tried_again(failure: PauseTooLong | NotSupported) -> None:
    """With `auto` the next best one is taken; where a class names it, the service is left alone."""
    node = Node()
    pages = Pages(node)
    pages.failure = failure
    node.add("web", Program({1.0: MIB, 0.0: MIB}))
    rotation = watched(node, pages)
    node.run(rotation, 400)
    one = rotation.services["web"]
    assert one.way.via == "refs"
    assert one.figures.measured[TWO_MINUTES].cold == (MIB, MIB)
    named = watched(node := Node(), pages, settings=Settings(budget=1.0, default=ServiceClass(via="pte")))
    pages.node = node
    node.add("web", Program({1.0: MIB, 0.0: MIB}))
    node.run(named, 400)
    assert named.services["web"].way.via == "pte"
    assert all(found.coverage == 0 for found in named.services["web"].figures.measured.values())
    states = {each.state for each in named.services["web"].processes.values()}
    assert (states == {PAUSE}) is isinstance(failure, PauseTooLong)


@pytest.mark.parametrize(("in_use", "via"), [(200_000, "idle"), (300_000, "refs")])
def test_idle_is_taken_where_it_is_cheap(in_use: int, via: str) -> None:
    """2.5 µs a page and a window of 120 s, half of 1 % of a CPU: 240,000 pages."""
    node = Node()
    node.add("web", Program({1.0: MIB}))
    ways = Ways({"idle": Pages(node, "idle", 2500)}, memory_pages=lambda: in_use)
    rotation = node.rotation(Settings(budget=0.01), ways)
    node.run(rotation, 5)
    assert rotation.services["web"].way.via == via
