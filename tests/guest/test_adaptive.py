"""The policy adaptive on real memory, through the commands: what it finds, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.damon import record_until
from tests.guest.memory import MIB, memory
from udamon.cli.main import main
from udamon.model import Range, Snapshot
from udamon.record.reader import Recording
from udamon.report import sampled
from udamon.report.source import RecordingSource

pytestmark = [pytest.mark.guest_boot(smp=1), pytest.mark.needs("root", "idle_bitmap")]

ISLANDS = 6
PAUSE_MS = 20
"""Less than a sampling interval: 50 ms where it is given, and 25 ms where a budget begins."""
Areas = tuple[int, list[Range], list[Range]]


@pytest.fixture(scope="module")
def program() -> Iterator[Areas]:
    """Its pid, islands of 4 MiB that are touched all the time, and 24 MiB beside each that are not."""
    with memory() as started:
        cold: list[Range] = []
        hot: list[Range] = []
        for number in range(ISLANDS):
            cold.append(started.map(f"cold{number}", 24 * MIB))
            hot.append(started.map(f"hot{number}", 4 * MIB))
        started.touch_every(PAUSE_MS, *(f"hot{number}" for number in range(ISLANDS)))
        yield started.pid, hot, cold


def record(file: Path, pid: int, *flags: str, snapshots: int, at_least_s: float = 0) -> Recording:
    """Recorded by a process of its own, until it has so many snapshots and so much time has passed."""
    words = ["record", "-q", "-p", str(pid), "--via", "idle", "-o", str(file), *flags]
    assert record_until(lambda: main(words), file, snapshots, at_least_s=at_least_s) == 0
    return Recording(file)


def hot_bytes(snapshot: Snapshot, areas: list[Range]) -> int:
    """Bytes of `areas` that the snapshot calls hot: accessed in half of the ticks or more."""
    columns = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True)
    hot = [(start, end) for start, end, nr in columns if 2 * nr >= snapshot.ticks]
    return sum(max(min(end, area.end) - max(start, area.start), 0) for start, end in hot for area in areas)


def test_it_finds_every_island(program: Areas, tmp_path: Path) -> None:
    pid, hot, cold = program
    recording = record(tmp_path / "a", pid, "--sample", "50ms", "--aggr", "1s", snapshots=12, at_least_s=12)
    last = list(recording.snapshots())[-1]
    assert hot_bytes(last, hot) >= 0.95 * ISLANDS * 4 * MIB
    assert hot_bytes(last, cold) <= 0.05 * ISLANDS * 4 * MIB
    assert all(hot_bytes(last, [island]) for island in hot)
    assert last.touched_low is not None
    assert last.touched_high is not None
    own = 4 * MIB  # what the program itself may have touched besides, at most: it is a small one
    assert last.touched_low <= ISLANDS * 4 * MIB + own
    assert ISLANDS * 4 * MIB <= last.touched_high <= ISLANDS * 8 * MIB
    with RecordingSource(recording) as source:
        ((_, there, low, high),) = source.query(
            sampled.LAST.format(spans=sampled.spans(source, 5_000_000_000))
        )
    cold_bytes = sum(area.end - area.start for area in cold)
    print(f"not touched for 5 s: {low / MIB:.1f} to {high / MIB:.1f} of {there / MIB:.1f} MiB")
    assert 0.8 * cold_bytes <= low <= there - ISLANDS * 4 * MIB
    assert cold_bytes <= high


def test_it_stays_within_its_share(program: Areas, tmp_path: Path) -> None:
    """After the first 5 s never above 1.2 times the share in any 10 s, by the recording's own account of CPU time.

    10 %, because everything is some twenty times slower under emulation. Time is the guest's own, which is counted in
    instructions (scripts/guest/boot.py), so that the same work costs the same whatever else the machine does.
    """
    pid, hot, cold = program
    recording = record(tmp_path / "b", pid, "--overhead", "10%", snapshots=14, at_least_s=30)
    costs = [(e.time_ns, int(str(e.data["cpu_ns"]))) for e in recording.events() if e.name == "cost"]
    begin, shares = costs[0][0], []
    for now, spent in costs:
        later = next(((t, cpu) for t, cpu in costs if t >= now + 10_000_000_000), None)
        if now >= begin + 5_000_000_000 and later is not None:
            shares.append((later[1] - spent) / (later[0] - now))
    print(f"{len(shares)} times 10 s: {min(shares):.1%} to {max(shares):.1%}")
    assert max(shares) <= 0.12
    last = list(recording.snapshots())[-1]
    assert hot_bytes(last, hot) >= 0.9 * ISLANDS * 4 * MIB
    assert hot_bytes(last, cold) <= 0.1 * ISLANDS * 4 * MIB
