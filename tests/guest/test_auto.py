"""What `--via auto` becomes on a real kernel, with consent to read kernel memory and without; and who else clears bits.

It reads kernel memory, drives DAMON_STAT and reclaims: in a guest only.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guest.memory import MIB, Memory, memory
from tests.guest.stat import STAT
from tests.guest.test_pte import HAS, needs_tables
from tests.integration.recorder import forked_udamon, started_udamon
from udamon.availability.choice import OFFER
from udamon.availability.others import RECLAIM
from udamon.availability.primitives import probe
from udamon.configuration.files import SYSTEM
from udamon.linux.consent import VARIABLE
from udamon.record.reader import Recording

pytestmark = [pytest.mark.guest_boot(smp=1), pytest.mark.guest_612, pytest.mark.needs("root")]

CONFIG = Path(SYSTEM)
ALLOWED = {VARIABLE: "1"}


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        started.map("a", 16 * MIB)
        yield started


def recorded(program: Memory, place: Path, *words: str, **environment: str) -> tuple[dict[str, Any], str]:
    """What a recording of the program says of itself, and what `record` said."""
    file = place / "a.udamon"
    every = ("--aggr", "1s", "--windows", "2", "-o", file, "--force")
    done = forked_udamon("record", "-p", program.pid, *every, *words, **environment)
    assert done.status == 0, done.stderr
    return Recording(file).metadata, done.stderr


def info(place: Path) -> dict[str, Any]:
    """What `report info` says of the last recording."""
    told = forked_udamon("report", "info", place / "a.udamon", "--json")
    assert told.status == 0, told.stderr
    return dict(json.loads(told.stdout))


def first_of_three() -> str:
    return next(name for name in ("idle", "kernel", "refs") if probe(name).usable)


def test_without_consent(program: Memory, tmp_path: Path) -> None:
    found, said = recorded(program, tmp_path)
    assert found["via"] == first_of_three()
    assert found["why"].startswith("pte is not allowed")
    offered = OFFER if any(HAS.values()) else None
    first = f"udamon: via {found['via']}: {found['why']}."
    assert said.splitlines()[:2] == [f"udamon: {OFFER}", first] if offered else said.startswith(first)
    doctor = json.loads(forked_udamon("doctor", "--json").stdout)
    assert (doctor["auto"], doctor["offered"]) == (found["via"], offered)


@needs_tables
def test_with_consent_in_the_environment(program: Memory, tmp_path: Path) -> None:
    found, said = recorded(program, tmp_path, **ALLOWED)
    assert (found["via"], found["grain"]) == ("pte", "page")
    assert "it tells every page" in found["why"]
    assert OFFER not in said
    told = info(tmp_path)
    assert all(told[name] == found[name] for name in ("via", "why", "policy", "grain"))
    doctor = json.loads(started_udamon("doctor", "--json", prefix=("env", f"{VARIABLE}=1")).stdout)
    assert (doctor["auto"], doctor["offered"]) == ("pte", None)
    assert doctor["primitives"]["pte"]["why"].startswith("It sees every page")
    sampled, _ = recorded(program, tmp_path, "--policy", "damon", **ALLOWED)
    assert (sampled["via"], sampled["policy"]) == ("pte", "damon")


@needs_tables
def test_with_consent_of_the_administrator(program: Memory, tmp_path: Path) -> None:
    """A file that others may write is refused: it may hold limits, too, that nobody should lose unnoticed."""
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text("allow_kernel_memory = true\n")
    try:
        CONFIG.chmod(0o644)
        assert recorded(program, tmp_path)[0]["via"] == "pte"
        CONFIG.chmod(0o666)
        refused = forked_udamon("record", "-p", program.pid, "--duration", "1s", "-o", tmp_path / "b.udamon")
        assert refused.status == 2
        assert "that root alone can write" in refused.stderr
        CONFIG.chmod(0o644)
        CONFIG.write_text("allow_kernel_memory = false\n")
        assert recorded(program, tmp_path)[0]["via"] == first_of_three()
    finally:
        CONFIG.unlink()


@needs_tables
def test_large_targets_are_sampled(program: Memory, tmp_path: Path) -> None:
    """A budget that would make the windows of a census longer than a minute."""
    file = tmp_path / "a.udamon"
    words = ("record", "-p", program.pid, "--overhead", "0.005%", "--duration", "3s", "-o", file)
    done = forked_udamon(*words, **ALLOWED)
    assert "udamon: via pte: it samples pages, for a census of 1 process in windows of at most" in done.stderr


def test_damon_stat_is_named(program: Memory, tmp_path: Path) -> None:
    if not STAT.exists():
        pytest.skip("this kernel has no DAMON_STAT")
    STAT.write_text("Y")
    try:
        _, said = recorded(program, tmp_path, "--via", "pte")
        (who,) = [one for one in info(tmp_path)["taken_by_others"] if one != RECLAIM]
        assert who.startswith("in-kernel DAMON (the module damon_stat is enabled")
        assert f"{who} clears the same accessed bits, so pte may see less" in said
    finally:
        STAT.write_text("N")


@pytest.mark.guest_long
def test_reclaim_is_named(program: Memory, tmp_path: Path, swap: None) -> None:
    """While it is recorded, a control group's memory is reclaimed."""
    group = Path("/sys/fs/cgroup/auto-reclaim")
    (group.parent / "cgroup.subtree_control").write_text("+memory")
    group.mkdir()
    recorded(program, tmp_path, "--via", "refs")
    quiet = info(tmp_path)
    with memory() as other:
        if not (group / "memory.reclaim").exists():
            pytest.skip("this kernel has no memory.reclaim")
        (group / "cgroup.procs").write_text(str(other.pid))
        other.map("b", 48 * MIB)
        code = (
            "import pathlib, time\n"
            "for _ in range(30):\n"
            "    time.sleep(0.2)\n"
            "    try: pathlib.Path('/sys/fs/cgroup/auto-reclaim/memory.reclaim').write_text('1M')\n"
            "    except BlockingIOError: pass\n"
        )
        file = tmp_path / "b.udamon"
        done = forked_udamon(
            "record", "--via", "refs", "--aggr", "1s", "-o", file, "--", "python3", "-c", code
        )
    assert done.status == 0, done.stderr
    found = json.loads(forked_udamon("report", "wss", file, "--json").stdout)
    assert RECLAIM in found["taken_by_others"]
    assert f"{RECLAIM} clears the same accessed bits, so refs may see less" in done.stderr
    assert "more may have been accessed" in forked_udamon("report", "wss", file).stdout
    assert RECLAIM not in quiet["taken_by_others"]
    for _ in range(100):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
