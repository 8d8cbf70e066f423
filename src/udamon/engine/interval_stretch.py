"""Keeping the CPU of a monitor with the kernel's algorithm below a share, by its sampling interval."""

from __future__ import annotations

from dataclasses import replace

from udamon.core.attrs import Attrs, IntervalsGoal

GOAL = IntervalsGoal(access_bp=400, aggrs=3, min_sample_us=5_000, max_sample_us=10_000_000)
"""The goal that DAMON's documents recommend: 4 % of the accesses that could be seen, in 3 aggregations."""


class IntervalStretch:
    """Measures, and lengthens or shortens the intervals; each aggregation keeps its number of samples.

    The cost of a sample depends on the number of regions, which changes, so it is measured again and again.
    Where the kernel tunes intervals by a goal, it goes on doing so: then this moves the shortest interval that
    the goal may choose.
    """

    WINDOW_NS = 2_000_000_000
    AGGREGATIONS = 3
    LARGEST_STEP = 8
    MARGIN = 1.1
    SHORTEN_BELOW = 0.5  # of the share: shortening for less would only make windows hard to compare

    def __init__(self, share: float) -> None:
        """`share` is of one CPU."""
        self.share = share
        self._since: tuple[int, int] | None = None

    def begin(self, attrs: Attrs) -> Attrs:
        """Attributes to start with: the goal is dropped later by kernels that have none."""
        return replace(attrs, goal=GOAL, sample_us=max(attrs.sample_us, GOAL.min_sample_us))

    def tune(self, attrs: Attrs, now_ns: int, spent_ns: int) -> Attrs | None:
        """New attributes, or None. `spent_ns` is the CPU time taken so far, at `now_ns`."""
        if self._since is None:
            self._since = now_ns, spent_ns
            return None
        passed = now_ns - self._since[0]
        if passed < max(self.WINDOW_NS, attrs.aggr_us * 1_000 * self.AGGREGATIONS):
            return None
        factor = (spent_ns - self._since[1]) / passed / self.share
        self._since = now_ns, spent_ns
        shortest = attrs.goal.min_sample_us if attrs.goal.aggrs else attrs.sample_us
        if factor > 1:
            wanted = int(attrs.sample_us * min(factor * self.MARGIN, self.LARGEST_STEP))
        elif factor < self.SHORTEN_BELOW:
            wanted = int(shortest * max(factor * self.MARGIN, self.SHORTEN_BELOW))
        else:
            return None
        wanted = min(max(wanted, GOAL.min_sample_us), GOAL.max_sample_us)
        if wanted == shortest:
            return None
        self._since = None  # the change itself costs, and is not what is to be measured
        return _with_shortest(attrs, wanted)

    @property
    def why(self) -> str:
        return f"overhead {self.share:.2%}"


def _with_shortest(attrs: Attrs, sample_us: int) -> Attrs:
    goal = attrs.goal
    if goal.aggrs:
        goal = replace(goal, min_sample_us=sample_us)
        sample_us = max(attrs.sample_us, sample_us)
    return replace(attrs, sample_us=sample_us, aggr_us=sample_us * attrs.max_nr_accesses, goal=goal)
