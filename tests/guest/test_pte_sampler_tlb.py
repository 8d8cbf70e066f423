"""pte as a sampler beside a target on another processor, whose TLB holds what it touches again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.guest.pages import MIB
from tests.guest.test_pte_sampler import BITMAP
from udamon.core.policy import Slots
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
]

LARGEST = 16 * MIB
TRIES, MOST = 5, 100
TICK = 300_000_000
CHECKS = 500


@pytest.fixture(scope="module")
def child() -> Iterator[HotSet]:
    """It runs on the second processor, this process on the first."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    with hot_set(LARGEST, 1) as started:
        started.access(LARGEST)  # or its last pages would wait in a batch of that processor, on no LRU list
        yield started
    os.sched_setaffinity(0, before)


def shares(sampler: Sampler, child: HotSet, size: int) -> list[float]:
    """Of the pages of a working set that were checked, how many showed accessed: in windows in which all of it was
    touched. Other windows say nothing, for its processor was busy."""
    slots = Slots()
    found: list[float] = []
    slots.add(0, child.address, child.address + size, CHECKS)
    child.access(size)
    for _ in range(MOST):
        before = child.count
        answers = sampler.sample([child.target], slots, time.monotonic_ns(), 1, TICK, seed=len(found))
        if child.count - before >= 3:
            found.append(answers.hits[0] / (CHECKS - answers.no_page[0]))
            assert answers.no_page[0] <= 0.02 * CHECKS
        if len(found) == TRIES:
            break
    child.rest()
    assert len(found) == TRIES, "the child touched its memory in too few windows; nothing is proved"
    return found


@pytest.mark.parametrize("kib", [256, 1024, 4096, 16384])
def test_working_sets_are_found(child: HotSet, kib: int) -> None:
    """Clearing flushes what it clears. Idle page tracking does not: it shows what there is to hide."""
    sampler = PteSampler(open_tables(allowed=True))
    found = shares(sampler, child, kib << 10)
    sampler.close()
    without: list[float] | None = None
    if BITMAP.exists():
        idle = IdleSampler()
        without = shares(idle, child, kib << 10)
        idle.close()
    print(f"{kib} KiB, through {sampler.opened.backend}: seen {found}, by idle {without}")
    assert min(found) >= 0.99
    if without is not None and min(without) >= 0.99:
        pytest.skip("idle sees as much: nothing is shown")
