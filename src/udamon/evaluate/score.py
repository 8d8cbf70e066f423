"""How right a snapshot is: F1 of hot bytes, error of rates, working set (design: Words)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from udamon.model import Snapshot
from udamon.workload.pieces import Expected

HOT = 0.5
"""Chance per sampling interval, averaged over the aggregation, from which on a byte is hot."""


@dataclass(frozen=True, slots=True)
class Score:
    """One snapshot against the truth of its own window. Bytes are bytes; `mae` is of rates, over bytes."""

    precision: float
    recall: float
    f1: float
    wss_bytes: int
    wss_truth_bytes: int
    mae: float

    @property
    def wss_error(self) -> float:
        """Relative error of the working set; 1 where something was seen and there was nothing."""
        if self.wss_truth_bytes == 0:
            return float(self.wss_bytes != 0)
        return abs(self.wss_bytes - self.wss_truth_bytes) / self.wss_truth_bytes


def score(snapshot: Snapshot, truth: Sequence[Expected]) -> Score:
    """Compare `snapshot` with what was to be expected in its window."""
    both = predicted = hot = covered = 0
    error = 0.0
    for size, rate, mean in overlay(snapshot, truth):
        covered += size
        error += size * abs(rate - mean)
        predicted += size * (rate >= HOT)
        hot += size * (mean >= HOT)
        both += size * (rate >= HOT and mean >= HOT)
    precision, recall, f1 = agreement(both, predicted, hot)
    wss_truth = sum((e.end - e.start) * e.touched for e in truth)
    mae = error / covered if covered else 0.0
    return Score(precision, recall, f1, sum(snapshot.touched), round(wss_truth), mae)


def agreement(both: int, predicted: int, hot: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of byte counts: 1 when nothing is hot and nothing predicted, 0 when only one."""
    precision = both / predicted if predicted else float(hot == 0)
    recall = both / hot if hot else float(predicted == 0)
    total = predicted + hot
    return precision, recall, 2 * both / total if total else 1.0


def overlay(snapshot: Snapshot, truth: Sequence[Expected]) -> Iterator[tuple[int, float, float]]:
    """(bytes, seen rate, true mean chance) of every stretch on which both are constant.

    Truth outside all regions counts as seen with rate 0, regions outside all truth as never accessed.
    """
    seen = [
        (start, end, nr / snapshot.ticks)
        for start, end, nr in zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, strict=True)
    ]
    known = [(e.start, e.end, e.mean) for e in truth]
    yield from _overlay(seen, known)


Steps = Sequence[tuple[int, int, float]]


def _overlay(left: Steps, right: Steps) -> Iterator[tuple[int, float, float]]:
    i = j = 0
    at = 0
    while i < len(left) or j < len(right):
        a = left[i] if i < len(left) else None
        b = right[j] if j < len(right) else None
        here = max(at, min(s[0] for s in (a, b) if s is not None))
        in_a = a is not None and a[0] <= here
        in_b = b is not None and b[0] <= here
        bounds = [s[1] if s[0] <= here else s[0] for s in (a, b) if s is not None]
        at = min(bounds)
        yield at - here, a[2] if a and in_a else 0.0, b[2] if b and in_b else 0.0
        i += a is not None and a[1] <= at
        j += b is not None and b[1] <= at
