"""A recorder of a process that does not exist: the native sampler on files that mimic the kernel's.

`python -m bench.fake_process ROOT SIZE PARTS OVERHEAD FILE` records until it is told to stop.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from udamon.core.adaptive import AdaptivePolicy
from udamon.core.attrs import Attrs
from udamon.core.clock import MonotonicClock
from udamon.core.target import Target
from udamon.engine.context import Context
from udamon.engine.kdamond import Kdamond
from udamon.engine.sample_budget import SampleBudget
from udamon.engine.watch import SampledWatch
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Emit, Range
from udamon.ops.base import WholeTargets
from udamon.ops.idle import IdleSampler
from udamon.record.writer import Writer
from udamon.units import parse_share

PID, START_TIME = 99, 7
PRESENT, LRU = 1 << 63, 1 << 5
TOUCH_EVERY_S = 0.002
FLUSH_S = 0.9


class FakeSpace(WholeTargets):
    """One target of `size` bytes that is always there."""

    name = "vaddr"

    def __init__(self, size: int) -> None:
        self._size = size

    def update(self, targets: list[Target], emit: Emit) -> None:
        if not targets:
            targets.append(Target(0, PID, START_TIME, ranges=[Range(0, self._size)]))
            emit("target_start", {"target": 0, "pid": PID, "start_time": START_TIME, "comm": "fake"})


def hot_pages(pages: int, parts: int) -> list[int]:
    """A tenth of them, in so many parts."""
    part = pages // parts
    return [page for k in range(parts) for page in range(k * part, k * part + part // 10)]


def make(root: Path, pages: int, parts: int) -> None:
    """Hot pages have the lowest frames, so that all of them are touched by one write into the bitmap."""
    hot = hot_pages(pages, parts)
    order = [0] * pages
    for frame, page in enumerate(hot):
        order[page] = frame + 1
    rest = iter(range(len(hot) + 1, pages + 1))
    is_hot = set(hot)
    for page in range(pages):
        if page not in is_hot:
            order[page] = next(rest)
    frames = -(-(pages + 1) // 64) * 64
    process = root / "proc" / str(PID)
    process.mkdir(parents=True)
    idle = root / "sys/kernel/mm/page_idle"
    idle.mkdir(parents=True)
    (process / "pagemap").write_bytes(struct.pack(f"{pages}Q", *(PRESENT | frame for frame in order)))
    (process / "stat").write_text(f"{PID} (fake) S 1 {'0 ' * 17}{START_TIME} {'0 ' * 30}\n")
    (root / "proc/kpageflags").write_bytes(struct.pack("Q", LRU) * frames)
    (idle / "bitmap").write_bytes(bytes(frames // 8))


def touch(root: Path, pages: int, parts: int) -> None:
    """Access the hot pages again and again, until killed."""
    size = len(hot_pages(pages, parts)) // 8
    with (root / "sys/kernel/mm/page_idle/bitmap").open("r+b", buffering=0) as file:
        while True:
            os.pwrite(file.fileno(), bytes(size), 0)
            time.sleep(TOUCH_EVERY_S)


def record(root: Path, size: int, overhead: str, output: Path) -> None:
    """What `udamon record --via idle --overhead` builds, on this root."""
    clock, random, policy = MonotonicClock(), Random(1), AdaptivePolicy()
    watch = SampledWatch(policy, IdleSampler(Roots(root / "proc", root / "sys")), random)
    context = Context(FakeSpace(size), watch, Attrs())
    tuner = SampleBudget(policy, watch, parse_share(overhead))
    kdamond = Kdamond(context, clock, tuner=tuner, cpu_ns=time.process_time_ns)
    signal.signal(signal.SIGTERM, lambda *_: kdamond.stop())
    with Writer(output, {"attrs": Attrs().as_dict()}) as writer:
        kdamond.bus.subscribe(writer)
        kdamond.start()
        while not kdamond.join(FLUSH_S):
            kdamond.bus.emit("cost", {"cpu_ns": time.process_time_ns(), "checks": kdamond.checks})
            writer.flush()


@contextmanager
def record_fake(size: int, parts: int, overhead: str) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts the recorder; the process that touches runs for as long as the context."""
    pages = size // PAGE_SIZE
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        root = Path(place)
        make(root, pages, parts)
        command = [sys.executable, "-m", "bench.fake_process"]
        words = [str(root), str(size), str(parts)]

        def start(file: Path) -> subprocess.Popen[str]:
            return subprocess.Popen([*command, "record", *words, overhead, str(file)], text=True)

        toucher = subprocess.Popen([*command, "touch", *words])
        try:
            yield start
        finally:
            toucher.kill()
            toucher.wait()


def main(arguments: list[str]) -> None:
    match arguments:
        case ["touch", root, size, parts]:
            touch(Path(root), int(size) // PAGE_SIZE, int(parts))
        case ["record", root, size, _, overhead, file]:
            record(Path(root), int(size), overhead, Path(file))


if __name__ == "__main__":
    main(sys.argv[1:])
