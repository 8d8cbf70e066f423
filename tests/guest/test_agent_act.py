"""`udamon agent --act` on a real kernel: memory.reclaim of a group, by what a watching agent would say of it.

The agent's document is made up, because a safe age takes an hour of watching; the group, its memory, swap and what
comes back are the kernel's. Emulated, everything takes long: quotas of time and the limit of pressure are off.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.guest.memory import MIB, Memory
from tests.guest.test_lru_gen import COLD, HOT, group, program  # noqa: F401
from udamon.agent.acting.unit import ActingUnit
from udamon.agent.config import parse_settings
from udamon.core.idle_time import SECONDS
from udamon.linux.cgroup.memory import read_reclaimed

pytestmark = [
    pytest.mark.guest_boot(smp=1, mem=2048),
    pytest.mark.needs("root", "zram"),
    pytest.mark.usefixtures("swap"),
    pytest.mark.skipif(
        tuple(int(part) for part in os.uname().release.split(".")[:2]) < (5, 19),
        reason="memory.reclaim is of 5.19",
    ),
]

NS = 1_000_000_000
WANTED = 24 * MIB


class Acting:
    """A unit, what it said, and the agent's document of one service: WANTED bytes of it are cold."""

    def __init__(self, group: Path, reclaim: str) -> None:  # noqa: F811
        self.group = group
        self.said: list[str] = []
        self.now_ns = 1000 * NS
        self._measured_ns = self.now_ns
        limits = 'min_age = "2m", quota_ms = 0, max_psi = "100%", max_major_faults = 100000'
        settings = parse_settings(f"[default]\nreclaim = {{ {limits}, {reclaim} }}\n", "a.toml")
        self.unit = ActingUnit(settings, self._document, self.said.append, now_ns=lambda: self.now_ns)

    def _document(self) -> Mapping[str, Any]:
        ages = dict.fromkeys(map(str, SECONDS))
        one = {
            "key": self.group.name, "cgroup": str(self.group), "class": "default", "safe_cold_age_seconds": 120,
            "working_set_bytes": {"low": HOT, "high": HOT},
            "cold_bytes": {**ages, "120": {"low": WANTED, "high": COLD}},
            "measured_seconds_ago": {**ages, "120": (self.now_ns - self._measured_ns) / NS},
        }  # fmt: skip
        return {"services": [one]}

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.now_ns += 10 * NS
            self.unit.round()

    @property
    def stolen(self) -> int:
        return read_reclaimed(self.group).stolen


def out(target: Memory) -> int:
    """Bytes of the program that are in swap."""
    status = Path(f"/proc/{target.pid}/status").read_text()
    return int(status.partition("VmSwap:")[2].split()[0]) * 1024


def test_a_dry_run_takes_nothing(group: Path) -> None:  # noqa: F811
    with program(group) as target:
        acting = Acting(group, "apply = false")
        acting.rounds(3)
        assert any("would take 24.0 MiB of 24.0 MiB" in said for said in acting.said), acting.said
        assert (acting.stolen, out(target)) == (0, 0)
        acting.unit.close()


def test_it_takes_what_is_cold_and_backs_off_when_it_comes_back(group: Path) -> None:  # noqa: F811
    """As much as the agent calls cold and not again; then all of it is accessed, so the service rests."""
    with program(group) as target:
        target.tell("touch", "hot")
        acting = Acting(group, "apply = true")
        acting.rounds(4)
        assert any(said.startswith(f"{group.name}: took ") for said in acting.said), acting.said
        taken = acting.stolen
        assert WANTED // 2 <= taken <= WANTED + 4 * MIB, f"{taken / MIB:.1f} MiB"
        assert out(target) >= taken // 2, "the program's memory went, not page cache alone"
        acting.rounds(1)
        assert acting.stolen == taken, "what was asked for since the agent looked is not asked for again"
        target.tell("once", "cold")
        target.tell("once", "hot")
        acting.rounds(1)
        assert any(said.startswith(f"{group.name} is backed off: ") for said in acting.said), acting.said
        acting.unit.close()
