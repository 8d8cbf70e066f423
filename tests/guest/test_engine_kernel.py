"""In-kernel DAMON as an engine, on real kernels: what it finds of processes and physical memory.

One processor: only then do accesses show at once (the emulated TLB keeps what it knows until a context switch).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guest.damon import (
    KDAMONDS,
    SOURCES,
    engine,
    found_free,  # noqa: F401
    rate,
    read,
    record,
    record_until,
    run,
    run_until,
    within,
)
from tests.guest.memory import MIB, PAGE, Memory, frames, memory
from tests.unit.fakes import Collector
from tests.waiting import until
from udamon.core.attrs import Attrs
from udamon.engine.interval_stretch import IntervalStretch
from udamon.model import Range
from udamon.ranges import joined
from udamon.record.reader import Recording

pytestmark = [
    pytest.mark.guest_arm64,
    pytest.mark.guest_612,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "damon_free"),
]

QUICK = Attrs(20_000, 400_000, 500_000, 10, 100)


@pytest.fixture(scope="module")
def program() -> Iterator[Memory]:
    with memory() as started:
        yield started


@pytest.mark.guest_version
@pytest.mark.parametrize("source", SOURCES)
def test_hot_is_hot_and_cold_is_cold(program: Memory, source: str) -> None:
    hot, cold = program.map(f"hot-{source}", 16 * MIB), program.map(f"cold-{source}", 64 * MIB)
    program.tell("touch", f"hot-{source}")

    def converged(seen: Collector) -> bool:
        """The kernel's regions begin at random places; how many aggregations they need is up to chance."""
        last = seen.snapshots[-3:]
        found = max(within(s, hot) for s in last) > 0.7 and max(rate(s, hot) for s in last) > 0.3
        return found and min(rate(s, cold) for s in last) < 0.05

    seen = run_until(engine([program.pid], QUICK, source), 6, converged)
    last = seen.snapshots[-3:]
    print([(round(rate(s, hot), 2), round(rate(s, cold), 2), len(s)) for s in seen.snapshots])
    assert len(seen.snapshots) >= 6
    assert converged(seen)
    assert all(s.ticks == 20 and s.pid == program.pid for s in last)
    assert [s.seq for s in seen.snapshots] == list(range(len(seen.snapshots)))
    if source == "tracepoint":
        for before, after in zip(seen.snapshots, seen.snapshots[1:], strict=False):
            assert after.begin_ns == before.end_ns
            # never before its samples; later where all is emulated
            assert after.end_ns - after.begin_ns > 0.95 * QUICK.aggr_us * 1_000


def test_record_from_the_command_line(program: Memory, tmp_path: Path) -> None:
    """Attributes as asked for; mappings label the regions; the kernel's own CPU is counted."""
    program.map("cli", 16 * MIB)
    program.tell("touch", "cli")
    file = tmp_path / "r.udamon"
    words = ("-p", program.pid, "-o", file, "--sample", "20ms", "--aggr", "400ms", "--max-regions", "200")
    assert record_until(lambda: record(*words), file, 4) == 0
    recording = Recording(file)
    assert recording.metadata["policy"] == recording.metadata["via"] == "kernel"
    assert recording.metadata["ops"] == "vaddr"
    assert recording.metadata["attrs"]["sample_us"] == 20_000
    assert recording.metadata["attrs"]["max_nr_regions"] == 200
    assert len(list(recording.snapshots())) >= 4
    events = list(recording.events())
    assert any(e.name == "mappings" and e.data["add"] for e in events)
    cost = [e.data for e in events if e.name == "cost"][-1]
    print(cost)
    assert int(str(cost["kdamond_cpu_ns"])) > 0
    assert int(str(cost["checks"])) > 0


@pytest.mark.guest_version
def test_the_kernels_attributes_are_those_asked_for(program: Memory) -> None:
    attrs = Attrs(40_000, 900_000, 3_000_000, 11, 77)
    found: dict[str, str] = {}

    def look() -> None:
        for path in (KDAMONDS / "0/contexts/0/monitoring_attrs").rglob("*"):
            if path.is_file():
                found["/".join(path.parts[-2:])] = read(path)
        found["pid"] = read(KDAMONDS / "0/contexts/0/targets/0/pid_target")
        found["operations"] = read(KDAMONDS / "0/contexts/0/operations")

    run(engine([program.pid], attrs), 1, look)
    assert found["intervals/sample_us"] == "40000"
    assert found["intervals/aggr_us"] == "900000"
    assert found["intervals/update_us"] == "3000000"
    assert (found["nr_regions/min"], found["nr_regions/max"]) == ("11", "77")
    assert (found["pid"], found["operations"]) == (str(program.pid), "vaddr")


def test_fvaddr_keeps_to_its_ranges(program: Memory) -> None:
    hot, cold = program.map("f-hot", 8 * MIB), program.map("f-cold", 8 * MIB)
    program.tell("touch", "f-hot")
    ranges = sorted([hot, cold])

    def converged(seen: Collector) -> bool:
        found = max(rate(s, hot) for s in seen.snapshots[-3:]) > 0.4
        return found and min(rate(s, cold) for s in seen.snapshots[-3:]) < 0.1

    seen = run_until(engine([program.pid], QUICK, ops="fvaddr", ranges=ranges), 4, converged)
    last = seen.snapshots[-1]
    assert (last.starts[0], last.ends[-1]) == (ranges[0].start, ranges[-1].end)
    assert sum(e - s for s, e in zip(last.starts, last.ends, strict=True)) == 16 * MIB
    assert converged(seen)


def test_paddr_sees_a_hot_frame(program: Memory) -> None:
    """The longest run of hot frames (all frames of an area may be far apart), and the whole memory in passing."""
    area = program.map("p-hot", 8 * MIB)
    program.tell("touch", "p-hot")
    at = sorted(frame * PAGE for frame in frames(program.pid, area) if frame)
    ranges = [max(joined(Range(one, one + PAGE) for one in at), key=lambda run: run.size)]
    seen = run_until(engine([], QUICK, ops="paddr", ranges=ranges), 5)
    last = seen.snapshots[-1]
    assert last.pid is None
    assert (last.starts[0], last.ends[-1]) == ranges[0]
    assert sum(last.nr_accesses) > 0
    whole = run_until(engine([], QUICK, ops="paddr"), 2).snapshots[-1]
    assert sum(e - s for s, e in zip(whole.starts, whole.ends, strict=True)) > 1500 * MIB


@pytest.mark.parametrize("source", SOURCES)
def test_two_targets_are_told_apart(program: Memory, source: str) -> None:
    with memory() as other:
        mine, theirs = program.map(f"mine-{source}", 16 * MIB), other.map("theirs", 16 * MIB)
        program.tell("rest")
        other.tell("touch", "theirs")
        seen = run_until(
            engine([program.pid, other.pid], QUICK, source),
            12,
            lambda seen: any(rate(s, theirs) > 0.3 for s in seen.snapshots[-6:] if s.target == 1),
        )
    first = [s for s in seen.snapshots if s.target == 0]
    second = [s for s in seen.snapshots if s.target == 1]
    assert {s.pid for s in first} == {program.pid}
    assert {s.pid for s in second} == {other.pid}
    assert {s.seq for s in first} == {s.seq for s in second}
    assert max(rate(s, theirs) for s in second[-3:]) > 0.3
    assert max(rate(s, mine) for s in first[-3:]) < 0.1


def test_it_ends_with_its_target() -> None:
    """Which is told, though no update is due by then."""
    with memory() as doomed:
        doomed.map("a", 4 * MIB)
        made, seen = engine([doomed.pid], replace(QUICK, update_us=60_000_000)), Collector()
        made.bus.subscribe(seen)
        made.open()
        made.start()
        try:
            until(lambda: bool(seen.snapshots))
            doomed.end()
            assert made.join(60), "it did not end by itself"
        finally:
            made.stop()
            assert made.join(60)
    assert [e.data["why"] for e in seen.events if e.name == "target_end"] == ["exited"]
    assert seen.snapshots


@pytest.mark.parametrize("source", SOURCES)
def test_children_come_and_go(source: str) -> None:
    """Appended to a running DAMON, and taken off it where the kernel can do that."""
    with memory() as parent:
        parent.map("a", 4 * MIB)
        made = engine([parent.pid], QUICK, source, children=True)
        seen = Collector()
        made.bus.subscribe(seen)
        made.open()
        made.start()
        try:
            for number in (1, 2):
                child = int(parent.tell("fork"))
                until(lambda number=number: of(seen, number) >= 3)  # type: ignore[misc]
                os.kill(child, signal.SIGKILL)
                until(lambda number=number: ended(seen) == list(range(1, number + 1)))  # type: ignore[misc]
            until(lambda: of(seen, 0) >= 8)
        finally:
            made.stop()
            assert made.join(60)
    notes = [e.data["text"] for e in seen.events if e.name == "note"]
    print(notes)
    assert [e.data["target"] for e in seen.events if e.name == "target_start"] == [0, 1, 2]
    assert ended(seen) == [1, 2]
    for snapshot in seen.snapshots:
        pid = {e.data["target"]: e.data["pid"] for e in seen.events if e.name == "target_start"}
        assert snapshot.pid == pid[snapshot.target]


def of(seen: Collector, target: int) -> int:
    """How many snapshots of a target there are."""
    return sum(snapshot.target == target for snapshot in seen.snapshots)


def ended(seen: Collector) -> list[object]:
    return [event.data["target"] for event in seen.events if event.name == "target_end"]


def test_a_share_of_the_cpu_is_kept(program: Memory) -> None:
    """Intervals grow until kdamond and reader stay below it."""
    program.tell("touch", *([program.map("budget", 8 * MIB) and "budget"]))
    made = engine([program.pid], Attrs(5_000, 100_000, 1_000_000, 10, 1000), budget=IntervalStretch(0.05))

    def decided_anew(seen: Collector) -> bool:
        """Longer intervals have been kept for as long as three decisions take."""
        grown = [snapshot for snapshot in seen.snapshots if snapshot.sample_ns > 5_000_000]
        return bool(grown) and grown[-1].end_ns - grown[0].begin_ns > 3 * IntervalStretch.WINDOW_NS

    seen = run_until(made, 1, decided_anew)
    changes = [(e.data["sample_us"], e.data["why"]) for e in seen.events if e.name == "attrs"]
    print(changes)
    assert changes
    assert made.attrs.sample_us > 5_000
    assert seen.snapshots[-1].ticks == 20
    assert seen.snapshots[-1].sample_ns > 5_000_000
