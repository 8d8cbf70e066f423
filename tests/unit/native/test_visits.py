"""Visits of processors and the child with a hot set: what they change, and what they refuse."""

from __future__ import annotations

import mmap
import os
import signal
import threading
from array import array

import pytest

from udamon.linux.procfs import allowed_cpus, last_cpus, thread_ids
from udamon.native._native import hot_set_start, visit_cpus
from udamon.ops.tlb import hot_set

MIB = 1 << 20


def state() -> tuple[set[int], int, int]:
    return os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


def test_a_visit_leaves_the_thread_as_it_was() -> None:
    before = state()
    for _ in range(2):
        assert visit_cpus(cpus=array("i", sorted(before[0]))) == len(before[0])
        assert state() == before


@pytest.mark.parametrize("cpus", [[], [-1], [8192], [2**31 - 1], [-1, 8191, 70_000]])
def test_processors_that_are_not_there_are_not_visited(cpus: list[int]) -> None:
    before = state()
    assert visit_cpus(cpus=array("i", cpus)) == 0
    assert state() == before


def test_a_visit_costs_no_memory() -> None:
    """Pages that nobody wrote to are all the one zero page."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    visit_cpus(cpus=array("i", [min(os.sched_getaffinity(0))]))
    before = resident()
    for _ in range(20):
        visit_cpus(cpus=array("i", [min(os.sched_getaffinity(0))]))
    assert resident() - before < 256


def test_a_fork_visits_too() -> None:
    """Page tables of what was only read are not copied: the child maps the pages again."""
    visit_cpus(cpus=array("i", [0]))
    pid = os.fork()
    if pid == 0:
        cpus = array("i", os.sched_getaffinity(0))
        os._exit(0 if visit_cpus(cpus=cpus) == len(cpus) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    ("control", "size", "cpu"),
    [(8, MIB, -1), (16, 0, -1), (16, 4097, -1), (16, 1 << 50, -1), (16, MIB, 1 << 20)],
)
def test_what_is_no_hot_set(control: int, size: int, cpu: int) -> None:
    with (
        mmap.mmap(-1, control) as shared,
        pytest.raises(ValueError, match=r"no room for two words|whole records"),
    ):
        hot_set_start(control=memoryview(shared)[:control], size=size, cpu=cpu)


def test_a_hot_set_grows_and_is_collected() -> None:
    """Rounds go on with any size; its processor is the one asked for; nothing of it is left."""
    cpu = min(os.sched_getaffinity(0))
    with hot_set(4 * MIB, cpu) as child:
        pid = child.target.pid
        assert pid is not None
        for size in (mmap.PAGESIZE, MIB, 1 << 40):  # never more than there is
            assert child.access(size)
        assert allowed_cpus(pid) == {cpu} == last_cpus(pid)
        assert thread_ids(pid) == [pid]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(OSError, match="No such file"):
        allowed_cpus(pid)


def test_a_hot_set_runs_no_handler_of_its_parent() -> None:
    """Signals that reach a whole group end neither of the two, and the parent's mask is as before."""
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with hot_set(mmap.PAGESIZE) as child:
            assert child.access(mmap.PAGESIZE)
            assert child.target.pid is not None
            os.kill(child.target.pid, signal.SIGUSR1)
            assert child.rounds()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert not seen


def test_processors_of_all_threads_count() -> None:
    """One thread on its own processor: the union of all, as each may have filled a TLB."""
    cpus = os.sched_getaffinity(0)
    ready, done = threading.Event(), threading.Event()

    def elsewhere() -> None:
        os.sched_setaffinity(0, {max(cpus)})
        ready.set()
        done.wait()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    ready.wait()
    try:
        os.sched_setaffinity(0, {min(cpus)})
        assert allowed_cpus(os.getpid()) >= {min(cpus), max(cpus)}
    finally:
        os.sched_setaffinity(0, cpus)
        done.set()
        thread.join()
