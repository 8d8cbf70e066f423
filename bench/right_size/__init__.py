"""Whether the limit that right-size recommends holds: real programs under it, and under less and more of it.

Each program runs in a memory control group that is made for it, first without a limit, where `udamon record --cgroup`
watches it; `report right-size` recommends. Then it runs without a limit (A) and under a share of the recommended one
(B), A B B A and so on, for a fixed time (at 0.8 a program may be hundreds of times slower, so that fixed work would
never end). Its files leave the page cache before each run, so that they are charged to the group of that run. Lost is
what B took of CPU seconds for a unit of work more than A; major faults stand beside it, for waiting costs no CPU.

There is no swap here: anonymous memory over its limit is killed, and that is told as such.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from bench import machine
from bench.figures import Figure, interval95
from bench.memory_group import MemoryGroup, groups_missing
from bench.right_size.files import FILES
from bench.right_size.jobs import JOBS
from bench.right_size.servers import SERVERS
from bench.right_size.workload import Workload
from udamon.units import format_size

SHARES = (0.8, 0.9, 1.0, 1.25)
PAIRS = int(os.environ.get("UDAMON_BENCH_PAIRS", "5"))
"""Of runs, for each share; fewer for a first look."""

SECONDS, WARM_S = 6.0, 2.0
WINDOW_S, WINDOWS = 5, 22
WORKLOADS = (*FILES, *SERVERS, *JOBS)
UDAMON = [sys.executable, "-m", "udamon"]


def measure() -> list[Figure]:
    head = (
        "program",
        "limit",
        "of it",
        "units a second",
        "CPU lost",
        "95 % interval",
        "major faults a run",
        "killed",
    )
    others = ("program", "resident, most", "recommended", "working_set_bytes", "VPA's rule", "needed by size")
    if why := groups_missing():
        return [Figure("Under the recommended limit", head, [["-", why, *[""] * 6]])]
    rows: list[list[str]] = []
    beside: list[list[str]] = []
    for workload in WORKLOADS:
        if not any((Path(folder) / workload.program).exists() for folder in os.get_exec_path()):
            rows.append([workload.name, f"not measured: there is no {workload.program}", *[""] * 6])
            continue
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            found, one = _of(workload, Path(folder))
        rows += found
        beside.append(one)
    note = (
        f"{PAIRS} pairs of runs of {SECONDS:g} s for each share, A without a limit, B under it, in the order A B B A; "
        f"mean of the pairs' B/A - 1 with its interval by the t distribution. Watched by refs in {WINDOWS} windows of "
        f"{WINDOW_S} s, `right-size --reuse {WINDOW_S}s`. No swap. Load {machine.load():.1f} at the end."
    )
    return [
        Figure("Under the recommended limit", head, rows, note),
        Figure("Beside other rules", others, beside,
               "Resident and working_set_bytes (usage less inactive_file, as the kubelet has it): the largest while it "
               "was watched; VPA's rule: that with its margin of 15 %."),
    ]  # fmt: skip


def _of(workload: Workload, place: Path) -> tuple[list[list[str]], list[str]]:
    files = workload.prepare(place)
    limit, beside = _recommended(workload, place, files)
    rows = []
    for share in SHARES:
        pairs: list[tuple[_Run, _Run]] = []
        for number in range(PAIRS):
            order = (None, share) if number % 2 == 0 else (share, None)
            both = {
                one: _run(workload, place, files, None if one is None else round(limit * one))
                for one in order
            }
            pairs.append((both[None], both[share]))
        rows.append(_row(workload, limit, share, pairs))
    return rows, [workload.name, *beside]


@dataclass(frozen=True, slots=True)
class _Run:
    units: int
    seconds: float
    cpu_seconds: float
    major_faults: int
    killed: bool

    @property
    def cost(self) -> float:
        return self.cpu_seconds / self.units


def _row(workload: Workload, limit: int, share: float, pairs: Sequence[tuple[_Run, _Run]]) -> list[str]:
    done = [(a, b) for a, b in pairs if a.units and b.units and not b.killed]
    killed = sum(b.killed for _, b in pairs)
    rate = f"{mean(a.units / a.seconds for a, _ in pairs):,.0f} to {mean(b.units / b.seconds for _, b in pairs):,.0f}"
    lost, between = "-", "-"
    if done:
        losses = [b.cost / a.cost - 1 for a, b in done]
        lost = f"{mean(losses):+.1%}"
        if len(losses) > 1:
            low, high = interval95(losses)
            between = f"{low:+.1%} to {high:+.1%}"
    faults = f"{mean(a.major_faults for a, _ in pairs):,.0f} to {mean(b.major_faults for _, b in pairs):,.0f}"
    rate += f" ({workload.unit})"
    dead = f"{killed} of {len(pairs)}"
    return [workload.name, format_size(limit * share), f"{share:g}", rate, lost, between, faults, dead]


def _run(workload: Workload, place: Path, files: Sequence[Path], limit: int | None) -> _Run:
    _drop(files)
    with MemoryGroup(f"udamon-right-size-{os.getpid()}", limit) as group:
        try:
            with workload.start(place, group) as work:
                work(WARM_S)
                begun, cpu, faults = time.monotonic(), group.cpu_seconds(), group.major_faults()
                units = work(SECONDS)
                seconds = time.monotonic() - begun
                cpu, faults = group.cpu_seconds() - cpu, group.major_faults() - faults
                return _Run(units, seconds, cpu, faults, killed=group.killed() > 0)
        except (OSError, subprocess.SubprocessError):  # its pipe broke
            if not group.killed():
                raise
            return _Run(0, SECONDS, 0.0, 0, killed=True)


def _recommended(workload: Workload, place: Path, files: Sequence[Path]) -> tuple[int, list[str]]:
    """The limit that right-size recommends, and what else is known of the same run."""
    _drop(files)
    out = place / "recording.udamon"
    working_set = 0
    with MemoryGroup(f"udamon-right-size-{os.getpid()}", None) as group, workload.start(place, group) as work:
        work(WARM_S)
        look = ["--via", "refs", "--aggr", f"{WINDOW_S}s", "--duration", f"{WINDOWS * WINDOW_S}s"]
        record = subprocess.Popen(
            [*UDAMON, "record", "--cgroup", str(group.memory), *look, "-q", "-o", str(out)]
        )
        while record.poll() is None:
            work(1.0)
            working_set = max(working_set, group.working_set_bytes())
        if record.returncode:
            raise subprocess.SubprocessError("udamon record failed")
    right = _told("report", "right-size", out, "--reuse", f"{WINDOW_S}s")
    size = _told("report", "size", out)
    needed = size["needed_bytes"]
    limit = int(right["limit_bytes"])
    bounds = f"{format_size(needed['low'])} to {format_size(needed['high'])}"
    cells = map(format_size, (size["resident_bytes"], limit, working_set, working_set * 1.15))
    return limit, [*cells, bounds]


def _told(*words: str | Path) -> Any:
    return json.loads(
        subprocess.run([*UDAMON, *map(str, words), "--json"], check=True, stdout=subprocess.PIPE).stdout
    )


def _drop(files: Sequence[Path]) -> None:
    """Take them out of the page cache."""
    os.sync()
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
