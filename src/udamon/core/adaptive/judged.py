"""What new checks say of the fit before them: how far its working set may be from the truth."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from udamon.native._native import Fit


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


def judged_of(fit: Fit) -> Judged:
    """The sums after that fit."""
    return Judged(
        fit.judged_checks, fit.judged_hits, fit.judged_expected, fit.judged_squares, fit.judged_shares,
        fit.judged_known, fit.judged_met,
    )  # fmt: skip
