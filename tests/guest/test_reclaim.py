"""`udamon reclaim` on anonymous memory with swap: what is cold goes, what is hot stays, and all of it is told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.memory import MIB, Memory, memory
from udamon.cli.main import main
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.residency import resident, swapped
from udamon.linux.sysfs_damon import kernel_damon
from udamon.model import Range

# One processor: a context switch lies between the monitor and every access, and flushes the emulated TLB.
pytestmark = [
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "idle_bitmap", "process_madvise", "zram"),
    pytest.mark.usefixtures("swap"),
]

HOT, COLD = 32 * MIB, 48 * MIB
WAIT_LIMIT_S = 120.0
PAUSE_MS = 50
HOW = ("--via", "idle", "--sample", "100ms", "--aggr", "1s", "--quota-ms", "0", "--max-psi", "off")
"""Emulated, everything takes twenty times as long: the quota of time and the limit of pressure are not tested here."""

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def program() -> Iterator[tuple[Memory, Range, Range]]:
    """It touches the hot area all the time, and has touched the cold one once."""
    with memory() as started:
        hot, cold = started.map("hot", HOT), started.map("cold", COLD)
        started.touch_every(PAUSE_MS, "hot")
        yield started, hot, cold


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process (starting another Python takes seconds here) and returns its document."""

    def run(*words: object) -> dict[str, Any]:
        assert main([*map(str, words), "--json", "-q"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return run


@contextlib.contextmanager
def when(condition: Callable[[], bool], then: Callable[[], object]) -> Iterator[None]:
    """While the command runs in the main thread, do `then` as soon as the condition holds, or patience is over."""
    over = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + WAIT_LIMIT_S
        while not condition() and time.monotonic() < deadline and not over.is_set():
            over.wait(0.5)
        if not over.is_set():
            then()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def swap_of(pid: int) -> int:
    """Bytes of a process that are in swap."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmSwap:"))


def out(program: Memory, area: Range) -> int:
    """Bytes of `area` in swap."""
    process = ProcessId(program.pid, read_stat(program.pid).start_time)
    found = swapped(process, [area])
    assert found is not None
    return sum(r.size for r in found)


def test_cold_memory_goes_and_hot_memory_stays(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, hot, cold = program
    with when(lambda: out(touching, cold) >= 0.9 * COLD, terminate):
        found = run("reclaim", "-p", touching.pid, *HOW, "--min-age", "2s")
    assert out(touching, cold) >= 0.9 * COLD
    assert out(touching, hot) <= 0.05 * HOT
    assert found["moved_bytes"] >= 0.9 * COLD
    assert found["refault_bytes"] <= 0.05 * COLD
    assert found["stopped_by"] == "signal"


def test_a_dry_run_moves_nothing(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, hot, cold = program
    found = run("reclaim", "-p", touching.pid, *HOW, "--min-age", "2s", "--duration", "20s", "--dry-run")
    assert out(touching, cold) + out(touching, hot) == 0
    assert (found["advised_bytes"], found["moved_bytes"]) == (0, None)
    assert found["resident_bytes"] >= 0.9 * COLD


@pytest.mark.guest_long
def test_what_comes_back_is_accounted(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, _, cold = program
    asked: list[str] = []

    def is_back() -> bool:
        moved = out(touching, cold)
        if not asked and moved >= 0.9 * COLD:
            asked.append(touching.tell("touch", "cold"))
        return bool(asked) and moved <= 0.1 * COLD

    how = (*HOW, "--max-major-faults", "off", "--min-age", "2s")
    with when(is_back, terminate):
        found = run("reclaim", "-p", touching.pid, *how)
    assert found["moved_bytes"] >= 0.9 * COLD
    assert found["refault_bytes"] >= 0.8 * COLD


@pytest.mark.guest_long
def test_ended_by_a_signal_it_leaves_the_program_alone(
    program: tuple[Memory, Range, Range], run: Run
) -> None:
    touching, _, cold = program
    with when(lambda: out(touching, cold) > 0, terminate):
        found = run("reclaim", "-p", touching.pid, *HOW, "--min-age", "1s", "--quota-sz", "4M")
    assert found["stopped_by"] == "signal"
    moved = out(touching, cold)
    assert 0 < moved <= found["moved_bytes"] < COLD, "four MiB a second"
    touching.tell("once", "cold")
    process = ProcessId(touching.pid, read_stat(touching.pid).start_time)
    assert sum(r.size for r in resident(process, [cold])) == COLD


def test_the_target_dies_while_it_is_acted_on(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, _, cold = program
    with when(lambda: out(touching, cold) > 0, touching.end):
        found = run("reclaim", "-p", touching.pid, *HOW, "--min-age", "1s", "--quota-sz", "4M")
    assert found["stopped_by"] == "target"
    assert 0 < found["moved_bytes"] <= found["advised_bytes"]


@pytest.fixture
def compacted() -> None:
    """Free memory in large blocks, so that areas mapped next lie in few pieces of physical memory, whatever other tests
    left: areas that are mixed in small pieces take minutes (docs/acting.md#actions)."""
    Path("/proc/sys/vm/compact_memory").write_text("1")


@pytest.mark.guest_long
@pytest.mark.usefixtures("compacted")
def test_of_the_whole_machine_too_cold_memory_goes_and_hot_memory_stays(
    program: tuple[Memory, Range, Range], run: Run
) -> None:
    """Frames are watched, and given up through the processes that map them; this process itself is left out."""
    touching, hot, cold = program
    own = swap_of(os.getpid())
    with when(lambda: out(touching, cold) >= 0.8 * COLD, terminate):
        # Without a limit: free memory is cold, too, and would use it up.
        how = ("--wmarks-metric", "none", "--quota-sz", "0", *HOW)
        found = run("reclaim", "--paddr", *how, "--min-age", "2s")
    assert out(touching, cold) >= 0.8 * COLD
    assert out(touching, hot) <= 0.1 * HOT
    assert found["moved_bytes"] >= 0.8 * COLD
    assert found["ops"] == "paddr"
    assert swap_of(os.getpid()) == own


@pytest.mark.needs("damon_free")
def test_in_kernel_damon_does_the_same(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, hot, cold = program
    how = ("--via", "kernel", *HOW[2:], "--min-age", "2s")
    with when(lambda: out(touching, cold) >= 0.9 * COLD, terminate):
        found = run("reclaim", "-p", touching.pid, *how)
    assert out(touching, cold) >= 0.9 * COLD
    assert out(touching, hot) <= 0.1 * HOT
    assert found["advised_bytes"] >= 0.9 * COLD
    assert (found["moved_bytes"], found["refault_bytes"]) == (None, None), "the kernel does not tell"
    assert not kernel_damon().busy


@pytest.mark.needs("damon_free")
@pytest.mark.guest_long
def test_lru_sort_has_both_halves_in_the_kernel(program: tuple[Memory, Range, Range], run: Run) -> None:
    touching, _, _ = program
    how = ("--via", "kernel", *HOW[2:], "--cold-min-age", "2s", "--duration", "15s")
    found = run("lru-sort", "--paddr", "--wmarks-metric", "none", *how)
    assert found["bytes_lru_sorted_cold_regions"] > 0
    assert found["bytes_lru_sort_tried_hot_regions"] >= 0
    assert touching.tell("rest") == "resting"
    assert not kernel_damon().busy


@pytest.fixture
def cgroup() -> Iterator[Path]:
    top = Path("/sys/fs/cgroup")
    if "memory" not in (top / "cgroup.controllers").read_text():
        pytest.skip("this kernel has no memory controller of cgroup version 2")
    (top / "cgroup.subtree_control").write_text("+memory")
    directory = top / "udamon-test"
    directory.mkdir()
    yield directory
    directory.rmdir()


@pytest.mark.guest_long
def test_a_cgroup_as_a_whole(cgroup: Path, run: Run) -> None:
    with memory() as started:
        (cgroup / "cgroup.procs").write_text(str(started.pid))
        started.map("hot", HOT)
        cold = started.map("cold", COLD)
        started.touch_every(PAUSE_MS, "hot")
        how = ("--cgroup", cgroup, "--by", "cgroup", *HOW, "--min-age", "2s")
        with when(lambda: out(started, cold) >= 0.8 * COLD, terminate):
            found = run("reclaim", *how)
        assert found["moved_bytes"] >= 0.8 * COLD
        assert found["advised_bytes"] <= 1.2 * (HOT + COLD), "nothing is asked for twice"
        assert out(started, cold) >= 0.7 * COLD, "the kernel chose, by its own lists"
        started.end()
