"""What a check of the native sampler costs, against a bare C loop of the same system calls in the same run.

`python -m bench.sampler` measures on a fake root (files in memory that mimic page map, flags and bitmap); in a
guest, as root, `python -m bench.sampler --real` measures on the real files. The bare loop (floor.c) checks the
very pages that the sampler checked, with the four calls that a check of a page at rest needs. What a ratio
shows above 1 is the sampler's own work (drawing, sorting, keeping time, giving every check back); below 1, calls
it could share.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

from udamon.core.policy import Answers, Slots
from udamon.core.target import Target
from udamon.linux import cpu_time
from udamon.linux.procfs import read_stat
from udamon.linux.roots import Roots
from udamon.native._native import address_of
from udamon.ops.idle import IdleSampler

HERE = Path(__file__).parent
PAGE, PRESENT, LRU = 4096, 1 << 63, 1 << 5
PID, START = 99, 7
TICKS = 20


class Place:
    """Files to sample from: roots, a target, its pages, and how many frames the machine has."""

    def __init__(self, roots: Roots, target: Target, first_page: int, pages: int, frames: int) -> None:
        self.roots, self.target, self.first_page, self.pages, self.frames = (
            roots, target, first_page, pages, frames,
        )  # fmt: skip

    def slots(self, regions: int) -> Slots:
        """One check a tick in each of `regions` equal regions, as the policy damon asks."""
        slots = Slots()
        for i in range(regions):
            start = self.first_page + self.pages * i // regions
            end = self.first_page + self.pages * (i + 1) // regions
            slots.add(0, start * PAGE, end * PAGE, TICKS)
        return slots


def fake(root: Path, pages: int) -> Place:
    """A process of `pages` pages on frames in random order."""
    frames = 2 * pages
    (root / "proc" / str(PID)).mkdir(parents=True)
    (root / "sys/kernel/mm/page_idle").mkdir(parents=True)
    taken = random.Random(1).sample(range(1, frames), pages)
    (root / "proc" / str(PID) / "pagemap").write_bytes(
        struct.pack(f"{pages}Q", *(PRESENT | f for f in taken))
    )
    (root / "proc" / str(PID) / "stat").write_text(f"{PID} (x) S 1 {'0 ' * 17}{START} {'0 ' * 30}\n")
    (root / "proc/kpageflags").write_bytes(struct.pack("Q", LRU) * frames)
    (root / "sys/kernel/mm/page_idle/bitmap").write_bytes(bytes(frames // 8))
    return Place(Roots(root / "proc", root / "sys"), Target(0, PID, START), 0, pages, frames)


def real(memory: mmap.mmap) -> Place:
    """This process's own memory, on the machine's files."""
    frames = os.sysconf("SC_PHYS_PAGES") // 64 * 64
    target = Target(0, os.getpid(), read_stat(os.getpid()).start_time)
    return Place(Roots(), target, address_of(memory) // PAGE, len(memory) // PAGE, frames)


def sampled(place: Place, regions: int, rounds: int, pages: Path) -> tuple[float, int, int]:
    """CPU ns, checks and system calls of `rounds` aggregations run as fast as they go; lists their pages."""
    sampler = IdleSampler(place.roots)
    slots = place.slots(regions)
    sampler.sample(
        [place.target], slots, time.monotonic_ns(), TICKS, 1, seed=0
    )  # opens what is lazily opened
    sampler.calls = [0, 0, 0, 0]
    spent = checks = 0
    with pages.open("wb") as file:
        for seed in range(rounds):
            begin = cpu_time.thread_ns()
            answers = sampler.sample([place.target], slots, time.monotonic_ns(), TICKS, 1, seed)
            spent += cpu_time.thread_ns() - begin
            checks += answers.checks
            array("Q", [address // PAGE for address in answers.address]).tofile(file)
    calls = sum(sampler.calls)
    sampler.close()
    return spent, checks, calls


def floor(program: Path, place: Place, pages: Path, regions: int) -> list[float]:
    """CPU ns of the bare loop over the same pages, call by call."""
    proc = place.roots.proc
    files = [proc / str(place.target.pid) / "pagemap", proc / "kpageflags"]
    words = [program, *files, place.roots.sys / "kernel/mm/page_idle/bitmap", pages, regions]
    said = subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout
    return [float(word) for word in said.split()]


def compiled(directory: Path) -> Path:
    program = directory / "floor"
    subprocess.run(["gcc", "-O2", "-o", str(program), str(HERE / "floor.c")], check=True)
    return program


def compare(program: Path, place: Place, regions: int, rounds: int, runs: int) -> str:
    """One line: cost per check of both, medians over `runs` pairs, and the ratio with its range."""
    pairs = []
    pages = program.with_name("pages")
    for _ in range(runs):
        spent, checks, calls = sampled(place, regions, rounds, pages)
        bare = [ns / checks for ns in floor(program, place, pages, regions)]
        pairs.append((spent / checks, sum(bare), calls / checks, bare))
    ratios = sorted(ours / bare for ours, bare, _, _ in pairs)
    parts = " + ".join(f"{median(call):.0f}" for call in zip(*(p[3] for p in pairs), strict=True))
    return (
        f"{regions:>8} {median(p[0] for p in pairs):>10.0f} {median(p[1] for p in pairs):>10.0f} "
        f"{median(ratios):>8.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) {median(p[2] for p in pairs):>8.2f} = {parts}"
    )


@contextmanager
def busy_thread() -> Iterator[None]:
    """A Python thread that never rests, and so holds the interpreter's lock whenever it can."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    busy = threading.Thread(target=spin)
    busy.start()
    try:
        yield
    finally:
        stop.set()
        busy.join()


def lateness(place: Place, tick_ns: int = 5_000_000, ticks: int = 200) -> list[float]:
    """How late ticks began, in microseconds, beside a Python thread that never rests."""
    with closing(IdleSampler(place.roots)) as sampler, busy_thread():
        begin = time.monotonic_ns()
        answers: Answers = sampler.sample([place.target], place.slots(100), begin, ticks, tick_ns, seed=1)
    return sorted(late / 1000 for late in answers.late_ns)


def python_lateness(tick_ns: int = 5_000_000, ticks: int = 200) -> list[float]:
    """The same kept by a Python loop: what the one C call an aggregation avoids."""
    late = []
    with busy_thread():
        begin = time.monotonic_ns()
        for k in range(ticks):
            time.sleep(max(begin + k * tick_ns - time.monotonic_ns(), 0) / 1e9)
            late.append((time.monotonic_ns() - begin - k * tick_ns) / 1000)
    return sorted(late)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="on this machine's own files (root, in a guest)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=20, help="aggregations a run")
    args = parser.parse_args(argv)
    memory = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        if args.real:
            for offset in range(0, len(memory), PAGE):
                memory[offset] = 1
            place = real(memory)
        else:
            place = fake(Path(name), 1 << 19)
        program = compiled(Path(name))
        print(
            f"cost of a check, {'real files' if args.real else 'fake root'}, ns of CPU; medians of {args.runs} pairs"
        )
        print(
            f"{'regions':>8} {'sampler':>10} {'bare loop':>10} {'ratio':>8} {'(range)':>11} {'calls':>8}   "
            "bare: map + flags + set + look"
        )
        for regions in (10, 100, 1000):
            print(compare(program, place, regions, args.rounds, args.runs), flush=True)
        for label, late in (("sampler", lateness(place)), ("Python loop", python_lateness())):
            print(
                f"late ticks of 5 ms beside a busy Python thread, {label}: median {median(late):.0f} us, "
                f"90 % {late[int(0.9 * len(late))]:.0f} us, largest {late[-1]:.0f} us"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
