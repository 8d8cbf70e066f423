"""Keeping a sampling monitor's CPU below a share: by its checks at once, by its intervals and regions in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from udamon.core.attrs import Attrs
from udamon.core.tuning import accesses_seen
from udamon.engine.context import Context
from udamon.engine.tuner import TunedAttrs

SAMPLE_US = (5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000)
"""Sampling intervals to choose from; an aggregation has TICKS of them: from 100 ms to 10 s."""
TICKS = 20
MAX_BACKOFF_STEPS = 4
"""The longest where next to nothing is seen, by its place in SAMPLE_US: longer ones only where they must be."""
FIRST = 2
"""The interval to begin with, by its place in SAMPLE_US: 25 ms, windows of 500 ms."""
LEAST_CHECKS = 20
FIRST_CHECKS = USEFUL_CHECKS = 100
"""Fewer in an aggregation learn little: rather make that longer."""


class Budgeted(Protocol):
    """A region policy whose checks per aggregation can be chosen."""

    checks: int

    @property
    def backed_off(self) -> bool:
        """Nothing new was found for some time, so that most of the checks are not made."""


class Sampled(Protocol):
    """A watch that counts its checks, and the CPU time that they took."""

    checks: int
    checking_ns: int


class SampleBudget:
    """Pays for every aggregation out of what the share of one CPU has saved up.

    What the checks took and what all else took (fitting, snapshots, recording, looking for targets) is
    measured in each aggregation; the next one may make as many checks as are left to pay for. Savings end at
    BURST_NS of the share, debts are paid back at once: over any 10 s the cost stays below 1.2 times the share
    as soon as the first costs are known.

    Intervals change by one place of SAMPLE_US at a time, and seldom. Longer where all else takes more than
    half of the share, or where next to nothing is seen; shorter where most of memory is seen accessed, or the
    checks could not be spent, if all else stays affordable. At the longest, it is the regions that become less.
    Only where all else alone takes the whole share are they made as long as it takes, at once.
    """

    BURST_NS = 500_000_000
    PATIENCE = 5  # aggregations, at least, and 4 s
    LEARN = 0.3  # weight of the newest cost in its average
    SEEN_LITTLE, SEEN_MOST = 0.005, 0.5  # of all that could be seen

    def __init__(self, policy: Budgeted, watch: Sampled, share: float) -> None:
        """`share` is of one CPU."""
        self.share = share
        self._policy = policy
        self._watch = watch
        self._place = FIRST
        self._saved_ns = 0.0
        self._check_ns = 0.0
        self._rest_ns = 0.0
        self._counted = (0, 0)  # checks, and what they took, before this aggregation
        self._since = 0
        self._since_ns = 0
        self._was_backed_off = False
        self._most_regions = 0

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        """Windows of 500 ms with few checks, until it is known what they cost."""
        self._policy.checks = FIRST_CHECKS
        self._most_regions = context.attrs.max_nr_regions
        return TunedAttrs(self._attrs(context.attrs), self._why)

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        checks = self._cost(cpu_ns)
        allowed = self._policy.checks
        self._saved_ns += self.share * window_ns - cpu_ns
        self._saved_ns = min(self._saved_ns, self.share * self.BURST_NS)
        self._since += 1
        self._since_ns += window_ns
        tuned = None
        if self._rest_ns > self.share * window_ns and self._place + 1 < len(SAMPLE_US):
            tuned = self._pay_for_the_rest(context.attrs)
        elif self._since >= self.PATIENCE and self._since_ns >= 4_000_000_000:
            tuned = self._change_intervals(context)
        self._policy.checks = self._affordable(
            context.attrs if tuned is None or tuned.attrs is None else tuned.attrs
        )
        if tuned is None:
            tuned = self._tell(checks, allowed)
        return tuned

    def _cost(self, cpu_ns: int) -> int:
        """Checks made in the aggregation that ended; takes what it cost into the averages."""
        before = self._counted
        self._counted = self._watch.checks, self._watch.checking_ns
        checks, checking_ns = self._counted[0] - before[0], self._counted[1] - before[1]
        known = self._check_ns > 0
        if checks:
            each = checking_ns / checks
            self._check_ns += (each - self._check_ns) * (self.LEARN if known else 1)
        rest = max(cpu_ns - checking_ns, 0)
        self._rest_ns += (rest - self._rest_ns) * (self.LEARN if known else 1)
        return checks

    def _affordable(self, attrs: Attrs) -> int:
        """Checks that the next aggregation can pay for."""
        window_ns = attrs.aggr_us * 1_000
        saved = self._saved_ns * min(1.0, window_ns / self.BURST_NS) if self._saved_ns > 0 else self._saved_ns
        left = self.share * window_ns + saved - self._rest_ns
        return max(int(left / self._check_ns), LEAST_CHECKS) if self._check_ns else FIRST_CHECKS

    def _pay_for_the_rest(self, attrs: Attrs) -> TunedAttrs:
        """The shortest windows of which half of the share pays for all but the checks, or the longest there are."""
        self._since = self._since_ns = 0
        while self._place + 1 < len(SAMPLE_US) and self._rest_takes_half(self._place):
            self._place += 1
        return TunedAttrs(self._attrs(attrs), self._why)

    def _rest_takes_half(self, place: int) -> bool:
        return self._rest_ns > 0.5 * self.share * SAMPLE_US[place] * TICKS * 1_000

    def _change_intervals(self, context: Context) -> TunedAttrs | None:
        attrs = context.attrs
        window_ns = attrs.aggr_us * 1_000
        rest = self._rest_ns / (self.share * window_ns)
        observed, possible = accesses_seen(context.targets, attrs.max_nr_accesses)
        seen = observed / possible if possible else 1.0
        self._since = self._since_ns = 0
        dear = rest > 0.5 or self._checks_at(self._place) < USEFUL_CHECKS
        longest = len(SAMPLE_US) - 1 if dear else MAX_BACKOFF_STEPS if seen < self.SEEN_LITTLE else 0
        if self._place < longest:
            self._place += 1
        elif rest > 0.5 and attrs.max_nr_regions > 2 * attrs.min_nr_regions:
            attrs = replace(attrs, max_nr_regions=max(attrs.max_nr_regions // 2, attrs.min_nr_regions))
        elif (
            self._place
            and (seen > self.SEEN_MOST or self._policy.backed_off is False)
            and self._shorter(rest)
        ):
            self._place -= 1
        elif rest < 0.1 and attrs.max_nr_regions < self._most_regions:
            attrs = replace(attrs, max_nr_regions=min(attrs.max_nr_regions * 2, self._most_regions))
        else:
            return None
        new = self._attrs(attrs)
        return None if new == context.attrs else TunedAttrs(new, self._why)

    def _shorter(self, rest: float) -> bool:
        """With the next shorter windows all else would take no more than a third of the share, and enough be left."""
        dearer = SAMPLE_US[self._place] / SAMPLE_US[self._place - 1]
        return rest * dearer < 0.33 and self._checks_at(self._place - 1) > 2 * USEFUL_CHECKS

    def _checks_at(self, place: int) -> float:
        """Checks that an aggregation of that length can pay for in the long run."""
        window_ns = SAMPLE_US[place] * TICKS * 1_000
        return (self.share * window_ns - self._rest_ns) / self._check_ns if self._check_ns else USEFUL_CHECKS

    def _attrs(self, attrs: Attrs) -> Attrs:
        sample = SAMPLE_US[self._place]
        return replace(attrs, sample_us=sample, aggr_us=sample * TICKS)

    def _tell(self, checks: int, allowed: int) -> TunedAttrs | None:
        """Say when most of the share is not needed, and when it is again."""
        backed_off = self._policy.backed_off and 2 * checks < allowed
        if backed_off == self._was_backed_off:
            return None
        self._was_backed_off = backed_off
        if backed_off:
            text = (
                f"nothing new is found, so only {checks:,} of {allowed:,} checks are made in an aggregation."
            )
        else:
            text = f"there is something new to learn: {allowed:,} checks are made in an aggregation."
        return TunedAttrs(None, f"{self._why}: {text}")

    @property
    def _why(self) -> str:
        return f"overhead {self.share:.2%}"
