"""The policy adaptive on real memory, through the commands: what it finds, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.damon import record_until
from tests.guest.memory import MIB
from udamon.cli.main import main
from udamon.model import Range, Snapshot
from udamon.record.reader import Recording

pytestmark = [pytest.mark.guest_boot(smp=1), pytest.mark.needs("root", "idle_bitmap")]

ISLANDS = 6
Areas = tuple[int, list[Range], list[Range]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Areas]:
    """Its pid, islands of 4 MiB that are touched all the time, and 24 MiB before each that are not."""
    place = tmp_path_factory.mktemp("workload")
    config, log = place / "islands.masim", place / "truth"
    regions = "".join(f"cold{i}, {24 * MIB}\nhot{i}, {4 * MIB}\n" for i in range(ISLANDS))
    patterns = "".join(f"hot{i}, 0, 4096, 1, wo\n" for i in range(ISLANDS))
    config.write_text(f"{regions}\nall\n600000\n{patterns}")
    command = [sys.executable, "-m", "udamon", "workload", str(config), "--truth", str(log)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid, *_areas(log)
        finally:
            process.kill()


def _areas(log: Path) -> tuple[list[Range], list[Range]]:
    """What is hot, and what is not, as soon as the log says so."""
    for _ in range(300):
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        for line in lines:
            if line["kind"] == "phase":
                known = [(region["hot"], Range(region["start"], region["end"])) for region in line["regions"]]
                return [area for hot, area in known if hot], [area for hot, area in known if not hot]
        time.sleep(0.1)
    raise AssertionError("the workload did not begin")


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
    recording = record(tmp_path / "a", pid, "--sample", "50ms", "--aggr", "1s", snapshots=12)
    last = list(recording.snapshots())[-1]
    assert hot_bytes(last, hot) >= 0.95 * ISLANDS * 4 * MIB
    assert hot_bytes(last, cold) <= 0.05 * ISLANDS * 4 * MIB
    assert all(hot_bytes(last, [island]) for island in hot)


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
