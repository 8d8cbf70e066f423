"""How right a snapshot is: F1 of hot bytes, error of rates, working set (DESIGN: "Words of an evaluation")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Sums(NamedTuple):
    """What a score is made of, in bytes (`error`: of rates, times bytes), so that those of several targets add up."""

    both: int
    predicted: int
    hot: int
    wss: int
    wss_truth: int
    error: float
    covered: int

    def score(self) -> Score:
        precision, recall, f1 = agreement(self.both, self.predicted, self.hot)
        mae = self.error / self.covered if self.covered else 0.0
        return Score(precision, recall, f1, self.wss, self.wss_truth, mae)


def together(parts: Iterable[Sums]) -> Sums:
    """Of several targets at one time, at least one."""
    both, predicted, hot, wss, wss_truth, error, covered = map(sum, zip(*parts, strict=True))
    return Sums(both, predicted, hot, wss, wss_truth, error, covered)


class TruthScorer:
    """Scores snapshots against one truth, which is put in order once."""

    def __init__(self, truth: Sequence[Expected]) -> None:
        self.truth = truth
        self._means = _gapless((e.start, e.end, e.mean) for e in truth)
        self._hot = sum(e.end - e.start for e in truth if e.mean >= HOT)
        self._wss = round(sum((e.end - e.start) * e.touched for e in truth))

    def sums(self, snapshot: Snapshot) -> Sums:
        """How right `snapshot` is. Errors of rates are over the regions' bytes."""
        # One pass over the stretches on which rate and truth are both constant. Truth outside all regions counts as
        # seen with rate 0, regions outside all truth as never accessed.
        rates = [nr / snapshot.ticks for nr in snapshot.nr_accesses]
        left, right = _gapless(zip(snapshot.starts, snapshot.ends, rates, strict=True)), self._means
        last = max(left[-1][0], right[-1][0])
        both = predicted = 0
        error = 0.0
        at = i = j = 0
        end_left, rate = left[0]
        end_right, mean = right[0]
        while at < last:
            end = end_left if end_left < end_right else end_right
            if rate or mean:
                size = end - at
                error += size * abs(rate - mean)
                if rate >= HOT:
                    predicted += size
                    if mean >= HOT:
                        both += size
            at = end
            if end_left == end:
                i += 1
                end_left, rate = left[i] if i < len(left) else (last, 0.0)
            if end_right == end:
                j += 1
                end_right, mean = right[j] if j < len(right) else (last, 0.0)
        covered = sum(snapshot.ends) - sum(snapshot.starts)
        return Sums(both, predicted, self._hot, sum(snapshot.touched), self._wss, error, covered)


def score(snapshot: Snapshot, truth: Sequence[Expected]) -> Score:
    """Compare one snapshot with what was to be expected in its window."""
    return TruthScorer(truth).sums(snapshot).score()


def agreement(both: int, predicted: int, hot: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of byte counts: 1 when nothing is hot and nothing predicted, 0 when only one."""
    precision = both / predicted if predicted else float(hot == 0)
    recall = both / hot if hot else float(predicted == 0)
    total = predicted + hot
    return precision, recall, 2 * both / total if total else 1.0


def _gapless(steps: Iterable[tuple[int, int, float]]) -> list[tuple[int, float]]:
    """(end, value) of sorted steps from address 0 on, gaps filled with 0."""
    filled = [(0, 0.0)]
    for start, end, value in steps:
        if filled[-1][0] < start:
            filled.append((start, 0.0))
        filled.append((end, value))
    return filled
