"""What new checks say of the fit before them: how wrong its working set may be, and whether memory changed."""

from __future__ import annotations

from collections import deque
from math import asin, sqrt
from typing import TYPE_CHECKING, NamedTuple

from udamon.native._native import AGES, judge_spanning

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from udamon.core.adaptive.parameters import Parameters


class Judged(NamedTuple):
    """Sums over the checks that spanned an aggregation, of each as it was when it was new; older ones weigh less.

    `checks` their number, `hits` accesses among them, `expected` how many the fit before had expected of them,
    `squares` of the differences of each, `shares` of all bytes that the fit before took for touched, and `known` of
    all bytes outside of quiet memory. `met` are the accesses in memory that was taken for quiet.
    """

    checks: float = 0.0
    hits: float = 0.0
    expected: float = 0.0
    squares: float = 0.0
    shares: float = 0.0
    known: float = 0.0
    met: float = 0.0

    def plus(self, other: Judged, times: float = 1.0) -> Judged:
        return Judged(
            self.checks + times * other.checks, self.hits + times * other.hits,
            self.expected + times * other.expected, self.squares + times * other.squares,
            self.shares + times * other.shares, self.known + times * other.known, self.met + times * other.met,
        )  # fmt: skip

    def times(self, factor: float) -> Judged:
        return Judged().plus(self, factor)

    def bounds(self, share: float, told: float, errors: float) -> tuple[float, float]:
        """The touched share of all bytes, at least and at most, by `errors` standard errors: `share` by the fit, as
        checks are judged by it, and `told` where what they said was taken into account.

        Of memory that changes, the newest fit is nearest, and so it is that with the mean difference of checks and
        fits. Of memory that does not, the mean of all fits is better known. Where checks lie, fits may know more or
        less than elsewhere; the share of accesses among checks does not depend on that. The interval has all three
        (docs/adaptive.md). It is (0, 1) before there was such a check.
        """
        if self.checks <= 0:
            return 0.0, 1.0
        difference = self.hits - self.expected
        middles = (
            share * self.checks + difference,
            self.shares + difference,
            self.hits,
        )
        # As of a Poisson number, whose interval is not centred (Wilson 1927): none of n has told nothing of 4 / n.
        shift, half = errors**2 / 2, errors * sqrt(self.squares + errors**2 / 4)
        low = (min(middles) - shift - half) / self.checks
        high = (max(middles) + shift + half) / self.checks
        return max(min(low, told), 0.0), min(max(high, told), 1.0)


def judge_new(points: Buffer, places: Buffer, touched: Buffer, share: float, known: float) -> Judged:
    """Of the new points, which are packed as in native/points.h, by the fit before them: `places` of its steps,
    `touched` shares of the segments between them, and those of all bytes as `share`, and as `known` of those outside
    of quiet memory."""
    new = judge_spanning(points=points, place=places, touched=touched)
    expected, squares = new.expected, new.squares
    if new.older == 0 and new.checks > 0:
        # What was expected came of no such checks: their mean is all there is to judge by.
        share, expected = new.hits / new.checks, new.hits
        squares = new.hits * (1 - share)
    return Judged(new.checks, new.hits, expected, squares, new.checks * share, new.checks * known)


class Judge:
    """Keeps the sums. When new checks show that another share of the memory is touched, the sums start again from
    those checks."""

    def __init__(self, parameters: Parameters) -> None:
        self.sums = Judged()
        self.moved = AGES
        """Aggregations since memory last changed so, with the one in which it did; AGES where no change is known."""
        self.moved_share = 0.0
        """The share of what was expected, accesses or their absence, that did not come then."""
        self._parameters = parameters
        # Of the last looks, newest first, each with its age in aggregations.
        self._recent: deque[tuple[int, Judged]] = deque(maxlen=parameters.memory)

    def grow_older(self, aggregations: int, keep: float) -> None:
        """`keep`: what is left of the sums."""
        self.sums = self.sums.times(keep)
        self.moved = min(self.moved + aggregations, AGES)
        for at, (age, one) in enumerate(self._recent):
            self._recent[at] = age + aggregations, one.times(keep)

    def take(self, new: Judged) -> None:
        """The checks of a look. Those of the last 1, 2, 4, 8, … looks are held against those before."""
        self._recent.appendleft((0, new))
        self.sums = self.sums.plus(new)
        pooled, looks = Judged(), 0
        for age, one in list(self._recent):
            pooled, looks = pooled.plus(one), looks + 1
            if looks.bit_count() != 1:
                continue
            before = self.sums.plus(pooled, -1.0)
            if abs(_errors(pooled, before)) > self._parameters.moved_errors:
                self.sums, self.moved, self.moved_share = pooled, age + 1, _moved_share(pooled, before)
                while len(self._recent) > looks:
                    self._recent.pop()
                return

    def add_met(self, met: float) -> None:
        """Of the checks that were taken last."""
        self.sums = self.sums._replace(met=self.sums.met + met)
        if self._recent:
            age, one = self._recent[0]
            self._recent[0] = age, one._replace(met=one.met + met)


def _expected(now: Judged, before: Judged) -> float:
    """Hits among the checks now, if fits are as wrong as they were before."""
    usual = (before.hits - before.expected) / before.checks
    return min(max(now.expected + now.checks * usual, 0.0), now.checks)


def _errors(now: Judged, before: Judged) -> float:
    """By how many standard errors hits differ from what is expected. Shares are compared by their angles, in which the
    error is the same everywhere (Anscombe 1948). 0 where there is nothing to compare."""
    if now.checks <= 0 or before.checks < 1:
        return 0.0
    share = (_expected(now, before) + 3 / 8) / (now.checks + 3 / 4)
    apart = asin(sqrt((now.hits + 3 / 8) / (now.checks + 3 / 4))) - asin(sqrt(share))
    doubt = (before.squares + 1) / before.checks**2
    return apart / sqrt(1 / (4 * now.checks) + doubt / (4 * share * (1 - share)))


def _moved_share(now: Judged, before: Judged) -> float:
    mean = _expected(now, before)
    room = now.checks - mean if now.hits > mean else mean
    return min(abs(now.hits - mean) / max(room, 1.0), 1.0)
