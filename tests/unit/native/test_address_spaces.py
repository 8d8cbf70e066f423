"""The processes that processors are switched through: what they keep, what ends them, and that their time counts."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from tests.imports import ROOT
from udamon.linux import cpu_time
from udamon.linux.procfs import allowed_cpus
from udamon.native._native import switching_ns, visit_cpus

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors' TLBs are displaced")

SPACES = 10
PRINT_THEM = """
import os, sys, time
from array import array
from collections.abc import Iterator
from itertools import permutations
from udamon.native._native import visit_cpus
cpus = array("i", os.sched_getaffinity(0))
assert visit_cpus(cpus=cpus) == len(cpus)
own = f"/proc/self/task/{os.getpid()}/children"
print(open(own).read(), flush=True)
"""


def visit() -> int:
    return visit_cpus(cpus=array("i", [min(os.sched_getaffinity(0))]))


def spaces(pid: int) -> list[int]:
    """Children of any thread of a process that have the name."""
    while True:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        try:
            children = [
                child for thread in threads for child in thread.joinpath("children").read_text().split()
            ]
            break
        except (
            FileNotFoundError
        ):  # one has ended after its join, and its children are another's now: look again
            continue
    return [int(child) for child in children if Path(f"/proc/{child}/comm").read_text() == "udamon-tlb\n"]


def kernel_ns() -> int:
    """CPU time of all of them, as the kernel's statistics have it."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in spaces(os.getpid()))


def ended(pid: int) -> bool:
    """There is no such process, or it waits only for its parent to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def in_a_process(check: str) -> None:
    """Run code with the names of this module in a new process; fails with what it prints."""
    code = f"from tests.unit.native.test_address_spaces import *\n{check}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_they_keep_nothing_of_ours() -> None:
    """No memory but some pages, no file but the two ends of their pipes, no handler of a signal."""
    visit()
    found = spaces(os.getpid())
    assert len(found) == SPACES
    for pid in found:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        assert pages <= 64
        assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1"]
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        blocked = int(status["SigBlk"], 16)
        assert all(blocked >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


def test_they_run_on_the_processor_that_is_visited() -> None:
    for cpu in sorted(os.sched_getaffinity(0)):
        assert visit_cpus(cpus=array("i", [cpu])) == 1
        assert {cpu} == set().union(*(allowed_cpus(pid) for pid in spaces(os.getpid())))


def test_their_time_counts() -> None:
    """It grows with each visit, by what the kernel says of them."""
    visit()
    before, process, thread = switching_ns(), cpu_time.process_ns(), cpu_time.thread_ns()
    kernel_before = kernel_ns()
    for _ in range(50):
        visit()
    grown = switching_ns() - before
    assert grown > 0
    assert cpu_time.process_ns() - process > grown
    assert cpu_time.thread_ns() - thread > grown
    assert grown == kernel_ns() - kernel_before


def test_none_is_left_when_the_process_ends() -> None:
    done = subprocess.run([sys.executable, "-c", PRINT_THEM], capture_output=True, text=True, check=True)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == SPACES
    for pid in pids:  # waited for by their parent: not even a zombie
        assert not Path(f"/proc/{pid}").exists()


def test_none_is_left_when_the_process_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_THEM + "time.sleep(1000)"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(pids) == SPACES
    while not all(ended(pid) for pid in pids):
        time.sleep(0.01)


def test_one_that_was_killed_is_replaced_and_not_for_ever() -> None:
    """Visits go on; after the third failure they read pages instead."""
    in_a_process(
        """
for attempt in range(3):
    assert visit() == 1
    assert len(found := spaces(os.getpid())) == SPACES
    os.kill(found[attempt], signal.SIGKILL)
    assert visit() == 1
    assert spaces(os.getpid()) == []
assert visit() == 1
assert spaces(os.getpid()) == []
"""
    )


def test_where_no_process_may_be_started() -> None:
    """Visits read pages, as on other architectures."""
    in_a_process(
        """
import resource
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
assert visit() == 1
assert spaces(os.getpid()) == []
"""
    )


def test_a_fork_has_its_own() -> None:
    """And does not keep those of its parent."""
    in_a_process(
        """
visit()
theirs = spaces(os.getpid())
if (pid := os.fork()) == 0:
    assert switching_ns() == 0
    assert visit() == 1
    own = spaces(os.getpid())
    assert len(own) == SPACES and not set(own) & set(theirs)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert visit() == 1 and spaces(os.getpid()) == theirs
"""
    )


def test_a_fork_does_not_keep_those_of_its_parent() -> None:
    """They end with their own parent, while the fork goes on."""
    fork = "\nif os.fork() == 0: print(os.getpid(), flush=True)\ntime.sleep(1000)"
    with subprocess.Popen(
        [sys.executable, "-c", PRINT_THEM + fork], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        forked = int(process.stdout.readline())
        process.kill()
        try:
            while not all(ended(pid) for pid in pids):
                time.sleep(0.01)
            assert not ended(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_several_threads_visit() -> None:
    visited: list[int] = []

    def work() -> None:
        for _ in range(100):
            visited.append(visit())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert visited == [1] * 400
    assert len(spaces(os.getpid())) == SPACES


IDENTIFIERS = 6


def survives(slots: list[int], others: int) -> bool:
    """Whether 0 keeps its identifier while 1 to `others` run one after the other. `slots` are the address spaces that
    have one, the first to lose it first: Linux goes round the identifiers."""
    for space in range(1, others + 1):
        if space not in slots:
            if slots.pop(0) == 0:
                return False
            slots.append(space)
    return True


def starts(others: int) -> Iterator[list[int]]:
    """All ways in which 0 and some of the others (or strangers, below 0) may have the identifiers."""
    strangers = [-1, -2, -3, -4, -5]
    for known in range(IDENTIFIERS):
        for chosen in permutations(range(1, others + 1), known):
            rest = [*chosen, *strangers[: IDENTIFIERS - 1 - known]]
            yield from ([*rest[:at], 0, *rest[at:]] for at in range(IDENTIFIERS))


def test_they_are_as_many_as_it_takes() -> None:
    """With the caller's own, the target loses its identifier whatever ran before; with one fewer it may keep it."""
    assert not any(survives(slots, SPACES + 1) for slots in starts(SPACES + 1))
    assert any(survives(slots, SPACES) for slots in starts(SPACES))
