"""Whether `--overhead` is kept, by size of the target: the largest CPU share of the monitor over any 10 s.

python -m bench budget            here: refs, sim, and the native sampler on a fake root, at 1 %
python -m bench.budget guest MEM  idle at 10 % of an emulated CPU, in a guest of MEM MiB

The CPU time of the monitor's whole process is read from outside, every half second; what counts begins 5 s after
its first window began. A tenth of the target is hot, in eight parts, so that there is something to learn.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import machine
from bench.fake_process import record_fake
from bench.figures import Figure, as_text
from tests.integration.recorder import phase_begun, running_udamon, snapshots_in
from tests.waiting import until
from udamon.record.reader import Recording
from udamon.report.catalog import Catalog
from udamon.units import GIB, MIB, format_size

PARTS = 8
RATE = "500k"
"""Accesses a second: all hot pages of 10 GiB in half a second, and no more than a part of an emulated CPU."""
FILLED_S = 600.0
SETTLED_S = 5.0
WINDOW_S = 10.0
SECONDS = 35.0
HEAD = ("target", "via", "budget", "largest over 10 s", "mean", "window", "checks/s")


class Spent(NamedTuple):
    """The CPU seconds of a process up to a moment, in seconds on CLOCK_MONOTONIC."""

    at: float
    cpu: float


def config(size: int, place: Path) -> Path:
    """A workload of `size` bytes, a tenth of which is accessed all the time."""
    hot, cold = size // 10 // PARTS // 4096 * 4096, size * 9 // 10 // PARTS // 4096 * 4096
    regions = [f"hot{k}, {hot}\ncold{k}, {cold}" for k in range(PARTS)]
    accesses = [f"hot{k}, 1, 4096, 1, rw" for k in range(PARTS)]
    file = place / "tenth.masim"
    file.write_text("\n".join([*regions, "", "on", "3600000", *accesses, ""]))
    return file


def watch(recorder: subprocess.Popen[str], file: Path) -> list[Spent]:
    """What a recorder spends from its first snapshot on, until it has been SECONDS at it."""
    until(lambda: recorder.poll() is not None or snapshots_in(file) > 0, "a snapshot")
    begin = time.monotonic()
    spent = []
    while recorder.poll() is None and time.monotonic() - begin < SECONDS:
        spent.append(Spent(time.monotonic(), _cpu_s(recorder.pid)))
        time.sleep(0.5)
    recorder.terminate()
    recorder.wait()
    return spent


def shares(spent: Sequence[Spent]) -> tuple[float, float]:
    """The largest share over WINDOW_S once settled, and the mean since then."""
    settled = [each for each in spent if each.at >= spent[0].at + SETTLED_S]
    largest = 0.0
    for k, first in enumerate(settled):
        last = next((each for each in settled[k:] if each.at - first.at >= WINDOW_S), None)
        if last is not None:
            largest = max(largest, (last.cpu - first.cpu) / (last.at - first.at))
    whole = settled[-1].at - settled[0].at
    return largest, (settled[-1].cpu - settled[0].cpu) / whole


def _cpu_s(pid: int) -> float:
    """Of all its threads; finer than the ticks of stat."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def row(size: int, via: str, overhead: str, record: Callable[[Path], subprocess.Popen[str]]) -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "a.udamon")
        spent = watch(record(file), file)
        recording = Recording(file)
        catalog = Catalog(recording)
        checks, aggregation = catalog.cost.get("checks"), catalog.attrs["aggr_us"] / 1e6
    largest, mean = shares(spent)
    rate = "–" if not checks else f"{checks / (spent[-1].at - spent[0].at):.0f}"
    return [
        format_size(size), via, overhead, f"{largest:.2%}", f"{mean:.2%}", f"{aggregation:.2f} s", rate,
    ]  # fmt: skip


def recorder(overhead: str, *words: str | int | Path) -> Callable[[Path], subprocess.Popen[str]]:
    def start(file: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "udamon", "record", "-q", "--overhead", overhead, "-o", file, *words]
        return subprocess.Popen([*map(str, command)], text=True)

    return start


@contextmanager
def target(size: int) -> Iterator[int]:
    """The pid of a process with so much memory. It leaves the processor now and then, as services do."""
    with tempfile.TemporaryDirectory() as place:
        truth = Path(place, "truth")
        words = ("--truth", truth, "--quiet", "--duration", "1h", "--rate", RATE)
        with running_udamon("workload", config(size, Path(place)), *words, fork=False) as process:
            until(lambda: process.poll() is not None or phase_begun(truth), "the workload", FILLED_S)
            yield process.pid


def of_processes(via: str, overhead: str, sizes: Sequence[int]) -> Iterator[list[str]]:
    for size in sizes:
        with target(size) as pid:
            yield row(size, via, overhead, recorder(overhead, "--via", via, "-p", pid))


def of_simulations(overhead: str, sizes: Sequence[int]) -> Iterator[list[str]]:
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            words = ("--sim", config(size, Path(place)))
            yield row(size, "sim", overhead, recorder(overhead, *words))


def of_fakes(overhead: str, sizes: Sequence[int]) -> Iterator[list[str]]:
    for size in sizes:
        with record_fake(size, PARTS, overhead) as start:
            yield row(size, "idle, fake root", overhead, start)


def largest_that_fits(share: float) -> int:
    """Of the memory that can be had, in whole GiB."""
    return int(machine.available() * share) // GIB * GIB


def measure() -> list[Figure]:
    sizes = [100 * MIB, GIB, max(largest_that_fits(0.5), 2 * GIB)]
    rows = [
        *of_processes("refs", "1%", sizes),
        *of_simulations("1%", [100 * MIB, GIB, 1024 * GIB]),
        *of_fakes("1%", [100 * MIB, GIB, 8 * GIB]),
    ]
    note = (
        f"`udamon record --overhead 1%` for {SECONDS:.0f} s, start not counted. The most that is allowed over any "
        "10 s is 1.2 %. The fake root is files in memory that mimic page map, page flags and idle bitmap; the "
        "native sampler works on them as on the real ones."
    )
    return [Figure("The budget: CPU of the monitor", HEAD, rows, note)]


def in_guest() -> int:
    """What runs inside."""
    sizes = [100 * MIB, GIB, largest_that_fits(0.85)]
    for size in sizes:
        for cells in of_processes("idle", "10%", [size]):
            print(" | ".join(cells), flush=True)
    return 0


def main(arguments: Sequence[str]) -> int:
    from bench.side_by_side import guest
    from scripts.guest.machine import Machine

    match arguments:
        case ["inside", _]:
            return in_guest()
        case ["guest", mem, *which]:
            kernel = guest.kernel(which[0] if which else "")
            ended, _ = guest.run(kernel, "bench.budget", "inside", machine=Machine(smp=1, mem=int(mem)))
            return ended.status or bool(ended.why)
        case []:
            for figure in measure():
                print(as_text(figure))
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
