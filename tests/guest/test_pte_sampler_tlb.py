"""pte as a sampler beside a target on another processor, whose TLB holds what it touches again and again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.pages import MIB
from tests.guest.test_pte import needs_tables
from tests.guest.test_pte_sampler import BITMAP
from tests.guest.test_pte_tlb import patiently
from udamon.core.policy import Answers, Slots
from udamon.ops.base import Sampler
from udamon.ops.idle import IdleSampler
from udamon.ops.kernel_tables import open_tables
from udamon.ops.pte_sampler import PteSampler
from udamon.ops.tlb import HotSet, hot_set

pytestmark = [
    pytest.mark.guest_long,
    pytest.mark.guest_612,
    pytest.mark.guest_pte,
    pytest.mark.guest_boot(smp=2),
    pytest.mark.needs("root"),
    needs_tables,
]

LARGEST = 16 * MIB
TRIES = 5
LONG = 600_000_000_000
CHECKS = 500


@pytest.fixture(scope="module")
def child() -> Iterator[HotSet]:
    """It runs on the second processor, this process on the first."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    with hot_set(LARGEST, 1) as started:
        assert patiently(
            lambda: started.access(LARGEST)
        )  # or its last pages would wait in a batch of that processor, on no LRU list
        yield started
    os.sched_setaffinity(0, before)


def share(sampler: Sampler, child: HotSet, size: int) -> float:
    """Of the pages of a working set that were checked, how many showed accessed in a window in which all of it was
    touched. Nothing is touched after the window: what else runs on that processor would displace its TLB in time."""
    assert patiently(lambda: child.access(size))
    slots, found = Slots(), list[Answers]()
    slots.add(0, child.address, child.address + size, CHECKS, 2)

    def run() -> None:
        found.append(sampler.sample([child.target], slots, time.monotonic_ns(), 2, LONG, seed=size))

    thread = threading.Thread(target=run)
    thread.start()
    while not waits(thread):
        time.sleep(0.01)  # it marks pages
    assert patiently(child.rounds)
    child.rest()
    sampler.interrupt()
    thread.join()
    answers = found[0]
    assert answers.no_page[0] <= 0.02 * CHECKS
    return answers.hits[0] / (CHECKS - answers.no_page[0])


def waits(thread: threading.Thread) -> bool:
    """Whether a thread that samples waits for the end of a tick."""
    call = (Path("/proc/self/task") / str(thread.native_id) / "syscall").read_text().split()[0]
    return call == ("271" if os.uname().machine == "x86_64" else "73")  # ppoll


@pytest.mark.parametrize("kib", [256, 1024, 4096, 16384])
def test_working_sets_are_found(child: HotSet, kib: int) -> None:
    """Clearing flushes what it clears. Idle page tracking does not: it shows what there is to hide."""
    sampler = PteSampler(open_tables(allowed=True))
    found = [share(sampler, child, kib << 10) for _ in range(TRIES)]
    sampler.close()
    without: list[float] | None = None
    if BITMAP.exists():
        idle = IdleSampler()
        without = [share(idle, child, kib << 10) for _ in range(TRIES)]
        idle.close()
    print(f"{kib} KiB, through {sampler.opened.backend}: seen {found}, by idle {without}")
    assert min(found) >= 0.99
    if without is not None and min(without) >= 0.99:
        pytest.skip("idle sees as much: nothing is shown")
