"""Medians over all runs, with the smallest and the largest, as tables; and every run's figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from statistics import mean

from bench.figures import Figure, Sample, interval95
from bench.side_by_side.measures import Measures, accesses, measure
from bench.side_by_side.monitors import MONITORS
from bench.side_by_side.plan import ALONE, ATTRS, STEP_NS, STEPS, WORKLOADS, Run
from udamon.units import format_time

MEASURABLE = 0.02
"""An interval of the slowdown that is wider than this on either side says nothing of use."""


SAMPLERS = ("idle", "idle-adaptive", "pte-damon", "pte-adaptive")
"""Monitors in user space that check single pages."""


class Results:
    """Of every run its figures; of every workload in a round what it did."""

    def __init__(self, runs: Sequence[Run], place: Path) -> None:
        self.runs = runs
        self.measured = {run: measure(place / run.id, run) for run in runs if run.monitor != ALONE}
        self.accesses = {run: accesses(place / run.id) for run in runs}
        self.monitors = [name for name in MONITORS if any(run.monitor == name for run in runs)]
        self.workloads = [name for name in WORKLOADS if any(run.workload == name for run in runs)]

    def of(self, workload: str, monitor: str) -> list[Measures]:
        return [m for run, m in self.measured.items() if (run.workload, run.monitor) == (workload, monitor)]

    def slowdown(self, workload: str, monitor: str) -> list[float]:
        """Accesses with the monitor over those alone in the same round, less 1."""
        return [
            made / self.accesses[Run(run.round, workload, ALONE)] - 1
            for run, made in self.accesses.items()
            if (run.workload, run.monitor) == (workload, monitor)
        ]


def of(runs: Sequence[Run], place: Path) -> list[Figure]:
    results = Results(runs, place)
    _keep(results, place / "results.json")
    return [_found(results), _cost(results), _goals(results)]


def _keep(results: Results, file: Path) -> None:
    rows = [
        {**asdict(run), "accesses_m_per_s": results.accesses[run],
         **({} if run.monitor == ALONE else asdict(results.measured[run]))}
        for run in results.runs
    ]  # fmt: skip
    file.write_text(json.dumps(rows, indent=1))


def _rows(results: Results, row: Callable[[str, str, list[Measures]], list[str]]) -> list[list[str]]:
    return [
        [workload if monitor == results.monitors[0] else "", MONITORS[monitor].title,
         *row(workload, monitor, results.of(workload, monitor))]
        for workload in results.workloads
        for monitor in results.monitors
    ]  # fmt: skip


def _found(results: Results) -> Figure:
    def row(workload: str, monitor: str, found: list[Measures]) -> list[str]:
        return [
            Sample([m.f1 for m in found]).text(3),
            Sample([m.f1_late for m in found]).text(3),
            Sample([m.wss_error * 100 for m in found]).text(1, " %"),
            Sample([m.regions for m in found]).text(0),
            Sample([float(m.snapshots) for m in found]).text(0),
            Sample([m.window_s for m in found]).text(2, " s"),
        ]

    head = ("workload", "monitor", "F1 of hot bytes", "second half", "working-set error", "regions",
            "snapshots", "window")  # fmt: skip
    sample, aggr, update = (format_time(us / 1e6) for us in (ATTRS.sample_us, ATTRS.aggr_us, ATTRS.update_us))
    note = (
        f"Medians of {_rounds(results)} runs (smallest–largest), each of {STEPS * STEP_NS // 10**9} s; within a run, "
        f"F1 and working-set error are the medians over its snapshots. Intervals {sample} / {aggr} / {update}, "
        f"{ATTRS.min_nr_regions} to {ATTRS.max_nr_regions} regions, for all."
    )
    return Figure("What each finds", head, _rows(results, row), note)


def _cost(results: Results) -> Figure:
    def row(workload: str, monitor: str, found: list[Measures]) -> list[str]:
        return [
            Sample([m.checks for m in found]).text(0),
            Sample([m.kdamond * 100 for m in found]).text(2, " %"),
            _per_check([m.kdamond_per_check_us for m in found]),
            Sample([m.cpu * 100 for m in found]).text(2, " %"),
            _per_check([m.cpu_per_check_us for m in found]),
            Sample([m.whole_cpu_s for m in found]).text(1, " s"),
            _slowdown(results.slowdown(workload, monitor)),
        ]

    head = ("workload", "monitor", "checks/s", "kdamond", "µs a check", "user space", "µs a check",
            "start to end", "target's accesses/s")  # fmt: skip
    note = (
        "CPU while it watched, as a share of the emulated core: of kdamond (the kernel's thread; with idle and pte "
        "udamon's own, which looks, keeps the regions and makes the snapshots), and of all processes of the monitor "
        "(their control group: children included, udamon's kdamond too); start to end is all that those processes "
        "took. Checks of the kernel are estimated from its regions. The target's accesses: the mean change against "
        "the run alone in the same round, with the 95 % interval of that mean; one processor has to serve both."
    )
    return Figure("What each costs", head, _rows(results, row), note)


def _per_check(values: list[float]) -> str:
    return "" if any(map(isnan, values)) else Sample(values).text(1)


def _slowdown(changes: list[float]) -> str:
    if len(changes) < 2:
        return f"{changes[0]:+.1%}"
    low, high = interval95(changes)
    text = f"{mean(changes):+.1%} ({low:+.1%} to {high:+.1%})"
    return text if high - low <= 2 * MEASURABLE else f"not measurable: {text}"


def _goals(results: Results) -> Figure:
    """What was aimed at, workload by workload."""
    rows = []
    for workload in results.workloads:
        row = [workload]
        for monitor in SAMPLERS:
            kernel, idle = results.of(workload, "kernel"), results.of(workload, monitor)
            if kernel and idle:
                theirs = _median(kernel, lambda m: m.kdamond_per_check_us)
                everything = _median(kernel, lambda m: m.kdamond_per_check_us + m.cpu_per_check_us)
                whole = _median(idle, lambda m: m.cpu_per_check_us)
                row += [
                    _difference(idle, kernel),
                    f"{_median(idle, lambda m: m.kdamond_per_check_us) / theirs:.1f}",
                    f"{whole / theirs:.1f}",
                    f"{whole / everything:.1f}",
                ]
        for monitor in ("damo", "damo-access"):
            kernel, damo = results.of(workload, "kernel"), results.of(workload, monitor)
            if kernel and damo:
                row.append(_difference(damo, kernel))
                for value in (lambda m: m.whole_cpu_s), (lambda m: m.cpu):
                    row.append(f"{_median(kernel, value) / _median(damo, value):.1%}")
        rows.append(row)
    head = ["workload"]
    for monitor in SAMPLERS:
        if monitor in results.monitors:
            title = MONITORS[monitor].title
            head += [
                f"F1 of {title} less kernel's",
                "CPU a check, kdamond / kdamond",
                "all / kdamond",
                "all / all",
            ]
    for monitor in ("damo", "damo-access"):
        if monitor in results.monitors and "kernel" in results.monitors:
            head += [f"F1 of {monitor} less kernel's", f"CPU, udamon / {monitor}", "while watching"]
    note = (
        "Differences and ratios of medians; in parentheses the 95 % interval of the mean difference between two runs "
        "of a round. damo and engine kernel have the same kdamond: what their F1 differs by is luck. CPU a check: of "
        "udamon's kdamond over the kernel's; of the whole monitor over the kernel's kdamond; of the whole over "
        "kdamond and the recorder beside it (engine kernel). Goals: F1 not below -0.020; CPU a check at most 5 times "
        "kdamond's; engine kernel's processes at most 25 % of damo's CPU."
    )
    return Figure("Goals", head, rows, note)


def _difference(some: list[Measures], others: list[Measures]) -> str:
    """Of the median F1; and the interval of the mean of what runs of the same round differ by."""
    text = f"{_median(some, lambda m: m.f1) - _median(others, lambda m: m.f1):+.3f}"
    if len(some) < 2:
        return text
    low, high = interval95([one.f1 - other.f1 for one, other in zip(some, others, strict=True)])
    return f"{text} ({low:+.2f} to {high:+.2f})"


def _median(found: list[Measures], value: Callable[[Measures], float]) -> float:
    return Sample([value(m) for m in found]).median


def _rounds(results: Results) -> int:
    return 1 + max(run.round for run in results.runs)
