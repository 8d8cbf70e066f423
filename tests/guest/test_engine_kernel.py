"""In-kernel DAMON as an engine, on real kernels: what it finds, and that nothing is left of it.

Intervals are long, because emulation is slow. One processor: only then do accesses show at once (the emulated
TLB keeps what it knows until a context switch).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.damon import free, watched
from tests.guest.memory import MIB, Memory, memory
from udamon.core.attrs import Attrs
from udamon.model import Range, Snapshot
from udamon.record.reader import Recording

pytestmark = [
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "damon_free"),
]

ATTRS = Attrs(50_000, 1_000_000, 1_000_000, 10, 100)
SOURCES = ["tracepoint", "tried_regions"]


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        yield started


@pytest.fixture(autouse=True)
def found_free() -> Iterator[None]:
    """Each test finds DAMON free and leaves it so."""
    assert free() == []
    yield
    assert free() == []


def rate(snapshot: Snapshot, area: Range) -> float:
    """The mean access rate of an area, by bytes."""
    total = 0.0
    for start, end, nr in zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True):
        shared = min(end, area.end) - max(start, area.start)
        total += max(shared, 0) * nr / snapshot.ticks
    return total / area.size


@pytest.mark.parametrize("source", SOURCES)
def test_hot_is_hot_and_cold_is_cold(program: Memory, source: str) -> None:
    hot, cold = program.map(f"hot-{source}", 16 * MIB), program.map(f"cold-{source}", 64 * MIB)
    program.tell("touch", f"hot-{source}")
    seen = watched([program.pid], ATTRS, source, seconds=9)
    last = seen.snapshots[-3:]
    print([(round(rate(s, hot), 2), round(rate(s, cold), 2), len(s)) for s in seen.snapshots])
    assert len(last) == 3
    assert all(s.ticks == 20 and s.pid == program.pid for s in last)
    assert max(rate(s, hot) for s in last) > 0.5
    assert max(rate(s, cold) for s in last) < 0.2
    assert [s.seq for s in seen.snapshots] == list(range(len(seen.snapshots)))
    if source == "tracepoint":
        for before, after in zip(seen.snapshots, seen.snapshots[1:], strict=False):
            assert after.begin_ns == before.end_ns
            assert after.end_ns - after.begin_ns == pytest.approx(1e9, rel=0.3)


def record(*words: object, seconds: float = 6) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "udamon", "record", "--via", "kernel", *map(str, words), "--duration",
         f"{seconds}s", "--force"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_record_from_the_command_line(program: Memory, tmp_path: Path) -> None:
    """Attributes as asked for; mappings label the regions; the kernel's own CPU is counted."""
    hot = program.map("cli", 16 * MIB)
    program.tell("touch", "cli")
    file = tmp_path / "r.udamon"
    words = ("-p", program.pid, "-o", file, "--sample", "50ms", "--aggr", "1s", "--max-regions", "200")
    done = record(*words)
    _, errors = done.communicate(timeout=100)
    assert done.returncode == 0, errors
    print(errors)
    recording = Recording(file)
    assert recording.metadata["policy"] == recording.metadata["via"] == "kernel"
    assert recording.metadata["ops"] == "vaddr"
    assert recording.metadata["attrs"]["sample_us"] == 50_000
    assert recording.metadata["attrs"]["max_nr_regions"] == 200
    snapshots = list(recording.snapshots())
    assert len(snapshots) >= 4
    assert rate(snapshots[-1], hot) > 0.5
    events = list(recording.events())
    assert any(e.name == "mappings" and e.data["add"] for e in events)
    cost = [e.data for e in events if e.name == "cost"][-1]
    print(cost)
    assert int(str(cost["kdamond_cpu_ns"])) > 0
    assert int(str(cost["checks"])) > 0
