"""Looks that cannot be made, as where no descriptor is left: told, repeated, and nothing is made of them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Pages, Program
from udamon.agent.discovery.model import Service
from udamon.agent.process import DENIED, NEW, WATCHED
from udamon.agent.settings import Settings
from udamon.agent.watched import coverage
from udamon.agent.ways.choice import Ways
from udamon.core.idle_time import SECONDS
from udamon.errors import NotPermitted, OutOfFiles
from udamon.linux.procfs import ProcessId

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


@pytest.mark.parametrize("size_known", [True, False])
def test_a_process_whose_first_look_fails_counts_as_not_seen(size_known: bool) -> None:
    """Where its size cannot be read either, the coverage is not known."""
    node = Node()
    lost = Program({1.0: MIB}, error=errno.EMFILE)
    node.add("one", Program({1.0: 3 * MIB}), lost)
    full = not size_known
    sizes = node.resident

    def resident(pid: int) -> int:
        if full:
            raise OutOfFiles("no more")
        return sizes(pid)

    node.resident = resident  # type: ignore[method-assign]
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    assert rotation.coverage() == (0.75 if size_known else None)
    assert rotation.services["one"].processes[101].state == NEW
    assert rotation.states()["partial"] == 1
    assert rotation.dropped["descriptors"] > 0
    lost.error, full = 0, False
    node.run(rotation, 1300)
    assert rotation.coverage() == 1.0
    assert rotation.services["one"].processes[101].state == WATCHED


def test_processes_that_cannot_be_identified_leave_the_coverage_unknown() -> None:
    """One of two, and all of a service whose members cannot be read; the others are watched."""
    node = Node()
    node.add("one", Program({1.0: 3 * MIB}), Program({1.0: MIB}))
    node.add("two", Program({1.0: MIB}))
    identify, members, full = node.identify, node.members, True

    def refuse(pid: int) -> ProcessId | None:
        if full and pid == 101:
            raise OutOfFiles("no more")
        return identify(pid)

    def unread(service: Service) -> Sequence[int]:
        if full and service.key == "two":
            raise OutOfFiles("no more")
        return members(service)

    node.identify, node.members = refuse, unread  # type: ignore[method-assign]
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    services = rotation.services.values()
    now_ns = node.clock.now_ns()
    assert [coverage([one], now_ns) for one in services] == [None, None]
    assert list(rotation.services["one"].processes) == [100]
    assert rotation.services["one"].fresh_bytes(now_ns) == 3 * MIB
    full = False
    node.run(rotation, 1300)
    assert rotation.coverage() == 1.0


def test_a_service_whose_members_may_not_be_read_is_refused_and_not_covered() -> None:
    node = Node()
    node.add("one", Program({1.0: 3 * MIB}))
    node.add("two", Program({1.0: MIB}))
    members, closed = node.members, True

    def unread(service: Service) -> Sequence[int]:
        if closed and service.key == "two":
            raise NotPermitted("cgroup.procs may not be read")
        return members(service)

    node.members = unread  # type: ignore[method-assign]
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    assert (rotation.states()["watched"], rotation.states()["refused"]) == (1, 1)
    assert rotation.coverage() is None, "nobody knows how large it is"
    assert rotation.dropped["permission"] > 0
    closed = False
    node.run(rotation, 1300)
    assert rotation.states()["watched"] == 2
    assert rotation.coverage() == 1.0


def test_a_lock_for_which_no_descriptor_is_left_is_not_another_monitors() -> None:
    node = Node()
    node.add("one", Program({1.0: MIB}), Program({1.0: 3 * MIB}))
    full, take = True, node.lock

    def lock(pid: int, start_time: int) -> Callable[[], None] | None:
        if full and pid == 100:
            raise OutOfFiles("no more")
        taken = take(pid, start_time)
        assert taken is None or callable(taken)
        return taken

    node.lock = lock  # type: ignore[method-assign]
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    one = rotation.services["one"].processes[100]
    assert (one.state, one.release) == (NEW, None)
    assert rotation.coverage() == 0.75
    assert rotation.dropped["descriptors"] > 0
    full = False
    node.run(rotation, 1300)
    assert rotation.services["one"].processes[100].state == WATCHED
    assert rotation.coverage() == 1.0
    assert 100 in node.held


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
