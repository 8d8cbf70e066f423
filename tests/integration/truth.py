"""Recordings against the truth log of the workload they watched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from udamon.evaluation.statistics import percentile
from udamon.model import Snapshot
from udamon.record.reader import Recording


class Truth:
    """A truth log, asked for the bytes that were hot at any time in a window."""

    def __init__(self, log: Path) -> None:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        ends = [line["t"] for line in lines[1:]] + [float("inf")]
        regions = [(r["start"], r["end"]) for r in lines[0]["regions"]]
        self.span = min(regions)[0], max(regions)[1]
        self._phases = [
            (line["t"], end, line["kind"], {(r["start"], r["end"]) for r in line["regions"] if r["hot"]})
            for line, end in zip(lines, ends, strict=True)
        ]

    def bytes_in(self, begin: float, end: float) -> int | None:
        """The union over the phases that the window meets; None when it is not within phases alone."""
        met = [phase for phase in self._phases if phase[0] < end and phase[1] > begin]
        if not met or any(kind != "phase" for _, _, kind, _ in met):
            return None
        hot: set[tuple[int, int]] = set().union(*(hot for _, _, _, hot in met))
        return sum(high - low for low, high in hot)


class Accuracy(NamedTuple):
    """A recording against the truth of each snapshot's own window: relative errors, and percentiles.

    Only the workload's own regions are compared: a page of a library counts as referenced for all who have
    it mapped when any program that used it ends, so the rest depends on what else the machine does.
    `own` are arguments that make reports do the same.
    """

    errors: list[float]
    truth: list[int]
    own: tuple[str, str]

    def percentile(self, level: float) -> float:
        found = percentile([float(size) for size in self.truth], level)
        assert found is not None
        return found


def accuracy(file: Path, log: Path) -> Accuracy:
    truth = Truth(log)
    errors, sizes = [], []
    for snapshot in Recording(file).snapshots():
        size = truth.bytes_in(snapshot.begin_ns / 1e9, snapshot.end_ns / 1e9)
        if size:
            errors.append(abs(_touched_bytes(snapshot, *truth.span) - size) / size)
            sizes.append(size)
    return Accuracy(errors, sizes, ("--address", f"{truth.span[0]:#x}-{truth.span[1]:#x}"))


def _touched_bytes(snapshot: Snapshot, low: int, high: int) -> int:
    return sum(t for start, t in zip(snapshot.starts, snapshot.touched, strict=True) if low <= start < high)
