"""The figures of one run, from what it left."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median

from bench.against import TruthLog, compare, within
from bench.side_by_side.monitors import MONITORS, checks_of_kernel
from bench.side_by_side.plan import ALONE, Run
from udamon.record.reader import Recording

RATE = re.compile(r"^(?!settle)(.+): ([\d.]+) s, ([\d.]+) M accesses/s$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Measures:
    """F1 and working-set error are medians over the snapshots of the watched phases; CPU is in seconds of one core.

    `cpu` (the monitor's processes) and `kdamond` (the thread that checks: the kernel's, or udamon's own within
    those) are shares of a core while it watched, `whole_cpu_s` is all that the processes took from start to end.
    `checks` is per second; a census makes none.
    """

    snapshots: int
    window_s: float
    regions: float
    f1: float
    f1_late: float
    wss_error: float
    cpu: float
    kdamond: float
    checks: float
    whole_cpu_s: float

    @property
    def cpu_per_check_us(self) -> float:
        return self.cpu / self.checks * 1e6 if self.checks else nan

    @property
    def kdamond_per_check_us(self) -> float:
        return self.kdamond / self.checks * 1e6 if self.checks else nan


def accesses(place: Path) -> float:
    """Accesses per second that the workload made, in millions, over all phases."""
    phases = RATE.findall((place / "workload.err").read_text())
    return sum(float(s) * float(rate) for _, s, rate in phases) / sum(float(s) for _, s, _ in phases)


def measure(place: Path, run: Run) -> Measures:
    """Of a run that was watched. Raises ValueError where the monitor recorded nothing of use."""
    assert run.monitor != ALONE
    monitor, said = MONITORS[run.monitor], json.loads((place / "run.json").read_text())
    log = TruthLog(place / "truth")
    found = monitor.snapshots(place / "recording", said["clock_offset_ns"])
    watched = within(found, log.phases[2].begin_ns, log.end_ns)  # after filling and settling
    if len(watched) < 3:
        raise ValueError(
            f"{run.id}: {len(watched)} snapshots, status {said['status']}; see {place}/monitor.err"
        )
    scores = [compare(snapshot, log) for snapshot in watched]
    late = scores[len(scores) // 2 :]
    begin, end = watched[0].begin_ns / 1e9, watched[-1].end_ns / 1e9
    over = end - begin
    cpu, in_kernel, threads = (
        (_at(said["looks"], end, column) - _at(said["looks"], begin, column)) / over for column in (1, 2, 3)
    )
    if monitor.in_kernel:
        checks = sum(checks_of_kernel(watched)) / ((watched[-1].end_ns - watched[0].end_ns) / 1e9)
    else:
        made = _checks(place / "recording")
        checks = (_at(made, end, 1) - _at(made, begin, 1)) / over
    return Measures(
        snapshots=len(watched),
        window_s=median((s.end_ns - s.begin_ns) / 1e9 for s in watched),
        regions=median(map(len, watched)),
        f1=median(s.f1 for s in scores),
        f1_late=median(s.f1 for s in late),
        wss_error=median(s.wss_error for s in scores),
        cpu=cpu,
        kdamond=in_kernel if monitor.in_kernel else threads,
        checks=checks,
        whole_cpu_s=said["cpu_s"],
    )


def _checks(recording: Path) -> list[tuple[float, float]]:
    """When how many checks had been made."""
    costs = (event for event in Recording(recording).events() if event.name == "cost")
    return [(event.time_ns / 1e9, float(str(event.data["checks"]))) for event in costs]


def _at(rows: Sequence[Sequence[float]], time: float, column: int) -> float:
    """A total that grows, at a time between two looks."""
    before = max((row for row in rows if row[0] <= time), default=rows[0], key=lambda row: row[0])
    after = min((row for row in rows if row[0] >= time), default=rows[-1], key=lambda row: row[0])
    if after[0] <= before[0]:
        return before[column]
    return before[column] + (after[column] - before[column]) * (time - before[0]) / (after[0] - before[0])


def curve(place: Path, run: Run) -> list[tuple[float, float, int]]:
    """(seconds, F1, regions) of every watched snapshot."""
    said = json.loads((place / "run.json").read_text())
    log = TruthLog(place / "truth")
    found = MONITORS[run.monitor].snapshots(place / "recording", said["clock_offset_ns"])
    begin = log.phases[2].begin_ns
    return [((s.end_ns - begin) / 1e9, compare(s, log).f1, len(s)) for s in within(found, begin, log.end_ns)]
