"""How right a snapshot is: F1 of hot bytes, error of rates, working set (DESIGN: "Words of an evaluation")."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import NamedTuple

from udamon.model import Snapshot
from udamon.native._native import agreement as native_agreement
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
    wss_low_bytes: int | None = None
    wss_high_bytes: int | None = None
    """Bounds that came with `wss_bytes`; None where it came without."""

    @property
    def wss_within(self) -> bool | None:
        """Whether the truth is within the bounds; None without bounds."""
        if self.wss_low_bytes is None or self.wss_high_bytes is None:
            return None
        return self.wss_low_bytes <= self.wss_truth_bytes <= self.wss_high_bytes

    @property
    def wss_margin(self) -> float | None:
        """Half of what is between the bounds, as a share of the truth; None without bounds, or where it is 0."""
        if self.wss_low_bytes is None or self.wss_high_bytes is None or not self.wss_truth_bytes:
            return None
        return (self.wss_high_bytes - self.wss_low_bytes) / 2 / self.wss_truth_bytes

    @property
    def wss_error(self) -> float:
        """Relative error of the working set; 1 where something was seen and there was nothing."""
        if self.wss_truth_bytes == 0:
            return float(self.wss_bytes != 0)
        return abs(self.wss_bytes - self.wss_truth_bytes) / self.wss_truth_bytes


class Sums(NamedTuple):
    """What a score is made of, in bytes (`error`: of rates, times bytes), so that those of several targets add up.

    `wss_low` and `wss_high` are NaN where the working set of one came without bounds.
    """

    both: int
    predicted: int
    hot: int
    wss: int
    wss_truth: int
    error: float
    covered: int
    wss_low: float = nan
    wss_high: float = nan

    def score(self) -> Score:
        precision, recall, f1 = agreement(self.both, self.predicted, self.hot)
        mae = self.error / self.covered if self.covered else 0.0
        bounds = (None if isnan(bound) else round(bound) for bound in (self.wss_low, self.wss_high))
        return Score(precision, recall, f1, self.wss, self.wss_truth, mae, *bounds)


def together(parts: Iterable[Sums]) -> Sums:
    """Of several targets at one time, at least one."""
    both, predicted, hot, wss, wss_truth, error, covered, low, high = map(sum, zip(*parts, strict=True))
    return Sums(both, predicted, hot, wss, wss_truth, error, covered, low, high)


class TruthScorer:
    """Scores snapshots against one truth, which is put in order once."""

    def __init__(self, truth: Sequence[Expected]) -> None:
        self.truth = truth
        self._starts = array("Q", [e.start for e in truth])
        self._ends = array("Q", [e.end for e in truth])
        self._means = array("d", [e.mean for e in truth])
        self._hot = sum(e.end - e.start for e in truth if e.mean >= HOT)
        self._wss = round(sum((e.end - e.start) * e.touched for e in truth))

    def sums(self, snapshot: Snapshot) -> Sums:
        """How right `snapshot` is. Errors of rates are over the regions' bytes."""
        # Truth outside all regions counts as seen with rate 0, regions outside all truth as never accessed.
        both, predicted, error = native_agreement(
            start=snapshot.starts, end=snapshot.ends, count=snapshot.nr_accesses, true_start=self._starts,
            true_end=self._ends, mean=self._means, ticks=snapshot.ticks, hot=HOT,
        )  # fmt: skip
        covered = sum(snapshot.ends) - sum(snapshot.starts)
        low, high = (
            nan if bound is None else float(bound) for bound in (snapshot.touched_low, snapshot.touched_high)
        )
        return Sums(both, predicted, self._hot, sum(snapshot.touched), self._wss, error, covered, low, high)


def score(snapshot: Snapshot, truth: Sequence[Expected]) -> Score:
    """Compare one snapshot with what was to be expected in its window."""
    return TruthScorer(truth).sums(snapshot).score()


def agreement(both: int, predicted: int, hot: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of byte counts: 1 when nothing is hot and nothing predicted, 0 when only one."""
    precision = both / predicted if predicted else float(hot == 0)
    recall = both / hot if hot else float(predicted == 0)
    total = predicted + hot
    return precision, recall, 2 * both / total if total else 1.0
