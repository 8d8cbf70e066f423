"""Services in turn, in simulated time: what is seen of them against the truth, what it costs, and who is left alone."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.unit.agent.simulated import MIB, NS, Node, Program
from udamon.agent.budget import DEBT_S, SAVED_S
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.discovery.model import Service
from udamon.agent.process import DENIED, LOCKED, PAUSE, WATCHED, Process
from udamon.agent.settings import Settings
from udamon.core.idle_time import SECONDS
from udamon.native._native import PAGE_SIZE

TWO_MINUTES, FIVE, TEN, HALF_HOUR = (SECONDS.index(age) for age in (120, 300, 600, 1800))
MIXED = {1.0: 4 * MIB, 200.0: 3 * MIB, 470.0: 2 * MIB, 0.0: 7 * MIB}


def test_cold_bytes_are_those_not_touched_for_so_long() -> None:
    """After the cycles of half an hour; ages between the periods of the parts."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 1500)
    figures = rotation.services["mixed"].figures
    cold = {at: found.cold for at, found in figures.measured.items()}
    assert {SECONDS[at] for at in cold} == {1, 10, 60, 120, 300, 600}
    assert cold[TEN] == (7 * MIB, 7 * MIB)
    assert cold[FIVE] in ((9 * MIB, 9 * MIB), (7 * MIB, 7 * MIB)), "470 s: touched or not"
    assert cold[0].low == 12 * MIB, "the age of 1 s, when the part of one second was touched"
    assert figures.resident == (16 * MIB, 16 * MIB)
    assert all(found.accessed.high == 16 * MIB - found.cold.low for found in figures.measured.values())


def test_an_age_longer_than_the_time_watched_has_no_figure() -> None:
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 100)
    figures = rotation.services["mixed"].figures
    assert {SECONDS[at] for at in figures.measured} == {1, 10, 60}
    assert figures.working_set is None
    assert figures.safe is None
    assert set(figures.promoted) == set(figures.measured)


def test_what_is_touched_again_after_an_age_is_promoted() -> None:
    """The part with a period of 470 s is idle for up to 470: in a long cycle it comes back after 2 m, 5 m or neither,
    but never after 10."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 20_000)
    promoted = rotation.services["mixed"].figures.promoted
    assert promoted[TWO_MINUTES] > promoted[FIVE] > 0
    assert promoted[TWO_MINUTES] % MIB == 0
    assert promoted[TEN] == 0


def test_the_safe_age_is_where_little_comes_back() -> None:
    """2 MiB that are touched every 470 s are more than 0.2 % of the working set a minute; after 10 m nothing is."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 3500)
    figures = rotation.services["mixed"].figures
    assert figures.safe is None, "less than an hour"
    node.run(rotation, 4 * 3600)
    assert figures.safe == TEN
    assert figures.measured[TEN].cold == (7 * MIB, 7 * MIB)
    assert figures.needs.limit is not None
    assert 16 * MIB * 1.15 <= figures.needs.limit <= 16 * MIB * 1.15 + MIB


def test_every_service_is_looked_at_in_two_minutes_within_the_budget() -> None:
    """300 services of 10 processes of 3 MiB: all cost ours and theirs is below 1 % of a CPU."""
    node = Node()
    for number in range(300):
        hot = number % 3
        parts = {1.0: MIB, 0.0: 2 * MIB} if hot else {0.0: 3 * MIB}
        node.add(f"s{number}", *(Program(parts) for _ in range(10)))
    rotation = node.rotation()
    node.run(rotation, 1800)
    spent = node.spent.lost_ns + node.spent.paused_ns + node.cpu_ns
    assert spent <= 0.01 * 1800 * NS + 0.01 * 60 * NS
    assert rotation.states()["watched"] == 300
    assert rotation.coverage() == 1


def test_what_cannot_be_paid_is_partial_and_the_budget_holds() -> None:
    node = Node()
    for number in range(60):
        node.add(f"s{number}", Program({1.0: 256 * MIB}))
    rotation = node.rotation(Settings(budget=0.0002, default=ServiceClass(max_pause_ns=NS)))
    node.run(rotation, 3600)
    assert (rotation.coverage() or 0) < 1
    assert rotation.states()["waiting"] > 0
    node.run(rotation, 5400)
    spent = node.spent.lost_ns + node.spent.paused_ns + node.cpu_ns
    assert spent <= 0.0002 * (9000 + SAVED_S + DEBT_S) * NS
    measured = [one for one in rotation.services.values() if one.figures.measured]
    assert len(measured) == 60, "each had its turn"


def test_a_service_of_which_nothing_ran_is_not_looked_at() -> None:
    node = Node()
    node.add("idle", Program({0.0: 8 * MIB}))
    node.add("guest", Program({0.0: 8 * MIB}, guest=True))
    node.add("shared", Program({0.0: 8 * MIB}, shmem=2 * MIB))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 4000)
    (idle,), (guest,), (shared,) = (node.programs[key].values() for key in ("idle", "guest", "shared"))
    assert (idle.looks, idle.clears) == (1, 1)
    assert guest.looks > 30 < shared.looks
    measured = rotation.services["idle"].figures.measured
    assert measured[HALF_HOUR].cold == (8 * MIB, 8 * MIB)
    assert SECONDS.index(3600) in measured
    assert SECONDS.index(7200) not in measured
    assert rotation.states()["watched"] == 3


def test_a_process_that_was_moved_into_an_idle_service_is_seen() -> None:
    node = Node()
    node.add("idle", Program({0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 150)
    node.programs["idle"][500] = Program({0.0: 2 * MIB})
    node.run(rotation, 400)
    assert sorted(rotation.services["idle"].processes) == [100, 500]
    assert rotation.services["idle"].figures.measured[FIVE].cold.low == MIB


def test_files_and_shared_memory_are_bounds() -> None:
    """What is referenced of files may be anybody's: what is accessed lies between bounds."""
    node = Node()
    node.add("files", Program({1.0: 4 * MIB, 0.0: 4 * MIB}, files=6 * MIB))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    found = rotation.services["files"].figures.measured[TWO_MINUTES]
    assert found.resident == (11 * MIB, 14 * MIB)
    assert found.accessed == (0, 4 * MIB)
    assert found.cold == (max(4, 11 - 4) * MIB, 14 * MIB)


def test_processes_that_come_and_go_within_a_cycle() -> None:
    node = Node()
    node.add("web", Program({1.0: MIB}), Program({0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 5)
    del node.programs["web"][100]
    node.programs["web"][900] = Program({1.0: 2 * MIB})
    node.run(rotation, 60)
    assert sorted(rotation.services["web"].processes) == [101, 900]
    assert node.held == {101, 900}
    node.run(rotation, 60)
    found = rotation.services["web"].figures.measured[TWO_MINUTES]
    assert found.cold == (MIB, 3 * MIB), "of the new process it is not known"
    assert found.coverage == pytest.approx(1 / 3)
    assert rotation.states()["watched"] == 1
    node.remove("web")
    node.run(rotation, 2)
    assert not rotation.services
    assert not node.held


@pytest.mark.parametrize(
    ("program", "state"),
    [
        (Program({1.0: MIB}, error=errno.EACCES), DENIED),
        (Program({1.0: 2048 * MIB}), PAUSE),
    ],
)
def test_who_is_left_alone(program: Program, state: str) -> None:
    """Another one of the service is watched all the same, and coverage says so."""
    node = Node()
    node.add("both", program, Program({0.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 260)
    processes = rotation.services["both"].processes
    assert [one.state for one in processes.values()] == [state, WATCHED]
    assert program.clears == 0


def test_a_target_of_another_monitor_is_left_alone_until_it_is_free() -> None:
    node = Node()
    node.add("one", Program({1.0: MIB}))
    node.locked.add(100)
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 10)
    assert [one.state for one in rotation.services["one"].processes.values()] == [LOCKED]
    node.locked.clear()
    node.run(rotation, 300)
    assert [one.state for one in rotation.services["one"].processes.values()] == [WATCHED]


def test_a_target_that_was_too_large_is_watched_with_its_lock() -> None:
    """Its lock was given back, so another monitor may have it by the time that it is small enough."""
    node = Node()
    program = Program({1.0: 2048 * MIB})
    node.add("one", program)
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    (process,) = rotation.services["one"].processes.values()
    assert (process.state, node.held) == (PAUSE, set())
    program.parts = {1.0: MIB}
    node.locked.add(100)
    node.run(rotation, 1100)
    assert (process.state, program.clears) == (LOCKED, 0)
    node.locked.clear()
    node.run(rotation, 1100)
    assert (process.state, node.held) == (WATCHED, {100})


def test_a_long_pause_is_not_repeated() -> None:
    """It was forecast as short, and was not: the process is not cleared again."""
    node = Node()
    node.add("slow", Program({1.0: 8 * MIB}))
    settings = Settings(budget=1.0, default=ServiceClass(max_pause_ns=8 * MIB // PAGE_SIZE * 60))
    rotation = node.rotation(settings)
    import tests.unit.agent.simulated as simulated

    before, simulated.CLEAR_NS_A_PAGE = simulated.CLEAR_NS_A_PAGE, 100
    try:
        node.run(rotation, 1000)
    finally:
        simulated.CLEAR_NS_A_PAGE = before
    (program,) = node.programs["slow"].values()
    assert program.clears == 1
    assert rotation.states()["pause"] == 1


def test_a_clock_that_jumps() -> None:
    """A machine that slept for a day: the look is late, and tells of no age that it was not made at."""
    node = Node()
    node.add("mixed", Program(MIXED))
    rotation = node.rotation(Settings(budget=0.01))
    node.run(rotation, 30)
    node.clock.wait_until(node.clock.now_ns() + 86400 * NS)
    rotation.step()
    figures = rotation.services["mixed"].figures
    assert {SECONDS[at] for at in figures.measured} == {1, 10}
    assert (rotation.coverage() or 0) <= 1
    node.run(rotation, 300)
    assert TWO_MINUTES in figures.measured


def test_classes_and_their_budgets() -> None:
    node = Node()
    node.add("db", Program({1.0: 64 * MIB}))
    node.add("web", Program({1.0: MIB}))
    node.add("secret", Program({1.0: MIB}))
    off = ServiceClass("none", {"service": "sec*"}, via="off")
    poor = ServiceClass("poor", {"service": "db"}, budget=0.000005)
    settings = Settings(budget=1.0, classes=(off, poor))
    rotation = node.rotation(settings)
    node.run(rotation, 1500)
    (db,), (web,), (secret,) = (node.programs[key].values() for key in ("db", "web", "secret"))
    assert secret.looks == 0
    assert rotation.states()["off"] == 1
    assert db.clears < web.clears
    so_far = db.clears
    rotation.apply(replace(settings, budget=0.9))
    node.run(rotation, 500)
    assert db.clears - so_far <= 1, "its budget is its own after settings were read again, too"
    rotation.apply(replace(settings, classes=()))
    node.run(rotation, 150)
    assert secret.clears > 0
    assert rotation.states()["watched"] == 3


def test_a_service_that_its_class_cannot_pay_for_is_not_read_again_and_again() -> None:
    node = Node()
    node.add("db", Program({1.0: 64 * MIB}))
    poor = ServiceClass("poor", {"service": "db"}, budget=0.000_001)
    rotation = node.rotation(Settings(budget=1.0, classes=(poor,)))
    read, members = [], node.members

    def noted(service: Service) -> Sequence[int]:
        read.append(service.key)
        return members(service)

    node.members = noted  # type: ignore[method-assign]
    node.run(rotation, 3600)
    (db,) = node.programs["db"].values()
    assert db.clears <= 2
    assert len(read) < 100, "once in 2 s otherwise"


def test_a_class_that_goes_by_a_name_which_becomes_known_later() -> None:
    """A container is called by its id until its runtime or the kubelet tells more: then it is left alone after all."""
    node = Node(labels={"service": "0123456789ab"})
    service = node.add("one", Program({1.0: MIB}))
    off = ServiceClass("private", {"service": "vault*"}, via="off")
    rotation = node.rotation(Settings(budget=1.0, classes=(off,)))
    node.run(rotation, 60)
    assert node.held == {100}
    node.told.append(replace(service, labels={"service": "vault-0"}))
    node.run(rotation, 10)
    assert rotation.states()["off"] == 1
    assert (rotation.services, node.held) == ({}, set())
    node.told.append(service)
    node.run(rotation, 10)
    assert (rotation.states()["off"], node.held) == (0, {100})


def test_a_group_of_groups_is_none_of_the_services() -> None:
    """It has no processes, and does not wait; when one is moved there, it is looked at."""
    node = Node()
    node.add("slice")
    node.add("slice/web", Program({1.0: MIB}))
    rotation = node.rotation(Settings(budget=1.0))
    node.run(rotation, 130)
    assert +rotation.states() == {"watched": 1}
    assert [one.service.key for one in rotation.present()] == ["slice/web"]
    node.programs["slice"][900] = Program({1.0: MIB})
    node.run(rotation, 160)
    assert +rotation.states() == {"watched": 2}
    del node.programs["slice"][900]
    node.run(rotation, 1200)
    assert +rotation.states() == {"watched": 1}, "all have left it"


def test_a_process_takes_less_than_a_kibibyte() -> None:
    one = Process(1 << 22, 1 << 40)
    for name in Process.__slots__:
        if name not in ("release", "guest", "state", "clear_ns"):
            setattr(one, name, (1 << 60) + len(name))
    size = sys.getsizeof(one) + sum(sys.getsizeof(getattr(one, name)) for name in Process.__slots__)
    assert size <= 1024
