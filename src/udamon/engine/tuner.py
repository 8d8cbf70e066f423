"""Tuning of the intervals while monitoring: by the kernel's goal, or by a budget of CPU time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from udamon.core.attrs import Attrs
from udamon.core.tuning import tuned_intervals
from udamon.engine.context import Context
from udamon.engine.interval_stretch import IntervalStretch


class TunedAttrs(NamedTuple):
    """New attributes and why; without attributes, something that people should know."""

    attrs: Attrs | None
    why: str


class Tuner(Protocol):
    """Asked before the first aggregation, and after each."""

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        """Attributes to start with, or None. `cpu_ns` tells the CPU time spent so far."""

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        """New attributes, or None. The aggregation lasted `window_ns` and cost `cpu_ns`."""


class IntervalGoalTuner:
    """The kernel's interval auto-tuning (docs/damon.md#interval-tuning): every `goal.aggrs` aggregations."""

    def __init__(self) -> None:
        self._passed = 0

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        return None

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        self._passed += 1
        if self._passed < context.attrs.goal.aggrs:
            return None
        self._passed = 0
        attrs = tuned_intervals(context.targets, context.attrs)
        return None if attrs == context.attrs else TunedAttrs(attrs, "intervals goal")


class IntervalBudget:
    """Keeps a policy whose checks follow from its regions below a share, by its sampling interval alone."""

    def __init__(self, share: float, now_ns: Callable[[], int]) -> None:
        """`share` is of one CPU; `now_ns` is the clock's."""
        self._stretch = IntervalStretch(share)
        self._now_ns = now_ns
        self._spent_ns = 0

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        return None

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        self._spent_ns += cpu_ns
        attrs = self._stretch.tune(context.attrs, self._now_ns(), self._spent_ns)
        return None if attrs is None else TunedAttrs(attrs, self._stretch.why)


class CensusBudget:
    """Keeps the CPU share of a census under `overhead` by choosing its aggregation interval.

    The cost of a census hardly depends on how often it is taken, so the interval that pays for it is
    cost / overhead. Costs vary from one to the next: the largest of the last few is what must be paid. All of it
    is paid at once: of a target so large that one census takes more than the share of BURST_US, the share is kept
    over its windows, but not over each BURST_US, which is said.
    """

    SHORTEST_US = 100_000
    LONGEST_US = 3_600_000_000
    BURST_US = 10_000_000
    TICKS = 20  # ticks in an aggregation, as in the kernel's defaults
    HISTORY = 5
    # Shortening for less than this would only make the windows of a recording hard to compare.
    HYSTERESIS = 0.75

    def __init__(self, overhead: float) -> None:
        self._overhead = overhead
        self._costs: list[int] = []

    def interval_us(self, cpu_ns: int) -> int:
        """The aggregation interval that keeps a census of this cost within the budget, in microseconds."""
        wanted = int(cpu_ns / 1_000 / self._overhead) if self._overhead else self.LONGEST_US
        clamped = min(max(wanted, self.SHORTEST_US), self.LONGEST_US)
        return -(-clamped // (self.TICKS * 1_000)) * self.TICKS * 1_000

    def attrs(self, attrs: Attrs, cpu_ns: int) -> Attrs:
        aggr = self.interval_us(cpu_ns)
        return replace(attrs, sample_us=aggr // self.TICKS, aggr_us=aggr)

    def why(self, cpu_ns: int) -> str:
        """For the event of the attributes, and whoever reads it."""
        share = cpu_ns / 1_000 / self.BURST_US
        at_once = f", though {cpu_ns / 1e9:.2f} s of it at once" if share > self._overhead else ""
        return f"overhead {self._overhead:.2%}{at_once}"

    def begin(self, context: Context, cpu_ns: Callable[[], int]) -> TunedAttrs | None:
        """Measure one census before the first window, which then has the length of the others."""
        before = cpu_ns()
        context.watch.measure_cost(context.targets)
        cost = cpu_ns() - before
        return TunedAttrs(self.attrs(context.attrs, cost), self.why(cost))

    def tune(self, context: Context, cpu_ns: int, window_ns: int) -> TunedAttrs | None:
        self._costs = [*self._costs[1 - self.HISTORY :], cpu_ns]
        new = self.attrs(context.attrs, max(self._costs))
        if self.HYSTERESIS * context.attrs.aggr_us <= new.aggr_us <= context.attrs.aggr_us:
            return None
        # Shorten only on the evidence of a full history; a single cheap window proves nothing.
        if new.aggr_us < context.attrs.aggr_us and len(self._costs) < self.HISTORY:
            return None
        return TunedAttrs(new, self.why(max(self._costs)))
