"""Bounds of a group's working set by refs, beside the truth: prefork workers of known memory, PostgreSQL under pgbench.

`python -m bench.groups` (root): of each group one window is looked at as `record` does it, then its processes are
stopped, so that nothing changes any more, and the truth of what they share is taken from page frames. The kernel marks
a frame of a file or of shared memory as referenced when a process that accessed it ends: so all of them are ended, and
the frames counted that are marked then (/proc/kpageflags) and were not before. Clearing at the begin of the window has
cleared these marks. What is private is as refs tells of mappings that have nothing but anonymous memory.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import machine
from bench.figures import Figure, as_text
from tests.integration.servers import postgres
from udamon.core.target import Target
from udamon.engine.successors import shared_of, successors
from udamon.linux import procfs
from udamon.linux.pagemap import open_page_map, read_runs
from udamon.linux.procfs import ProcessId
from udamon.model import PAGE_SIZE, Range, Sharing, Snapshot
from udamon.ops.base import Shared, Touched
from udamon.ops.refs import Refs
from udamon.ops.tlb import way
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import wss
from udamon.report.source import RecordingSource
from udamon.units import MIB, format_size

WINDOW_S, RUNS = 2.0, 3
TICKS = 20
REFERENCED, ACTIVE = 1 << 2, 1 << 6
FRAME, FILE = (1 << 55) - 1, 1 << 61


class PageBytes:
    """One window of a group, its processes stopped at the end of it."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.targets = [Target(n, pid, procfs.read_stat(pid).start_time) for n, pid in enumerate(pids)]
        refs = Refs(tlb=way())
        refs.begin(self.targets)
        begin = time.monotonic_ns()
        for target in self.targets:
            refs.look(target)  # of the window before this one
            refs.prepare(target)
        refs.expose(self.targets)
        time.sleep(WINDOW_S)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        refs.begin(self.targets)
        self.seen: list[list[Touched]] = []
        self.shared: list[Sequence[Shared | None]] = []
        for target in self.targets:
            self.seen.append(refs.look(target))
            self.shared.append(refs.shared(target) or [None] * len(self.seen[-1]))
        self.window = begin, time.monotonic_ns()

    def bounds(self) -> tuple[int, int]:
        """What `report wss` makes of it."""
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "recording"
            with Writer(path, {"via": "refs", "policy": None}) as writer:
                for target, seen, shared in zip(self.targets, self.seen, self.shared, strict=True):
                    writer.snapshot(self._snapshot(target, seen, shared))
            with RecordingSource(Recording(path)) as source:
                return wss.measure(source).bounds("max")

    def _snapshot(self, target: Target, seen: list[Touched], shared: Sequence[Shared | None]) -> Snapshot:
        regions = successors([], seen, TICKS)
        known = [one or (None,) * 6 for one in shared_of(regions, seen, shared)]
        return Snapshot(
            target.index, target.pid, 0, *self.window, (self.window[1] - self.window[0]) // TICKS, TICKS,
            array("Q", [r.start for r in regions]), array("Q", [r.end for r in regions]),
            array("I", [r.nr_accesses for r in regions]), array("I", [0] * len(regions)),
            array("Q", [r.touched for r in regions]), array("Q", [one.resident for one in seen]),
            Sharing.of(zip(*known, strict=True)),
        )  # fmt: skip

    def private(self) -> tuple[int, int]:
        """Bytes touched of anonymous memory: that nobody else maps, and with what fork left shared counted for each."""
        alone = all_of = 0
        for seen, shared in zip(self.seen, self.shared, strict=True):
            for touched, known in zip(seen, shared, strict=True):
                if known is not None and known.anonymous == touched.resident:
                    all_of += touched.touched
                    alone += touched.touched if known.private == touched.resident else 0
        return alone, all_of

    def frames(self) -> set[int]:
        """Of files and of shared memory, all that any of them has mapped."""
        found: set[int] = set()
        for target, seen in zip(self.targets, self.seen, strict=True):
            fd = open_page_map(ProcessId(target.pid or 0, target.start_time or 0))
            try:
                for start, end, _ in read_runs(fd, [Range(one.start, one.end) for one in seen]):
                    entries = array("Q")
                    entries.frombytes(os.pread(fd, (end - start) // PAGE_SIZE * 8, start // PAGE_SIZE * 8))
                    found.update(entry & FRAME for entry in entries if entry & FILE)
            finally:
                os.close(fd)
        return found

    def end(self) -> None:
        """All of them, while what they share stays."""
        with contextlib.ExitStack() as kept:
            for target, seen in zip(self.targets, self.seen, strict=True):
                for touched in seen:
                    path = f"/proc/{target.pid}/map_files/{touched.start:x}-{touched.end:x}"
                    with contextlib.suppress(OSError):
                        kept.callback(os.close, os.open(path, os.O_RDONLY))
            frames = sorted(self.frames())
            before = _flags(frames)
            for target in self.targets:
                os.kill(target.pid or 0, signal.SIGKILL)
            for target in self.targets:
                with contextlib.suppress(OSError):  # it is gone
                    while not procfs.read_stat(target.pid or 0).ended:
                        time.sleep(0.01)
            time.sleep(0.2)  # until their memory is gone
            after = _flags(frames)
        # Who is marked twice becomes active, and is no longer referenced.
        self.touched = sum(
            bool(now & REFERENCED and not then & REFERENCED) or bool(now & ACTIVE and not then & ACTIVE)
            for then, now in zip(before, after, strict=True)
        ) * PAGE_SIZE  # fmt: skip
        self.marked = sum(bool(then & REFERENCED) for then in before) * PAGE_SIZE


def _flags(frames: Sequence[int]) -> list[int]:
    fd = os.open("/proc/kpageflags", os.O_RDONLY)
    try:
        return [int.from_bytes(os.pread(fd, 8, frame * 8), sys.byteorder) for frame in frames]
    finally:
        os.close(fd)


def area(kind: int, size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, kind | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for page in range(0, size, PAGE_SIZE):
        memory[page] = 1
    return memory


@contextlib.contextmanager
def prefork(workers: int, shared_hot: int, own_hot: int) -> Iterator[list[int]]:
    """Workers of one parent: each reads its half of a worker's part of shared memory, the other half is cold, and has
    memory of its own, of which half is hot."""
    shared, pids = area(mmap.MAP_SHARED, 2 * shared_hot), []
    try:
        for worker in range(workers):
            if (pid := os.fork()) == 0:
                own = area(mmap.MAP_PRIVATE, 2 * own_hot // workers)
                step = 2 * shared_hot // workers
                while True:
                    for page in range(worker * step, worker * step + step // 2, PAGE_SIZE):
                        shared[page]
                    for page in range(0, own_hot // workers, PAGE_SIZE):
                        own[page] = 2
                    time.sleep(0.02)
            pids.append(pid)
        time.sleep(1 + workers / 8)
        yield pids
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shared.close()


@contextlib.contextmanager
def backends() -> Iterator[list[int]]:
    """PostgreSQL with six clients of pgbench, in the middle of their work."""
    with postgres(30, "512MB") as server:
        server.throughput(10, 6)
        client = server.load(60, 6)
        try:
            time.sleep(8)
            yield [server.pid, *procfs.children(server.pid)]
        finally:
            client.kill()
            client.wait()


def row(name: str, pids: list[int], known: int | None = None) -> list[str]:
    looked = PageBytes(pids)
    low, high = looked.bounds()
    alone, private = looked.private()
    looked.end()
    least, most = looked.touched + alone, looked.touched + looked.marked + private
    truth = (
        format_size(least)
        if format_size(least) == format_size(most)
        else f"{format_size(least)} to {format_size(most)}"
    )
    within = low <= most and least <= high
    cells = [name, str(len(pids)), "" if known is None else format_size(known), truth]
    bounds = f"{format_size(low)} to {format_size(high)}"
    return [*cells, bounds, f"{high / low:.2f}" if low else "-", "yes" if within else "no"]


def measure() -> list[Figure]:
    rows = []
    for workers in (2, 8, 32):
        for shared, own in ((64 * MIB, 64 * MIB), (16 * MIB, 112 * MIB)):
            with prefork(workers, shared, own) as pids:
                rows.append(row(f"prefork, {format_size(shared)} shared", pids, shared + own))
    for _ in range(RUNS):
        with backends() as pids:
            rows.append(row("PostgreSQL, pgbench -S -c 6", pids))
    head = (
        "group",
        "processes",
        "hot by design",
        "truth by frames",
        "bounds of report wss",
        "factor",
        "within",
    )
    note = (
        f"One window of {WINDOW_S:g} s each. Truth by frames: frames of files and shared memory that any process of "
        "the group accessed, and private memory as refs tells of it; from pages that nobody else has to what fork left "
        "shared counted for each. By design: the interpreters are not in it."
    )
    return [Figure("Groups: bounds by refs beside the truth", head, rows, note)]


if __name__ == "__main__":
    load = machine.load()
    for figure in measure():
        print(as_text(figure))
    print(f"Load of the machine before and after: {load:.1f}, {machine.load():.1f}. {machine.describe()}")
