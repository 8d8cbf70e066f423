"""`udamon stat --via lru_gen` on a real kernel: a group whose pages are touched, or not, on command.

It writes to the kernel's generations of pages: in a guest only.
"""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.memory import MIB, Memory, memory
from tests.integration.recorder import forked_udamon
from udamon.linux.lru_gen import LRU_GEN, read, within
from udamon.modules.group_ages import GroupWatch

pytestmark = [
    pytest.mark.guest_boot(smp=1, mem=2048),
    pytest.mark.guest_612,
    pytest.mark.guest_pte,
    pytest.mark.skipif(not LRU_GEN.exists(), reason="this kernel keeps no generations of pages"),
]

TOP = Path("/sys/fs/cgroup")
ENABLED = Path("/sys/kernel/mm/lru_gen/enabled")
HOT, COLD = 24 * MIB, 40 * MIB
SLACK = 8 * MIB
"""The program itself: its interpreter is anonymous memory of the group, too."""


@contextlib.contextmanager
def made_group(name: str) -> Iterator[Path]:
    ENABLED.write_text("7")
    if not int(ENABLED.read_text(), 16) & 2:
        assert platform.machine() == "aarch64"
        pytest.skip("this processor does not set accessed bits, so aging does not look at page tables")
    (TOP / "cgroup.subtree_control").write_text("+memory")
    directory = TOP / name
    directory.mkdir()
    yield directory
    for _ in range(100):
        with contextlib.suppress(OSError):
            directory.rmdir()
            return
        time.sleep(0.1)


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[Path]:
    """One in which there is nothing."""
    with made_group(f"lru-{request.node.name[:20]}") as directory:
        yield directory


@contextlib.contextmanager
def program(group: Path) -> Iterator[Memory]:
    with memory() as found:
        (group / "cgroup.procs").write_text(str(found.pid))  # before it has memory to speak of
        found.map("hot", HOT)
        found.map("cold", COLD)
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Path, Memory]]:
    """A group and the program in it."""
    with made_group("lru-running") as directory, program(directory) as found:
        yield directory, found


def test_touched_and_idle_bytes_of_a_group(running: tuple[Path, Memory]) -> None:
    """What is touched in a window is told to the size of the program; so is what is not, beyond four generations."""
    group, target = running
    target.tell("once", "hot", "cold")
    watch = GroupWatch(f"/{group.name}")
    watch.begin()
    for number in range(1, 8):
        target.tell("once", "hot")
        time.sleep(1.5)
        watch.window()
        touched = watch.touched("anon")
        assert HOT <= touched <= HOT + SLACK, f"window {number}: {touched / MIB:.1f} MiB"
    cold = watch.cold("anon")
    low, high = cold.low[1], cold.high[1]
    assert low is not None
    assert high is not None
    assert COLD <= low <= high <= COLD + SLACK
    assert watch.foreign == 0
    target.tell("once", "cold")
    watch.window()
    assert COLD <= watch.touched("anon") <= COLD + SLACK


def test_other_groups_are_left_alone(group: Path) -> None:
    inner = group / "inner"
    (group / "cgroup.subtree_control").write_text("+memory")
    inner.mkdir()
    with program(inner):
        before = {(one.path, one.node): one.generations[-1].number for one in read()}
        watch = GroupWatch(f"/{group.name}")
        watch.begin()
        watch.window()
        after = {(one.path, one.node): one.generations[-1].number for one in read()}
        grown = {
            path: after[path, node] - before[path, node] for path, node in before if (path, node) in after
        }
        ours = {one.path for one in read() if within(f"/{group.name}")(one.path)}
        assert f"/{group.name}/inner" in ours
        assert {path for path, more in grown.items() if more >= 2} == ours
        assert all(more == 0 for path, more in grown.items() if path not in ours)
    inner.rmdir()


def test_the_command(running: tuple[Path, Memory]) -> None:
    """In one document, and for people; a group that was never there is one sentence."""
    group, target = running
    target.touch_every(200, "hot")
    words = ("stat", "--via", "lru_gen", "--cgroup", f"/{group.name}", "--aggr", "2s", "--duration", "9s")
    done, said = forked_udamon(*words, "--json"), forked_udamon(*words)
    target.tell("rest")
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["windows"] == 4
    assert found["groups"][0]["path"] == f"/{group.name}"
    assert found["memcg"] == found["groups"][0]["memcg"]
    assert HOT <= found["anon"]["touched_bytes"] <= HOT + SLACK
    assert COLD <= found["anon"]["cold_bytes"]["1"] <= COLD + SLACK
    assert found["anon"]["cold_bytes"]["10"] is None
    assert found["aging_cpu_seconds"] > 0
    assert said.status == 0, said.stderr
    assert "1 control group, 4 windows" in said.stdout
    none = forked_udamon("stat", "--via", "lru_gen", "--cgroup", "/none", "--duration", "1s")
    assert (none.status, none.stderr.count("\n")) == (1, 1)
    assert "no cgroup" in none.stderr


def test_the_machine(running: tuple[Path, Memory]) -> None:
    group, _ = running
    done = forked_udamon("stat", "--via", "lru_gen", "--paddr", "--aggr", "1s", "--duration", "3s", "--json")
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    assert {f"/{group.name}", "/"} <= {one["path"] for one in found["groups"]}
    assert found["anon"]["resident_bytes"] >= HOT + COLD


@pytest.mark.parametrize("flags", [("--policy", "adaptive"), ("--sample", "5ms"), ("--max-regions", "20")])
def test_what_it_has_no_use_for(flags: tuple[str, str]) -> None:
    done = forked_udamon("stat", "--via", "lru_gen", "--paddr", *flags)
    assert done.status == 2
    assert "is of no use with lru_gen" in done.stderr


@pytest.mark.parametrize(("bits", "why"), [("0", "switched off"), ("1", "all memory would seem idle")])
def test_switched_off(bits: str, why: str) -> None:
    """All of it, or the look at page tables alone."""
    ENABLED.write_text(bits)
    try:
        done = forked_udamon("stat", "--via", "lru_gen", "--paddr", "--duration", "1s")
    finally:
        ENABLED.write_text("7")
    assert done.status == 1
    assert why in done.stderr
