"""How often memory is accessed, from looks at growing spans after one clear (docs/rates.md derives all of it).

The rate of a page is its chance to be accessed within a sampling interval δ. S(t) is the share of a region's pages that
are accessed within a span t of a random moment. For every stationary process S is concave, so S(t)·δ/t ≤ S(δ) ≤ S(t)
for t ≥ δ, and the other way round for t ≤ δ.

*Cluster-sampled share.* Each window is one clear at a random moment, and its pages are a cluster: those of a burst are
accessed together. The rate is the mean over windows of the share seen after δ. Its variance is the one between windows,
with one more window's worth of the largest that it could be (all pages alike), because a few windows that happen to
agree prove little. The interval is Clopper and Pearson's with the effective sample size that this variance stands for
(Korn and Graubard 1998), never less than the number of windows.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import NamedTuple

from udamon.native._native import binomial_bounds

MISS = 0.025
"""The chance that the truth lies below an interval, and that it lies above."""
ENOUGH = 0.1
"""Windows are pooled until the standard error is this share of the rate, and the interval twice that on each side."""
MOST_WINDOWS = 50
NEAR = 1.25
"""A look after at most so many intervals, and at least so many parts of one, is a sample: its share is corrected for
the rest, and stands for itself."""

_MODEL = 2.0
"""A first look after more intervals is taken as one of random accesses (a Poisson process)."""

_Z = 1.959964  # of the normal distribution, as MISS
_FAR = 3.0  # standard deviations beyond which a window is not what was pooled
_WAIT = 3  # windows after which a change is believed
_MOST_TRIALS = 1e6


class Look(NamedTuple):
    """Of a region, `accessed` pages read as accessed at a look; each had been cleared between `shortest_ns` and
    `longest_ns` ago, most likely `span_ns` ago."""

    shortest_ns: int
    span_ns: int
    longest_ns: int
    accessed: int


class RateSample(NamedTuple):
    """What one window told of a region.

    `touched` is the share of its pages accessed at all; `share` estimates S(δ), which lies between `low` and `high`
    in expectation; `known_high` is what is left when the intervals are taken off in which a page surely was not
    accessed. `wide` are looks after longer spans: (span in intervals, share).
    """

    pages: int
    touched: float
    share: float
    low: float
    high: float
    known_high: float
    wide: tuple[tuple[float, float], ...]


class _Mean(NamedTuple):
    """Of the samples of some windows."""

    touched: float
    share: float
    low: float
    high: float
    known_high: float


_NOTHING = _Mean(0.0, 0.0, 0.0, 0.0, 0.0)


class Rate(NamedTuple):
    """The chance that a page is accessed within a sampling interval, and the interval that it is in."""

    rate: float
    low: float
    high: float


_IDLE = Rate(0.0, 0.0, 0.0)
"""Of what was not accessed in any window: known, and not estimated."""


def sample(
    pages: int, touched: int, before: tuple[int, int], looks: Sequence[Look], interval_ns: int, ticks: int
) -> RateSample:
    """One window of a region of `pages` pages; `touched` were accessed within its `ticks` intervals.

    The window was cleared a second time at a random moment. `before` is how long after the first clear that was (ns),
    and how many pages had been accessed by then; `looks` came after it, ascending, at least one.
    """
    low, share, high = _after_one_interval(pages, looks, interval_ns)
    span_before, pages_before = before
    # Whole intervals without an access: one less than go into the span, for it may begin and end anywhere.
    idle = (pages - pages_before) * max(0, span_before // interval_ns - 1)
    untouched = pages - touched
    before_ns, accessed = 0, 0
    for look in looks:
        idle += (look.accessed - accessed) * max(0, before_ns // interval_ns - 1)
        before_ns, accessed = look.shortest_ns, look.accessed
    idle += (pages - accessed) * max(0, before_ns // interval_ns - 1)
    idle -= untouched * (max(0, span_before // interval_ns - 1) + max(0, before_ns // interval_ns - 1))
    busy = pages - untouched
    return RateSample(
        pages,
        touched / pages,
        share,
        low,
        high,
        max(busy - max(0, idle) / ticks, 0.0) / pages,
        tuple((look.longest_ns / interval_ns, look.accessed / pages) for look in looks[1:]),
    )


def _after_one_interval(pages: int, looks: Sequence[Look], interval_ns: int) -> tuple[float, float, float]:
    """S(δ) by the first looks: not below, about, not above. Where it is taken between two looks it is linear in the
    shares seen, so that its mean over windows is right."""
    first = looks[0]
    seen, span = first.accessed / pages, first.span_ns / interval_ns
    # The longest that it can have been for the lower bound, the shortest for the upper one.
    shortest, longest = first.shortest_ns / interval_ns, first.longest_ns / interval_ns
    low, high = seen / max(1.0, longest), seen * max(1.0, 1 / shortest)
    if len(looks) == 1 or span > _MODEL:
        share = 1 - (1 - seen) ** (1 / span)  # as of random accesses
    else:
        then, later = looks[1].accessed / pages - seen, looks[1].span_ns / interval_ns
        slope = then / max(later - span, 1e-3)
        if span > 1:  # between the line to the beginning and that through the next look
            share = (seen / span + seen - (span - 1) * slope) / 2
            slowest = then / max(looks[1].longest_ns / interval_ns - shortest, 1e-3)
            high = seen - max(0.0, shortest - 1) * slowest
        else:
            share = min(seen + (1 - span) * slope, seen / span)
    if longest <= NEAR and shortest * NEAR >= 1:
        return share, share, share
    return low, min(max(share, low), max(high, low)), max(high, low)


class Pool:
    """Windows of a region that are taken together: means over `windows`, of which older ones may count for less.

    A window that is not like them begins a new pool. Where the next ones are like the old pool again, it was no change
    of the memory but a part of what it does, such as a burst, and both become one.
    """

    __slots__ = ("_before", "_mean", "_spread", "_touched_spread", "_wide", "enough", "windows")

    def __init__(self) -> None:
        self.windows = 0.0
        self.enough = False
        self._mean = _NOTHING
        self._spread = self._touched_spread = 0.0  # sums of squared differences from the mean
        self._wide: list[tuple[float, float, float]] = []
        self._before: Pool | None = None

    @property
    def rate(self) -> float:
        """The mean share of pages accessed within an interval."""
        return _chance(self._mean.share)

    @property
    def touched(self) -> float:
        """The mean share of pages accessed at all in a window."""
        return self._mean.touched

    @staticmethod
    def mixed(parts: Sequence[tuple[float, Pool]]) -> Pool:
        """Of a region that is made of parts of others: (share of its bytes, the pool there). Shares add up to 1 at
        most; the rest is new."""
        mixture = Pool()
        if len(parts) == 1 and parts[0][0] >= 1:
            one = parts[0][1]
            for name in Pool.__slots__:
                setattr(mixture, name, getattr(one, name))
            return mixture
        total = sum(weight * pool.windows for weight, pool in parts)
        if not total:
            return mixture
        largest = max(parts, key=lambda one: one[0] * one[1].windows)[1]
        mixture.windows = total
        mixture.enough = all(pool.enough for _, pool in parts)
        shares = [weight * pool.windows / total for weight, pool in parts]
        columns = zip(*(pool._mean for _, pool in parts), strict=True)
        mixture._mean = _Mean(*(sum(map(mul, shares, column)) for column in columns))
        mixture._spread = sum(weight * pool._spread for weight, pool in parts)
        mixture._touched_spread = sum(weight * pool._touched_spread for weight, pool in parts)
        mixture._wide, mixture._before = largest._wide, largest._before
        return mixture

    def add(self, window: RateSample) -> None:
        """Take one more window in."""
        new, kept = _Mean(*window[1:6]), 1.0
        if self._before is not None and not self._before._differs(new):
            self._join(self._before)
        elif self.windows and self._differs(new):
            self._restart_pool()
        elif self.windows >= _WAIT:
            self._before = None
        if self.enough or self.windows >= MOST_WINDOWS:
            left = min(self.windows, max(1.0, self.windows - 1))
            kept = left / self.windows
            self._spread *= kept
            self._touched_spread *= kept
            self.windows = left
        self.windows += 1
        old, step = (self._mean, 1 / self.windows) if self.windows > 1 else (new, 1.0)
        mean = _Mean(
            old.touched + step * (new.touched - old.touched),
            old.share + step * (new.share - old.share),
            old.low + step * (new.low - old.low),
            old.high + step * (new.high - old.high),
            old.known_high + step * (new.known_high - old.known_high),
        )
        self._spread += (new.share - old.share) * (new.share - mean.share)
        self._touched_spread += (new.touched - old.touched) * (new.touched - mean.touched)
        self._wide = [
            (
                span + step * (new_span - span),
                now := share + step * (new_share - share),
                kept * spread + (new_share - share) * (new_share - now),
            )
            for (span, share, spread), (new_span, new_share) in zip(
                self._wide if self.windows > 1 else [(*one, 0.0) for one in window.wide],
                window.wide,
                strict=False,
            )
        ]
        self._mean = mean

    def _restart_pool(self) -> None:
        old = Pool.mixed([(1.0, self)])
        old._before = None
        self._before = old
        self.windows = self._spread = self._touched_spread = 0.0
        self.enough = False

    def _join(self, other: Pool) -> None:
        """Both pools as one."""
        total = self.windows + other.windows
        a, b = self.windows / total, other.windows / total
        weight = self.windows * b
        self._spread += other._spread + weight * (self._mean.share - other._mean.share) ** 2
        self._touched_spread += (
            other._touched_spread + weight * (self._mean.touched - other._mean.touched) ** 2
        )
        self._mean = _Mean(*(a * x + b * y for x, y in zip(self._mean, other._mean, strict=True)))
        self._wide = other._wide
        self.windows, self.enough, self._before = total, False, None

    def _differs(self, new: _Mean) -> bool:
        """Whether a window is too far from these to be one of them."""
        return self._far(new.share, self._mean.share, self._spread) or self._far(
            new.touched, self._mean.touched, self._touched_spread
        )

    def _far(self, new: float, mean: float, spread: float) -> bool:
        m = self.windows
        smooth = (m * mean + 0.5) / (m + 1)
        variance = (spread + smooth * (1 - smooth)) / m * (1 + 1 / m)
        return abs(new - mean) > _FAR * sqrt(variance)

    def trials(self, pages: int) -> float:
        """The effective sample size of the share: how many independent yes-or-no answers are worth as much."""
        return _trials(self.windows, self._mean.share, self._spread, pages)

    def wide(self, pages: int, ticks: int) -> tuple[float, float, float]:
        """Of the looks after longer spans the one that promises the largest lower bound: (span in intervals, share,
        its effective sample size). All of the window is one of them."""
        best = (0.0, 1.0, 0.0, 1.0)
        m, whole = self.windows, (float(ticks), self._mean.touched, self._touched_spread)
        for span, share, spread in (*self._wide, whole):
            if share > 0:
                n = _trials(m, share, spread, pages)
                best = max(best, (share / span * (1 - 2 * sqrt((1 - share) / share / n)), span, share, n))
        return best[1:]


def _trials(m: float, share: float, spread: float, pages: int) -> float:
    """Of the mean `share` over `m` windows, whose squared differences from it add up to `spread`."""
    if not 0 < share < 1:
        return m
    most = share * (1 - share)
    # With the largest variance as if it had been met in one more window; never less than of independent pages.
    variance = max(most / (m * pages), (spread + most) / m / m)
    corrected = most / variance * (_Z / _student(m)) ** 2
    return min(max(m, corrected), m * pages, _MOST_TRIALS)


def estimate(pools: Sequence[tuple[Pool, int]], ticks: int) -> list[Rate]:
    """The rates of regions, each with its pool and how many pages it has; `ticks` are those of a window. Settles which
    pools have enough."""
    rates = [_IDLE] * len(pools)
    seen = [(at, pool, pages) for at, (pool, pages) in enumerate(pools) if pool.touched]
    all_trials = [pool.trials(pages) for _, pool, pages in seen]
    wide = [pool.wide(pages, ticks) for _, pool, pages in seen]
    hits, trials = array("d"), array("d")
    for (_, pool, _), n, (_, share, wide_n) in zip(seen, all_trials, wide, strict=True):
        mean = pool._mean
        hits.extend((n * _chance(mean.low), wide_n * _chance(share)))
        hits.extend((n * _chance(mean.high), n * _chance(mean.known_high)))
        trials.extend((n, wide_n, n, n))
    ends = binomial_bounds(hits=hits, trials=trials, upper=b"\0\0\1\1" * len(seen), miss=MISS)
    for k, ((at, pool, _), n, (span, _, _)) in enumerate(zip(seen, all_trials, wide, strict=True)):
        rate = pool.rate
        low = min(rate, max(ends[4 * k], ends[4 * k + 1] / span))
        high = max(rate, min(ends[4 * k + 2], ends[4 * k + 3]))
        rates[at] = Rate(rate, low, high)
        error = sqrt(rate * (1 - rate) / n)
        pool.enough = rate > 0 and error <= ENOUGH * rate and high - low <= 4 * ENOUGH * rate
    return rates


def _chance(mean: float) -> float:
    """A mean of what is linear in shares may be a little below 0 or above 1."""
    return min(1.0, max(0.0, mean))


def _student(freedom: float) -> float:
    """The two-sided quantile of Student's distribution as MISS, by Cornish and Fisher's expansion."""
    z = _Z
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )
