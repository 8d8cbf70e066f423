"""Looks that cannot be made, as where no descriptor is left: told, repeated, and nothing is made of them."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Pages, Program
from udamon.agent.discovery.model import Service
from udamon.agent.process import DENIED
from udamon.agent.settings import Settings
from udamon.agent.ways.choice import Ways
from udamon.core.idle_time import SECONDS
from udamon.errors import OutOfFiles

TWO_MINUTES = SECONDS.index(120)


@pytest.mark.parametrize("before_s", [0, 60])
def test_descriptors_that_run_out_are_told_and_pass(before_s: int) -> None:
    """At the beginning, and in the middle of a cycle: members cannot be read."""
    node = Node()
    node.add("one", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, before_s)
    members, full = node.members, True

    def refuse(service: Service) -> Sequence[int]:
        if full:
            raise OutOfFiles("no more")
        return members(service)

    node.members = refuse  # type: ignore[method-assign]
    node.run(rotation, 70)
    assert 0 < rotation.dropped["descriptors"] < 100
    full = False
    node.run(rotation, 150)
    assert rotation.states()["watched"] == 1


def test_a_look_that_fails_for_want_of_descriptors_is_told_and_repeated() -> None:
    node = Node()
    program = Program({1.0: MIB})
    node.add("one", program)
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 60)
    program.error = errno.EMFILE
    node.run(rotation, 70)
    assert rotation.dropped["descriptors"] > 0
    assert 100 in rotation.services["one"].processes
    assert TWO_MINUTES not in rotation.services["one"].figures.measured, "nothing was seen"
    program.error = 0
    node.run(rotation, 300)
    assert rotation.services["one"].figures.measured[TWO_MINUTES].accessed.high == MIB
    assert rotation.states()["watched"] == 1


def test_sizes_that_cannot_be_read_for_want_of_descriptors_stay_what_they_were() -> None:
    """Of a process that may not be looked at; when it is found to be so, and later."""
    node = Node()
    program = Program({1.0: MIB})
    node.add("one", program, Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 10)

    def refuse(pid: int) -> int:
        raise OutOfFiles("no more")

    node.resident = refuse  # type: ignore[method-assign]
    program.error = errno.EACCES
    node.run(rotation, 1300)
    one = rotation.services["one"].processes[100]
    assert (one.state, one.resident) == (DENIED, MIB)
    assert rotation.dropped["descriptors"] >= 2


def test_a_way_that_cannot_be_chosen_for_want_of_descriptors() -> None:
    node = Node()
    node.add("one", Program({1.0: MIB}))
    full = True

    def memory_pages() -> int:
        if full:
            raise OutOfFiles("no more")
        return 1

    rotation = node.rotation(
        Settings(budget=1.0), Ways({"idle": Pages(node, "idle")}, memory_pages=memory_pages)
    )
    node.run(rotation, 60)
    assert rotation.dropped["descriptors"] > 0
    full = False
    node.run(rotation, 150)
    assert rotation.states()["watched"] == 1


def test_a_process_that_could_not_be_cleared_is_unknown() -> None:
    """2 MiB were accessed once, before the cycle that it was not cleared for, and are cold within that."""
    node = Node()
    program = Program({1.0: MIB, 1300.0: 2 * MIB, 0.0: 4 * MIB})
    node.add("one", program)
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 115)
    program.error = errno.EMFILE
    node.run(rotation, 10)
    program.error = 0
    one = rotation.services["one"]
    assert one.cycle_ns is not None
    begun_s = (one.cycle_ns - 1200 * NS) // NS
    node.run(rotation, begun_s + 122 - 125)
    found = one.figures.measured.get(TWO_MINUTES)
    assert found is None or found.cold.high >= 6 * MIB
    node.run(rotation, 300)
    assert one.figures.measured[TWO_MINUTES].cold == (6 * MIB, 6 * MIB)
