"""The policy adaptive on real memory, through the commands: what it finds, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.memory import MIB, Memory, memory
from udamon.model import Range, Snapshot
from udamon.record.reader import Recording

pytestmark = [pytest.mark.guest_boot(smp=1), pytest.mark.needs("root", "idle_bitmap")]

ISLANDS = 6


@pytest.fixture(scope="module")
def program() -> Iterator[tuple[Memory, list[Range], list[Range]]]:
    """Islands of 4 MiB that are touched all the time, in 24 MiB each that are not."""
    with memory() as started:
        cold = [started.map(f"cold{i}", 24 * MIB) for i in range(ISLANDS)]
        hot = [started.map(f"hot{i}", 4 * MIB) for i in range(ISLANDS)]
        started.tell("touch", *(f"hot{i}" for i in range(ISLANDS)))
        yield started, hot, cold


def record(file: Path, program: Memory, *flags: str) -> Recording:
    command = [
        sys.executable,
        "-m",
        "udamon",
        "record",
        "-p",
        str(program.pid),
        "--via",
        "idle",
        "-o",
        str(file),
    ]
    subprocess.run([*command, *flags], check=True, stdout=subprocess.DEVNULL)
    return Recording(file)


def hot_bytes(snapshot: Snapshot, areas: list[Range]) -> int:
    """Bytes of `areas` that the snapshot calls hot: accessed in half of the ticks or more."""
    columns = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True)
    hot = [(start, end) for start, end, nr in columns if 2 * nr >= snapshot.ticks]
    return sum(max(min(end, area.end) - max(start, area.start), 0) for start, end in hot for area in areas)


def test_it_finds_every_island(program: tuple[Memory, list[Range], list[Range]], tmp_path: Path) -> None:
    started, hot, cold = program
    found = list(
        record(tmp_path / "a", started, "--sample", "50ms", "--aggr", "1s", "--duration", "15s").snapshots()
    )
    last = found[-1]
    assert hot_bytes(last, hot) >= 0.95 * ISLANDS * 4 * MIB
    assert hot_bytes(last, cold) <= 0.05 * ISLANDS * 4 * MIB
    assert all(hot_bytes(last, [island]) for island in hot)


def test_it_stays_within_its_share(program: tuple[Memory, list[Range], list[Range]], tmp_path: Path) -> None:
    """After the first 5 s never above 1.2 times the share in any 10 s, by the recording's own account of CPU time.

    10 %, because everything is some twenty times slower under emulation.
    """
    started, hot, cold = program
    recording = record(tmp_path / "b", started, "--overhead", "10%", "--duration", "40s")
    costs = [(e.time_ns, int(str(e.data["cpu_ns"]))) for e in recording.events() if e.name == "cost"]
    begin = costs[0][0]
    for now, spent in costs:
        later = next(((t, cpu) for t, cpu in costs if t >= now + 10_000_000_000), None)
        if now >= begin + 5_000_000_000 and later is not None:
            assert (later[1] - spent) / (later[0] - now) <= 0.12
    last = list(recording.snapshots())[-1]
    assert hot_bytes(last, hot) >= 0.9 * ISLANDS * 4 * MIB
    assert hot_bytes(last, cold) <= 0.1 * ISLANDS * 4 * MIB
