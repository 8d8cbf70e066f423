"""Services that recordings have: left alone until the last one ends, and shown meanwhile."""

from __future__ import annotations

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Pages, Program
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.settings import Settings
from udamon.agent.ways.choice import Ways


def test_a_service_is_given_and_taken_back() -> None:
    node = Node()
    node.add("one", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    assert rotation.key_of(100) == "one"
    rotation.give(["one"])
    assert not node.held
    assert rotation.states()["given"] == 1
    (program,) = node.programs["one"].values()
    looks = program.looks
    node.run(rotation, 300)
    assert program.looks == looks
    rotation.take_back(["one"])
    node.run(rotation, 130)
    assert rotation.states()["watched"] == 1
    assert rotation.dropped["handover"] == 1


def test_a_service_that_two_recordings_have_is_left_alone_until_both_have_ended() -> None:
    """The second one may end at once: the first one has the locks."""
    node = Node()
    node.add("one", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    rotation.give(["one"])
    rotation.give(["one"])
    rotation.take_back(["one"])
    node.run(rotation, 10)
    assert rotation.states()["given"] == 1
    assert not node.held
    rotation.take_back(["one"])
    node.run(rotation, 10)
    assert rotation.states()["given"] == 0
    assert node.held == {100}


def test_a_given_service_that_had_no_process_at_first_is_shown() -> None:
    node = Node()
    node.add("one")
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 10)
    node.programs["one"][900] = Program({1.0: MIB})
    node.run(rotation, 60)
    assert node.held == {900}
    rotation.give(["one"])
    assert +rotation.states() == {"given": 1}


@pytest.mark.parametrize("via", ["pte", "refs"])
def test_the_time_in_which_a_recording_has_it_was_not_watched(via: str) -> None:
    """A safe age takes an hour of watching."""
    node = Node()
    node.add("one", Program({1.0: MIB, 0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0), Ways({"pte": Pages(node)} if via == "pte" else {}))
    node.run(rotation, 300)
    rotation.give(["one"])
    node.run(rotation, 7200)
    rotation.take_back(["one"])
    node.run(rotation, 300)
    one = rotation.services["one"]
    assert one.way.via == via
    assert 300 * NS <= one.figures.promotions.watched_ns <= 600 * NS


def test_a_service_stays_given_when_settings_are_read_again() -> None:
    node = Node()
    node.add("one", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    rotation.give(["one"])
    rotation.apply(Settings(budget=1.0, default=ServiceClass(longest_age_s=600)))
    node.run(rotation, 10)
    assert rotation.states()["given"] == 1
    assert not node.held
    rotation.take_back(["one"])
    node.run(rotation, 10)
    assert node.held == {100}
