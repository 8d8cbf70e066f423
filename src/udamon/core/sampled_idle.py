"""Bounds of the memory of one target that was not accessed for some time, of samples, window by window.

The statistics are those of udamon.report.sampled, which asks them of recordings. Here the windows that are kept take a
bounded amount of memory: old ones are taken together, which makes lower bounds lower.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from udamon.core.idle_time import GAP, SECONDS
from udamon.model import Snapshot

IDLE_SHARE = 0.05
"""A region without accesses counts as idle while not more of it is told as touched, for places that no check met."""
NORMAL = 1.96
"""Standard errors that a normal variable exceeds with a probability of 2.5 %."""
MOST_WINDOWS = 4096


class _Window(NamedTuple):
    """One window, or `number` of them in a row. `high` and `untouched` are sums over them, of bytes that were touched
    at most, and of those there and not surely touched; `idle` were taken for idle in each of them. `weight` is how many
    bytes a check of such memory stands for, in the window in which these are most, infinite where one had no check;
    `accessed` and `squares` are the sums of it and of its square over the checks that met an access. `gap`: whether
    there was a time without a look before one of them."""

    begin_ns: int
    end_ns: int
    high: float
    untouched: float
    idle: int
    weight: float
    accessed: float
    squares: float
    gap: bool
    number: int = 1

    def with_next(self, later: _Window) -> _Window:
        return _Window(
            self.begin_ns, later.end_ns, self.high + later.high, self.untouched + later.untouched,
            min(self.idle, later.idle), max(self.weight, later.weight), self.accessed + later.accessed,
            self.squares + later.squares, self.gap or later.gap, self.number + later.number,
        )  # fmt: skip


def most_of(weighted: float, squares: float, weight: float) -> float:
    """The largest mean, with a confidence of 97.5 %, of a sum of Poisson numbers that each have a weight: `weighted`
    was the sum, `squares` the same with squares of the weights, and `weight` is the largest of them (Fay and Feuer
    1997, with the quantile of a gamma distribution of Wilson and Hilferty 1931)."""
    mean, square = weighted + weight, squares + weight**2
    if mean == 0:
        return 0.0
    return float(mean * (1 - square / (9 * mean**2) + NORMAL * sqrt(square) / (3 * mean)) ** 3)


class SampledIdle:
    """Takes the snapshots of one target, which have bounds."""

    def __init__(self) -> None:
        self._windows: list[_Window] = []
        self._begin_ns: int | None = None
        self._last_ns = 0
        self._there = 0
        self._idle: list[tuple[int, int]] = []
        self._mixed = 0

    def window(self, snapshot: Snapshot) -> None:
        """The next window; without bounds anything may have been touched in it."""
        sizes = snapshot.resident or [
            end - start for start, end in zip(snapshot.starts, snapshot.ends, strict=True)
        ]
        regions = zip(sizes, snapshot.nr_accesses, snapshot.touched, snapshot.ages, strict=True)
        length = snapshot.ticks * snapshot.sample_ns
        self._there = sum(sizes)
        self._idle = [
            ((age + 1) * length, size)
            for size, nr_accesses, touched, age in regions
            if nr_accesses == 0 and touched <= IDLE_SHARE * size
        ]
        self._mixed = snapshot.idle_mixed or 0
        quiet, checks, hits = snapshot.idle_bytes or 0, snapshot.idle_checks or 0, snapshot.idle_hits or 0
        weight = quiet / checks if checks else inf if quiet else 0.0
        before = self._windows[-1].end_ns if self._windows else None
        self._last_ns = snapshot.end_ns - snapshot.begin_ns
        if self._begin_ns is None:
            self._begin_ns = snapshot.begin_ns
        low, high = snapshot.touched_low, snapshot.touched_high
        self._windows.append(
            _Window(
                snapshot.begin_ns,
                snapshot.end_ns,
                self._there if high is None else high,
                self._there - (low or 0),
                quiet,
                weight,
                weight * hits if hits else 0.0,
                weight**2 * hits if hits else 0.0,
                before is not None and snapshot.begin_ns - before > GAP * self._last_ns,
            )
        )
        if len(self._windows) > MOST_WINDOWS:
            self._take_together(snapshot.end_ns)

    def _take_together(self, end_ns: int) -> None:
        """The older half in pairs; what is older than all that is asked for is forgotten."""
        half = MOST_WINDOWS // 2
        edge = end_ns - SECONDS[-1] * 1_000_000_000
        pairs = zip(self._windows[:half:2], self._windows[1:half:2], strict=True)
        older = [one for first, second in pairs if (one := first.with_next(second)).end_ns > edge]
        self._windows = older + self._windows[half:]

    @property
    def watched_ns(self) -> int:
        """From the begin of the first window to the end of the last."""
        return self._windows[-1].end_ns - self._begin_ns if self._begin_ns is not None else 0

    def bounds(self, age_ns: int) -> tuple[float, float]:
        """Bytes that were not accessed for so long at the end of the last window, at least and at most."""
        if not self._windows:
            return 0.0, 0.0
        edge = self._windows[-1].end_ns - age_ns
        covering = [one for one in self._windows if one.end_ns > edge]
        low = 0.0
        if covering[0].begin_ns <= edge + GAP * self._last_ns and not any(one.gap for one in covering):
            low = max(
                self._there - sum(one.high for one in covering), self._surely_idle(age_ns, covering), 0.0
            )
        inside = [one for one in covering if one.begin_ns >= edge]
        if not inside:
            return low, float(self._there)
        mean = sum(one.untouched for one in inside) / sum(one.number for one in inside)
        return low, min(float(self._there), mean)

    def _surely_idle(self, age_ns: int, covering: list[_Window]) -> float:
        """What is idle by its age and was taken for idle all the time, less what checks may have missed of it."""
        weight = max(one.weight for one in covering)
        if weight == inf:
            return 0.0
        unseen = most_of(sum(one.accessed for one in covering), sum(one.squares for one in covering), weight)
        cold = sum(size for age, size in self._idle if age >= age_ns) - self._mixed
        return min(cold, min(one.idle for one in covering)) - unseen
