"""The agent's ways of looking on a real kernel: a service whose pages are touched, or not, on command.

The agent's clock is moved by hand, so that a window takes as long as touching does.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guest.memory import MIB, memory
from tests.guest.test_lru_gen import group  # noqa: F401
from udamon.agent.budget import Budget
from udamon.agent.discovery.classes import ServiceClass
from udamon.agent.discovery.node import NodeDiscovery
from udamon.agent.looks import ProcLooks
from udamon.agent.rotation import Rotation
from udamon.agent.settings import Settings
from udamon.agent.spending import Spending
from udamon.agent.watched import Tools
from udamon.agent.ways.choice import open_ways
from udamon.core.clock import ManualClock
from udamon.core.idle_time import SECONDS
from udamon.linux.consent import VARIABLE
from udamon.linux.lru_gen import LRU_GEN
from udamon.linux.roots import Roots
from udamon.ops.tlb import way

pytestmark = [
    pytest.mark.guest_boot(smp=1, mem=2048),
    pytest.mark.skipif(not LRU_GEN.exists(), reason="this kernel keeps no generations of pages"),
]

NS = 1_000_000_000
HOT, COLD = 8 * MIB, 20 * MIB
SLACK = 10 * MIB
"""The program itself: its interpreter and libraries."""
TWO_MINUTES, FIVE = SECONDS.index(120), SECONDS.index(300)

Run = Callable[[str, ServiceClass | None], Rotation]


@pytest.fixture
def rotation(group: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:  # noqa: F811
    """Makes a rotation over the group, with the classes' way."""
    monkeypatch.setenv(VARIABLE, "1")
    made: list[Callable[[], None]] = []

    def make(via: str, default: ServiceClass | None = None) -> Rotation:
        settings = Settings(budget=1.0, default=default or ServiceClass(via=via))
        discovery = NodeDiscovery.open(str(group))
        looks = ProcLooks(Roots(), way())
        ways = open_ways(settings, discovery.groups, Roots())
        clock = ManualClock(10**12)
        budget = Budget(1.0, clock.now_ns())
        tools = Tools(looks, lambda *_: lambda: None, Spending(budget, lambda: 0), Counter())
        rotation = Rotation(discovery, tools, clock, budget, settings, lambda *_: None, ways)
        made.extend((rotation.close, ways.close, looks.close, discovery.close))
        return rotation

    yield make
    for close in made:
        close()


def after(rotation: Rotation, seconds: int) -> None:
    """Let the agent do what is due within so many seconds."""
    clock = rotation._clock
    assert isinstance(clock, ManualClock)
    end_ns = clock.now_ns() + seconds * NS
    while clock.now_ns() < end_ns:
        clock.wait_until(min(rotation.step(), end_ns))
    rotation.step()


@pytest.mark.parametrize("via", ["pte", "idle", "lru_gen"])
def test_what_is_hot_and_what_is_cold(rotation: Run, group: Path, via: str) -> None:  # noqa: F811
    if via == "idle" and not Path("/sys/kernel/mm/page_idle/bitmap").exists():
        pytest.skip("this kernel does not track idle pages")
    with memory() as target:
        (group / "cgroup.procs").write_text(str(target.pid))
        target.map("hot", HOT)
        target.map("cold", COLD)
        watched = rotation(via, None)
        after(watched, 5)
        (one,) = watched.present()
        assert one.way.via == via
        for _ in range(4):
            target.tell("once", "hot")
            after(watched, 124)
        found = one.figures.measured
        assert COLD <= found[TWO_MINUTES].cold.low <= COLD + SLACK
        assert HOT <= found[TWO_MINUTES].accessed.high <= HOT + SLACK
        assert COLD <= found[FIVE].cold.low <= COLD + SLACK
        assert SECONDS.index(600) not in found
        target.tell("once", "cold")
        after(watched, 124)
        assert one.figures.measured[TWO_MINUTES].cold.low <= HOT + SLACK
        if via != "lru_gen":
            # A processor holds some pages back from the LRU lists, and these take no idle bits for a while.
            assert COLD - MIB <= one.figures.promoted[FIVE] <= COLD + SLACK
            assert one.figures.measured[TWO_MINUTES].coverage > 0.9
        target.end()
        after(watched, 250)
        assert not any(each.processes for each in watched.services.values())


def test_auto_takes_pte_with_consent_and_generations_where_a_pause_is_too_long(
    rotation: Run,
    group: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with memory() as target:
        (group / "cgroup.procs").write_text(str(target.pid))
        target.map("hot", HOT)
        watched = rotation("auto", None)
        after(watched, 5)
        assert [one.way.via for one in watched.present()] == ["pte"]
        watched.close()
        monkeypatch.delenv(VARIABLE)
        assert VARIABLE not in os.environ
        held = rotation("auto", ServiceClass(via="auto", max_pause_ns=1000))
        held._ways._pages.pop("idle", None)  # type: ignore[attr-defined]
        after(held, 5)
        assert [one.way.via for one in held.present()] == ["lru_gen"]
