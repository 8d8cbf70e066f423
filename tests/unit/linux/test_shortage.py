"""Whether memory is short for a process, from made-up files of both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from udamon.linux.cgroup.shortage import shortage

CALM = "some avg10=0.00 avg60=9.00 avg300=9.00 total=99\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=9\n"
STALLED = CALM.replace("some avg10=0.00", "some avg10=0.10")


class Machine:
    def __init__(self, place: Path, version: int) -> None:
        self.proc, self.groups = place / "proc", place / "groups"
        self.own = self.groups / "a" / "b"
        self.own.mkdir(parents=True)
        for directory in (self.groups, self.groups / "a", self.own):
            (directory / "cgroup.procs").write_text("")
        kind, options = ("cgroup2", "rw") if version == 2 else ("cgroup", "rw,memory")
        for name in ("self", "9", "pressure"):
            (self.proc / name).mkdir(parents=True)
        (self.proc / "self/mountinfo").write_text(f"30 1 0:2 / {self.groups} rw - {kind} none {options}\n")
        controllers = ":" if version == 2 else "memory:"
        (self.proc / "9/cgroup").write_text(f"7:cpu:/x\n3:{controllers}/a/b\n")
        (self.proc / "pressure/memory").write_text(CALM)

    def limit(self, directory: Path, used: tuple[str, int], most: tuple[str, str]) -> None:
        (directory / used[0]).write_text(f"{used[1]}\n")
        (directory / most[0]).write_text(f"{most[1]}\n")


@pytest.mark.parametrize("version", [1, 2])
def test_near_the_limit_of_a_group_above(tmp_path: Path, version: int) -> None:
    machine = Machine(tmp_path, version)
    used, most = (("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max"))[
        version - 1
    ]
    none = "max" if version == 2 else str((1 << 63) - 4096)
    machine.limit(machine.own, (used, 990), (most, none))
    machine.limit(machine.groups / "a", (used, 899), (most, "1000"))
    assert shortage(9, machine.proc) is None
    machine.limit(machine.groups / "a", (used, 900), (most, "1000"))
    assert shortage(9, machine.proc) == "its control group is within 10% of its limit"


def test_the_limit_that_throttles_counts_too(tmp_path: Path) -> None:
    machine = Machine(tmp_path, 2)
    machine.limit(machine.own, ("memory.current", 95), ("memory.high", "100"))
    (machine.own / "memory.max").write_text("max\n")
    assert "limit" in str(shortage(9, machine.proc))


def test_tasks_that_wait(tmp_path: Path) -> None:
    """Of the machine, or of the group of the process; a moment of the last ten seconds is enough."""
    machine = Machine(tmp_path, 2)
    (machine.own / "memory.pressure").write_text(STALLED)
    assert shortage(9, machine.proc) == "tasks wait for memory"
    (machine.own / "memory.pressure").write_text(CALM)
    assert shortage(9, machine.proc) is None
    (machine.proc / "pressure/memory").write_text(STALLED)
    assert shortage(9, machine.proc) == "tasks wait for memory"


def test_where_nothing_tells(tmp_path: Path) -> None:
    """No PSI, no group, a process that is gone, files that make no sense."""
    machine = Machine(tmp_path, 2)
    (machine.proc / "pressure/memory").write_text("none\n")
    machine.limit(machine.own, ("memory.current", 95), ("memory.max", "many"))
    assert shortage(9, machine.proc) is None
    assert shortage(10, machine.proc) is None
    (machine.proc / "self/mountinfo").write_text("")
    assert shortage(9, machine.proc) is None
