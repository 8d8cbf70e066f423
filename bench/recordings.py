"""What a row costs: written, on disk, read, reported."""

from __future__ import annotations

import tempfile
import time
from array import array
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from random import Random

from bench.figures import Figure, Sample
from bench.shapes import simulated, truth_of
from udamon.cli.main import main
from udamon.core.attrs import Attrs
from udamon.model import Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer

ROWS, RUNS, REGIONS = 1_000_000, 5, 1000
PER_FLUSH = 5


def measure() -> list[Figure]:
    snapshots = at_random()
    with tempfile.TemporaryDirectory() as place:
        return [_writing(snapshots, Path(place)), _reading(snapshots, Path(place))]


def of_a_shape() -> list[Snapshot]:
    """What policy damon makes of a shape with as many regions as there may be: they look much alike."""
    return simulated(truth_of("zipf"), 40, Attrs(min_nr_regions=900))[20:]


def at_random(count: int = 20) -> list[Snapshot]:
    """Snapshots that compress badly: 1000 regions of sizes, counts and ages drawn from wide ranges."""
    random = Random(1)
    return [_random_snapshot(random) for _ in range(count)]


def _random_snapshot(random: Random) -> Snapshot:
    edges = [0x7F00_0000_0000 + 4096 * page for page in sorted(random.sample(range(1 << 21), REGIONS + 1))]
    touched = array("Q", [random.randrange(high - low) for low, high in pairwise(edges)])
    return Snapshot(
        target=0, pid=1, seq=0, begin_ns=0, end_ns=1, sample_ns=5_000_000, ticks=20,
        starts=array("Q", edges[:-1]), ends=array("Q", edges[1:]),
        nr_accesses=array("I", random.choices(range(21), k=REGIONS)),
        ages=array("I", random.choices(range(200), k=REGIONS)), touched=touched,
    )  # fmt: skip


def write(snapshots: list[Snapshot], file: Path, rows: int) -> tuple[int, int, float, int]:
    """Snapshots and rows written, CPU seconds, and bytes, with a flush every PER_FLUSH snapshots."""
    count = written = 0
    begin = time.process_time()
    with Writer(file, {"via": "sim"}, force=True) as writer:
        while written < rows:
            snapshot = snapshots[count % len(snapshots)]
            step = count * 100_000_000
            writer.snapshot(replace(snapshot, seq=count, begin_ns=step, end_ns=step + 100_000_000))
            count += 1
            written += len(snapshot)
            if count % PER_FLUSH == 0:
                writer.flush()
    return count, written, time.process_time() - begin, file.stat().st_size


def _writing(snapshots: list[Snapshot], place: Path) -> Figure:
    rows = []
    for name, kind in (("at random", snapshots), ("policy damon on zipf", of_a_shape())):
        cost, size = Sample(), Sample()
        for _ in range(RUNS):
            _, written, seconds, total = write(kind, place / "w", ROWS // 2)
            cost.values.append(seconds / written * 1000 * 1e6)
            size.values.append(total / written)
        rows.append([name, f"{sum(map(len, kind)) / len(kind):.0f}", cost.text(0), size.text(1)])
    head = ("regions", "in a snapshot", "CPU for 1000, µs", "bytes of one on disk")
    note = f"A flush every {PER_FLUSH} snapshots, medians of {RUNS} runs (smallest–largest)."
    return Figure("Writing a recording", head, rows, note)


def _reading(snapshots: list[Snapshot], place: Path) -> Figure:
    file = place / "r"
    count, written, _, total = write(snapshots, file, ROWS)
    jobs: dict[str, Callable[[], object]] = {
        "batches": lambda: sum(batch.num_rows for batch in Recording(file).batches()),
        "snapshots, as Python values": lambda: sum(len(s) for s in Recording(file).snapshots()),
        **{f"report {name}": _report(name, file) for name in ("wss", "heatmap", "access", "info")},
    }
    rows = []
    for name, job in jobs.items():
        cpu, wall = Sample(), Sample()
        for _ in range(RUNS):
            begin, begin_cpu = time.monotonic(), time.process_time()
            job()
            cpu.values.append((time.process_time() - begin_cpu) / written * 1e6)
            wall.values.append((time.monotonic() - begin) / written * 1e6)
        rows.append([name, cpu.text(2), wall.text(2)])
    note = (
        f"A recording of {written:,} rows (regions at random) in {count:,} snapshots, {total / 1e6:.1f} MB; "
        f"medians of {RUNS} runs (smallest–largest). DuckDB uses two threads."
    )
    return Figure("Reading a recording, per million rows", ("what", "CPU, s", "wall, s"), rows, note)


def _report(name: str, file: Path) -> Callable[[], None]:
    def job() -> None:
        with redirect_stdout(StringIO()):
            assert main(["report", name, str(file), "--json"]) == 0

    return job
