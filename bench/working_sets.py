"""What `udamon record --via refs` finds of real workloads, against the truth of each snapshot's own window."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure
from tests.integration.recorder import favour, hot_and_cold, report, running_udamon
from tests.integration.truth import Accuracy, accuracy
from udamon.units import MIB
from udamon.workload.shapes import find

SECONDS = {"wss": 20, "stairs": 30}


def measure() -> list[Figure]:
    rows = []
    for shape, seconds in SECONDS.items():
        with tempfile.TemporaryDirectory() as place:
            rows += _rows(shape, seconds, Path(place))
    head = ("workload", "snapshots", "p25", "truth", "p75", "truth", "median error", "p90 error")
    note = (
        "`udamon record --via refs --aggr 100ms` of `udamon workload --layout separate`. Truth: bytes of the "
        "regions that were hot at any time in the snapshot's own window. Both processes run at a high priority "
        "where that is permitted: a workload that gets no CPU touches nothing, whatever its log says. "
        "Outside of its own regions the kernel counts a page of a library as referenced for all who have it "
        "mapped as soon as any program that used it ends: here that was other Python programs."
    )
    return [Figure("Working set of real workloads, MiB", head, rows, note)]


def _rows(shape: str, seconds: int, place: Path) -> list[list[str]]:
    file, log = place / "a.udamon", place / "truth"
    with hot_and_cold(find(shape), log) as target:
        words = (
            "-p",
            target.pid,
            "--via",
            "refs",
            "--aggr",
            "100ms",
            "--duration",
            f"{seconds}s",
            "-o",
            file,
        )
        with running_udamon("record", *words, fork=False) as recorder:
            favour(recorder.pid)
            recorder.communicate()
    found = accuracy(file, log)
    own = _row(f"{shape}, its own regions", found, report("wss", file, *found.own))
    return [[*_row(shape, found, report("wss", file))[:-2], "", ""], own]


def _row(name: str, found: Accuracy, wss: dict[str, Any]) -> list[str]:
    pairs = [
        f"{size / MIB:.1f}"
        for level, percent in (("p25", 25), ("p75", 75))
        for size in (wss["bytes"][level], found.percentile(percent))
    ]
    errors = sorted(found.errors)
    tail = [f"{median(errors):.2%}", f"{errors[int(len(errors) * 0.9)]:.1%}"]
    return [name, str(wss["snapshots"]), *pairs, *tail]
