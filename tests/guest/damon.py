"""Looking at in-kernel DAMON from tests: its whole tree, engines run for a while, and processes to kill."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.unit.fakes import Collector
from tests.waiting import WAIT_LIMIT_S, until
from udamon.cli.main import main
from udamon.core.attrs import Attrs
from udamon.core.clock import MonotonicClock
from udamon.core.scheme import Scheme
from udamon.engine.interval_stretch import IntervalStretch
from udamon.engine.kernel.engine import KernelEngine
from udamon.errors import RecordingError
from udamon.linux.sysfs_damon import kernel_damon
from udamon.linux.tracefs import tracefs_root
from udamon.model import Range, Snapshot
from udamon.ops.opening import open_ops
from udamon.record.reader import Recording
from udamon.targets.processes import process_source

DAMON = Path("/sys/kernel/mm/damon")
KDAMONDS = DAMON / "admin/kdamonds"
RUN = Path("/run/udamon")
ATTRS = Attrs(50_000, 1_000_000, 1_000_000, 10, 100)
SOURCES = ["tracepoint", "tried_regions"]


def free() -> list[str]:
    """What is not as after booting; empty when all is."""
    root = tracefs_root()
    assert root is not None
    wrong = list(kernel_damon().users)
    wrong += [f"{path.name} is left" for path in (root / "instances").iterdir()]
    wrong += [f"{path} is left" for path in RUN.glob("*")]
    return wrong


@pytest.fixture(autouse=True)
def found_free() -> Iterator[None]:
    """Each test of a module that imports this finds DAMON free and leaves it so."""
    assert free() == []
    yield
    assert free() == []


def files(*roots: Path) -> dict[str, str]:
    """Every file below these directories with what it says."""
    found = {}
    for path in sorted(path for root in roots for path in root.rglob("*")):
        if path.is_file():
            try:
                found[str(path)] = path.read_text()
            except OSError as error:
                found[str(path)] = str(error.strerror)
    return found


def read(path: Path) -> str:
    """A file of DAMON's tree beside an engine that is at work: the kernel says EBUSY while that one writes."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while True:
        try:
            return path.read_text().strip()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def put(path: Path, value: str) -> None:
    path.write_text(value)


def engine(
    pids: Sequence[int],
    attrs: Attrs = ATTRS,
    source: str = "auto",
    *,
    ops: str = "vaddr",
    ranges: Sequence[Range] = (),
    children: bool = False,
    budget: IntervalStretch | None = None,
    schemes: Sequence[Scheme] = (),
) -> KernelEngine:
    space = open_ops(ops, process_source(pids, with_children=children) if pids else None, ranges)
    return KernelEngine(space, attrs, MonotonicClock(), source=source, budget=budget, schemes=schemes)


def run(
    made: KernelEngine,
    seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
    *,
    until: float | None = None,
) -> Collector:
    """What an engine saw in some seconds; `meanwhile` is called after `until` of them (half, if not told)."""
    seen = Collector()
    made.bus.subscribe(seen)
    made.open()
    made.start()
    begin = time.monotonic()
    try:
        for end in (until or seconds / 2, seconds):
            while time.monotonic() < begin + end and not made.join(0.1):
                pass
            if end != seconds:
                meanwhile()
    finally:
        made.stop()  # a test that fails must not leave DAMON to the next one
        assert made.join(60)
    return seen


def run_until(
    made: KernelEngine,
    snapshots: int,
    enough: Callable[[Collector], bool] = lambda seen: True,
    limit_s: float = 100,
) -> Collector:
    """What an engine saw until it had published so many snapshots, and until `enough` says so, however long that
    takes on a busy machine. On one processor each look lets go of what the emulated TLB knows of the program."""
    seen = Collector()
    made.bus.subscribe(seen)
    made.open()
    made.start()
    try:
        end, asked = time.monotonic() + limit_s, 0
        while not made.join(0.02) and time.monotonic() < end:  # the caller's assertions say what is missing
            count = len(seen.snapshots)
            if count > asked and count >= snapshots and enough(seen):
                break
            asked = count
    finally:
        made.stop()
        assert made.join(60)
    return seen


def forked(work: Callable[[], int]) -> int:
    """Do `work` in a child, without the seconds that starting an interpreter takes; returns its pid."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return pid


def record_until(
    record: Callable[[], int],
    file: Path,
    snapshots: int,
    number: int = signal.SIGINT,
    at_least_s: float = 0,
) -> int:
    """Run `record` in a child until its file has so many snapshots and so much time has passed, and then send it a
    signal; returns its status, negative where the signal ended it."""
    pid, begin, size = forked(record), time.monotonic(), 0

    def enough() -> bool:
        nonlocal size
        if time.monotonic() < begin + at_least_s or not file.exists() or file.stat().st_size == size:
            return False  # it is read anew only when it has grown
        size = file.stat().st_size
        return snapshots_in(file) >= snapshots

    try:
        until(enough)
    finally:
        os.kill(pid, number)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status


def snapshots_in(file: Path) -> int:
    """Snapshots that can be read now, while the file is being written."""
    try:
        return sum(1 for _ in Recording(file).snapshots())
    except (RecordingError, OSError):
        return 0


def record(*words: object) -> int:
    """udamon record --via kernel, in this process; quiet, for pytest closes the stream of progress."""
    return main(["record", "-q", "--via", "kernel", "--sample", "50ms", "--aggr", "1s", *map(str, words)])


def within(snapshot: Snapshot, area: Range) -> float:
    """The share of all accesses (bytes × nr_accesses) that was seen inside an area."""
    inside = total = 0
    for start, end, nr in zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True):
        shared = max(min(end, area.end) - max(start, area.start), 0)
        inside += shared * nr
        total += (end - start) * nr
    return inside / total if total else 0.0


def rate(snapshot: Snapshot, area: Range) -> float:
    """The mean access rate of an area, by bytes."""
    total = 0.0
    for start, end, nr in zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True):
        shared = min(end, area.end) - max(start, area.start)
        total += max(shared, 0) * nr / snapshot.ticks
    return total / area.size
