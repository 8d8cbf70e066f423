"""The unit that acts: what it takes by what the agent says, and what holds it still, on made-up control groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import udamon.agent.acting.unit as module
from udamon.agent.acting.unit import ActingUnit
from udamon.agent.config import parse_settings
from udamon.agent.settings import Settings
from udamon.core.idle_time import SECONDS
from udamon.errors import CannotError, ConfigError, UsageError
from udamon.linux.roots import Roots

MIB = 1 << 20
NS = 1_000_000_000


class Machine:
    """Control groups with files as the kernel has them; reclaim takes what it is asked for, up to `reclaimable`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.roots = Roots(root / "proc", root / "sys", (root / "locks",))
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/pressure").mkdir()
        (root / "cg").mkdir()
        (root / "proc/self/mountinfo").write_text(f"30 1 0:26 / {root}/cg rw - cgroup2 cgroup2 rw\n")
        (root / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 300 kB\n")
        self.now_ns = self.measured_ns = 1000 * NS
        self.services: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.asked: list[tuple[str, int, bool]] = []
        self.reclaimable = 1 << 40
        self.stolen: dict[str, int] = {}
        self.failure: OSError | None = None
        self.refused: str | None = None
        self.stall(0)
        monkeypatch.setattr(module, "reclaim", self._reclaim)

    def add(self, name: str, of_class: str = "batch", *, reclaim: bool = True, **told: Any) -> None:
        place = self.root / "cg" / name
        place.mkdir()
        (place / "cgroup.procs").write_text("")
        if reclaim:
            (place / "memory.reclaim").write_text("")
        self.stat(name)
        ages = {str(age): None for age in (1, 10, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)}
        self.services.append(
            {
                "key": name, "cgroup": str(place), "class": of_class, "safe_cold_age_seconds": 120,
                "working_set_bytes": {"low": 0, "high": 100 * MIB},
                "cold_bytes": {**ages, "120": {"low": 40 * MIB, "high": 50 * MIB}, "600": {"low": 8 * MIB, "high": 9}},
                **told,
            }
        )  # fmt: skip

    def stat(self, name: str, refaulted: int = 0, faults: int = 0) -> None:
        pages = self.stolen.get(name, 0) // 4096
        (self.root / "cg" / name / "memory.stat").write_text(
            f"pgsteal {pages}\npgmajfault {faults}\nworkingset_refault_anon {refaulted // 4096}\n"
        )

    def stall(self, total_us: int) -> None:
        text = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total_us}\n"
        (self.root / "proc/pressure/memory").write_text(text)

    def _reclaim(self, directory: Path, size: int, *, anonymous: bool = True) -> bool:
        if directory.name == self.refused:
            raise PermissionError(13, "Permission denied")
        if self.failure is not None:
            raise self.failure
        moved = min(size, self.reclaimable)
        self.asked.append((directory.name, size, anonymous))
        self.reclaimable -= moved
        self.stolen[directory.name] = self.stolen.get(directory.name, 0) + moved
        self.stat(directory.name)
        return moved == size

    def unit(self, reclaim: str = "apply = true") -> ActingUnit:
        settings = parse_settings(
            f'[[class]]\nname = "batch"\nmatch = {{ kind = "*" }}\nreclaim = {{ {reclaim} }}\n', "a.toml"
        )
        return ActingUnit(
            settings, self.document, self.said.append, roots=self.roots, now_ns=lambda: self.now_ns
        )

    def document(self) -> Mapping[str, Any]:
        """As of when the agent looked last."""
        ago = (self.now_ns - self.measured_ns) / NS
        for one in self.services:
            one["measured_seconds_ago"] = dict.fromkeys(one["cold_bytes"], ago)
        return {"services": self.services}

    def rounds(self, unit: ActingUnit, number: int = 1) -> None:
        for _ in range(number):
            self.now_ns += 10 * NS
            unit.round()

    def taken(self, name: str) -> int:
        return sum(size for group, size, _ in self.asked if group == name)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_what_is_cold_is_taken_once(machine: Machine) -> None:
    """The first round only reads totals; what was asked for since the agent looked is not asked for again."""
    machine.add("web")
    unit = machine.unit()
    machine.rounds(unit)
    assert not machine.asked
    machine.rounds(unit, 3)
    assert machine.taken("web") == 40 * MIB
    assert machine.said == ["web: took 40.0 MiB of 40.0 MiB that are cold."]
    machine.now_ns += 60 * NS
    machine.measured_ns = machine.now_ns
    machine.rounds(unit)
    assert machine.taken("web") == 80 * MIB, "it has looked again, and so much is cold"


def test_what_is_cold_is_taken_once_where_the_safe_age_changes(machine: Machine) -> None:
    """An age that was measured later does not make forgotten what was asked for before."""
    machine.add("web", safe_cold_age_seconds=600)
    measured_s = dict.fromkeys(map(str, SECONDS), 1000)
    document = machine.document

    def told() -> Mapping[str, Any]:
        found = document()
        for one in found["services"]:
            one["measured_seconds_ago"] = {age: machine.now_ns / NS - at for age, at in measured_s.items()}
        return found

    machine.document = told  # type: ignore[method-assign]
    unit = machine.unit()
    machine.rounds(unit, 3)
    assert machine.taken("web") == 8 * MIB
    measured_s["120"] = machine.now_ns // NS
    machine.services[0] |= {"safe_cold_age_seconds": 120}
    machine.services[0]["cold_bytes"]["120"] = {"low": 0, "high": 0}
    machine.rounds(unit)
    machine.services[0] |= {"safe_cold_age_seconds": 600}
    machine.rounds(unit)
    assert machine.taken("web") == 8 * MIB


@pytest.mark.parametrize(("ago_s", "age", "taken"), [(3500, 120, 40 * MIB), (3700, 120, 0), (10_000, 1800, 40 * MIB),
                                                      (11_000, 1800, 0)])  # fmt: skip
def test_what_was_cold_long_ago_is_left_alone(machine: Machine, ago_s: int, age: int, taken: int) -> None:
    """A service that a recording has keeps its figures, and its memory may be in use by now."""
    cold = {str(age): {"low": 40 * MIB, "high": 50 * MIB}}
    machine.add("web", safe_cold_age_seconds=age, cold_bytes={**_ages(), **cold})
    unit = machine.unit()
    machine.measured_ns = machine.now_ns - ago_s * NS
    machine.rounds(unit, 3)
    assert machine.taken("web") == taken
    assert sum("was measured too long ago" in text for text in machine.said) == (not taken)


def test_a_service_of_which_nothing_runs(machine: Machine) -> None:
    """Its cycle goes on, and the figure of the safe age is never renewed: those of longer ages hold for it."""
    cold = {"120": {"low": 40 * MIB, "high": 50 * MIB}, "7200": {"low": 30 * MIB, "high": 50 * MIB}}
    machine.add("web", cold_bytes={**_ages(), **cold})
    document = machine.document

    def told() -> Mapping[str, Any]:
        found = document()
        for one in found["services"]:
            one["measured_seconds_ago"] = dict.fromkeys(one["cold_bytes"], 7200.0) | {"7200": 60.0}
        return found

    machine.document = told  # type: ignore[method-assign]
    machine.rounds(machine.unit(), 3)
    assert machine.taken("web") == 30 * MIB


def test_a_dry_run_takes_nothing(machine: Machine) -> None:
    machine.add("web")
    unit = machine.unit('min_age = "2m"')
    machine.rounds(unit, 4)
    assert not machine.asked
    assert machine.said == ["web: would take 40.0 MiB of 40.0 MiB that are cold."]


def test_why_nothing_is_taken_at_first_is_told_once(machine: Machine) -> None:
    """An agent that has just begun knows no safe age, and silence for an hour would look like a fault."""
    machine.add("web", safe_cold_age_seconds=None)
    unit = machine.unit()
    machine.rounds(unit, 4)
    assert machine.said == [
        "class batch: no safe age of its services is known yet, which takes an hour of watching."
    ]
    machine.services[0]["safe_cold_age_seconds"] = 120
    machine.rounds(unit)
    assert machine.said[1:] == ["web: took 40.0 MiB of 40.0 MiB that are cold."]


@pytest.mark.parametrize(
    ("reclaim", "told", "taken"),
    [
        ("", {}, 40 * MIB),
        ('min_age = "10m"', {}, 8 * MIB),
        ("", {"safe_cold_age_seconds": 600}, 8 * MIB),
        ("", {"safe_cold_age_seconds": None}, 0),
        ('min_age = "1h"', {}, 0),
        ("", {"class": "other"}, 0),
    ],
)
def test_at_which_age(machine: Machine, reclaim: str, told: dict[str, Any], taken: int) -> None:
    """The safe age at least; where it is not known, nothing is done."""
    machine.add("web", **told)
    unit = machine.unit(f"apply = true{', ' if reclaim else ''}{reclaim}")
    machine.rounds(unit, 3)
    assert machine.taken("web") == taken


def test_the_quota_of_a_class(machine: Machine) -> None:
    """10 MiB a minute for all of its services, the largest first."""
    machine.add("small", cold_bytes={**_ages(), "120": {"low": 4 * MIB, "high": 4 * MIB}})
    machine.add("large")
    unit = machine.unit('apply = true, quota_sz = "10 MiB"')
    machine.rounds(unit, 6)
    assert (machine.taken("large"), machine.taken("small")) == (10 * MIB, 0)
    machine.rounds(unit, 6)
    assert machine.taken("large") == 20 * MIB, "of the next minute"


def _ages() -> dict[str, None]:
    return {str(age): None for age in (1, 10, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)}


def test_it_holds_still_under_pressure(machine: Machine) -> None:
    machine.add("web")
    unit = machine.unit('apply = true, max_psi = "10%"')
    machine.rounds(unit)
    machine.stall(2_000_000)  # of 10 s
    machine.rounds(unit)
    assert not machine.asked
    assert "waits for memory 20.0%" in machine.said[0]
    machine.rounds(unit, 2)
    assert machine.taken("web") == 40 * MIB


def test_it_holds_still_where_faults_are_many(machine: Machine) -> None:
    machine.add("web")
    unit = machine.unit("apply = true, max_major_faults = 10")
    machine.rounds(unit)
    machine.stat("web", faults=200)
    machine.rounds(unit)
    assert not machine.asked
    assert "20 major faults a second" in machine.said[0]


def test_a_service_of_which_much_is_wanted_back_rests(machine: Machine) -> None:
    """1 MiB of a working set of 100 within 10 s is 6 % a minute."""
    machine.add("web")
    machine.add("other")
    unit = machine.unit('apply = true, quota_sz = "10 MiB", quota_reset_interval_ms = 10000')
    machine.rounds(unit, 2)
    first = machine.taken("web") + machine.taken("other")
    assert first == 10 * MIB
    name = machine.asked[0][0]
    machine.stat(name, refaulted=MIB)
    machine.rounds(unit, 3)
    assert machine.taken(name) == 10 * MIB
    assert machine.taken("other" if name == "web" else "web") > 0
    assert any(text.startswith(f"{name} is backed off: 6.00%") for text in machine.said)


def test_watermarks(machine: Machine) -> None:
    """30 % is free: above the high mark nothing is done."""
    machine.add("web")
    unit = machine.unit(
        'apply = true, wmarks_metric = "free_mem_rate", wmarks_high = 200, wmarks_mid = 150, wmarks_low = 50'
    )
    machine.rounds(unit, 3)
    assert not machine.asked
    assert "above the high watermark" in machine.said[0]
    (machine.root / "proc/meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\n")
    machine.rounds(unit)
    assert machine.taken("web") == 40 * MIB


def test_what_the_kernel_does_not_find(machine: Machine) -> None:
    machine.add("web")
    machine.reclaimable = 2 * MIB
    unit = machine.unit()
    machine.rounds(unit, 2)
    assert machine.taken("web") == 16 * MIB, "one piece, of which less than half went"
    assert "took 2.0 MiB of 40.0 MiB" in machine.said[0]


def test_groups_that_cannot_give_memory_back(machine: Machine) -> None:
    """No memory.reclaim, a path that is no control group, one that has ended."""
    machine.add("old", reclaim=False)
    machine.add("ended", cgroup=str(machine.root / "cg/none"))
    machine.add("false", cgroup="/etc")
    unit = machine.unit()
    machine.rounds(unit, 4)
    assert not machine.asked
    assert len(machine.said) == 1
    assert "old has no memory.reclaim, which needs Linux 5.19" in machine.said[0]


def test_groups_that_are_called_as_what_else_is_spoken_of(machine: Machine) -> None:
    """Each is told of once; what was told of those that have ended is not kept."""
    machine.add("agent", reclaim=False)
    machine.add("class batch", reclaim=False)
    unit = machine.unit()
    machine.rounds(unit, 4)
    assert sorted(text.partition(" has no ")[0] for text in machine.said) == ["agent", "class batch"]
    machine.services.clear()
    machine.rounds(unit)
    assert not unit._said_of


def test_a_reclaim_that_fails_is_told_once(machine: Machine) -> None:
    machine.add("web")
    unit = machine.unit()
    machine.failure = OSError(5, "Input/output error")
    machine.rounds(unit, 4)
    assert machine.said == ["web: memory.reclaim failed (Input/output error); nothing is taken out of it."]


def test_anonymous_memory_alone(machine: Machine) -> None:
    machine.add("web")
    unit = machine.unit("apply = true, skip_anon = true")
    machine.rounds(unit, 2)
    assert {anonymous for _, _, anonymous in machine.asked} == {False}
    machine.failure = OSError(22, "Invalid argument")
    machine.now_ns += 200 * NS
    machine.measured_ns = machine.now_ns
    machine.rounds(unit, 3)
    assert sum("Linux 6.10" in text for text in machine.said) == 1


def test_what_is_refused(machine: Machine) -> None:
    with pytest.raises(UsageError, match="none has one"):
        ActingUnit(Settings(), machine.document, machine.said.append, roots=machine.roots)
    machine.add("web")
    unit = machine.unit()
    machine.rounds(unit)
    machine.services[0]["safe_cold_age_seconds"] = "soon"
    with pytest.raises(CannotError, match="of another version"):
        machine.rounds(unit)


@pytest.mark.parametrize("cold", [float("inf"), float("nan"), None, "much"])
def test_an_answer_that_makes_no_sense(machine: Machine, cold: Any) -> None:
    machine.add("web", cold_bytes={**_ages(), "120": {"low": cold, "high": cold}})
    with pytest.raises(CannotError, match="of another version"):
        machine.rounds(machine.unit())


@pytest.mark.parametrize("ago", [float("inf"), float("nan"), None])
def test_a_time_that_makes_no_sense(machine: Machine, ago: Any) -> None:
    machine.add("web")
    found = machine.document()
    found["services"][0]["measured_seconds_ago"]["120"] = ago
    machine.document = lambda: found  # type: ignore[method-assign]
    with pytest.raises(CannotError, match="of another version"):
        machine.rounds(machine.unit())


def test_a_group_that_another_user_owns(machine: Machine) -> None:
    """Of a delegated group the file may belong to its user: the others are served all the same, and it is said once."""
    machine.add("delegated", cold_bytes={**_ages(), "120": {"low": 50 * MIB, "high": 50 * MIB}})
    machine.add("web")
    machine.refused = "delegated"
    unit = machine.unit()
    machine.rounds(unit, 4)
    assert (machine.taken("delegated"), machine.taken("web")) == (0, 40 * MIB)
    assert sum("may not be written by this user" in text for text in machine.said) == 1


@pytest.mark.parametrize(
    ("reclaim", "said"),
    [
        ('min_age = "3m"', "none of the ages"), ('min_age = "60s"', "none of the ages"), ('quota = "1"', "no such key"),
        ("wmarks_metric = 'free_mem_rate', wmarks_high = 1", "not in falling order"),
        ("quota_reset_interval_ms = 0", "is no time that a quota"), ('max_psi = "a"', "not a share"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(machine: Machine, reclaim: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"a\.toml:4.*{said}"):
        machine.unit(reclaim)
