"""How right a snapshot is: F1 of hot bytes, error of rates, working set (DESIGN: "Words of an evaluation")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """Compare `snapshot` with what was to be expected in its window. `mae` is over the regions' bytes."""
    both = predicted = hot = 0
    error = 0.0
    for size, rate, mean in overlay(snapshot, truth):
        error += size * abs(rate - mean)
        if rate >= HOT:
            predicted += size
            if mean >= HOT:
                both += size
        if mean >= HOT:
            hot += size
    precision, recall, f1 = agreement(both, predicted, hot)
    wss_truth = sum((e.end - e.start) * e.touched for e in truth)
    covered = sum(snapshot.ends) - sum(snapshot.starts)
    mae = error / covered if covered else 0.0
    return Score(precision, recall, f1, sum(snapshot.touched), round(wss_truth), mae)


def agreement(both: int, predicted: int, hot: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of byte counts: 1 when nothing is hot and nothing predicted, 0 when only one."""
    precision = both / predicted if predicted else float(hot == 0)
    recall = both / hot if hot else float(predicted == 0)
    total = predicted + hot
    return precision, recall, 2 * both / total if total else 1.0


def overlay(snapshot: Snapshot, truth: Sequence[Expected]) -> list[tuple[int, float, float]]:
    """(bytes, seen rate, true mean chance) of every stretch on which both are constant.

    Truth outside all regions counts as seen with rate 0, regions outside all truth as never accessed.
    """
    rates = [nr / snapshot.ticks for nr in snapshot.nr_accesses]
    seen = zip(snapshot.starts, snapshot.ends, rates, strict=True)
    left, right = _gapless(seen), _gapless((e.start, e.end, e.mean) for e in truth)
    found = []
    at = i = j = 0
    last = max(left[-1][0], right[-1][0])
    left.append((last, 0.0))
    right.append((last, 0.0))
    while at < last:
        end_left, rate = left[i]
        end_right, mean = right[j]
        end = end_left if end_left < end_right else end_right
        if end > at and (rate or mean):
            found.append((end - at, rate, mean))
        at = end
        i += end_left == end
        j += end_right == end
    return found


def _gapless(steps: Iterable[tuple[int, int, float]]) -> list[tuple[int, float]]:
    """(end, value) of sorted steps from address 0 on, gaps filled with 0."""
    filled = [(0, 0.0)]
    for start, end, value in steps:
        if filled[-1][0] < start:
            filled.append((start, 0.0))
        filled.append((end, value))
    return filled
