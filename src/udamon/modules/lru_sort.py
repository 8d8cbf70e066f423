"""Sorting of the LRU lists: hot memory is moved to their head, cold to their tail (docs/damon.md#damon_lru_sort)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from udamon.core.scheme import (
    Action,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    Quota,
    Scheme,
    WatermarkMetric,
    Weights,
)
from udamon.errors import UsageError
from udamon.modules.common import FROM_A_PAGE, parse_metric, reset_interval, watermarks
from udamon.modules.parameters import parameter, switch
from udamon.schemes.config.fields import parse_bp, parse_ms, parse_permil
from udamon.schemes.config.pattern import NONE, Quantity, QuantityBounds, QuantityUnit, WantedScheme
from udamon.units import parse_time_us


@dataclass(frozen=True, slots=True)
class LruSortParameters:
    """The parameters of DAMON_LRU_SORT; `wmarks_metric` is beside them. Raises UsageError for senseless values."""

    hot_thres_access_freq: int = parameter(
        500, parse_permil, "PERMIL", "accessed in so many of the samples is hot (500, or 50%%)"
    )
    cold_min_age: int = parameter(120_000_000, parse_time_us, "TIME", "unaccessed this long is cold (120s)")
    quota_ms: int = parameter(
        10, parse_ms, "TIME", "time for both halves in each reset interval (10ms; 0: any)"
    )
    quota_reset_interval_ms: int = parameter(1_000, parse_ms, "TIME", "the interval that quotas are for (1s)")
    active_mem_bp: int = parameter(
        0, parse_bp, "BP", "aim at this share of memory on the active lists (10000 is all; 0: off)"
    )
    filter_young_pages: bool = switch(
        "look at each page again: only young ones are hot, no young one is cold"
    )
    wmarks_metric: str = parameter(
        "none", parse_metric, "METRIC", "none, or free_mem_rate (with --paddr: free_mem_rate)"
    )
    wmarks_interval: int = parameter(
        5_000_000, parse_time_us, "TIME", "how often to check free memory while inactive (5s)"
    )
    wmarks_high: int = parameter(200, parse_permil, "PERMIL", "be inactive while more is free (200, or 20%%)")
    wmarks_mid: int = parameter(150, parse_permil, "PERMIL", "begin again below it (150)")
    wmarks_low: int = parameter(50, parse_permil, "PERMIL", "be inactive while less is free (50)")

    def __post_init__(self) -> None:
        if self.active_mem_bp > 10_000:
            raise UsageError(
                f"active_mem_bp {self.active_mem_bp} is more than all memory; give at most 10000."
            )
        self.schemes()

    def schemes(self) -> tuple[WantedScheme, ...]:
        """The hot half and the cold half, each with half of the time."""
        return self.hot(), self.cold()

    def hot(self) -> WantedScheme:
        rate = Quantity(Fraction(self.hot_thres_access_freq, 1_000), QuantityUnit.SHARE)
        goal = Goal(GoalMetric.ACTIVE_MEM_BP, self.active_mem_bp)
        young = Filter(FilterType.YOUNG, matching=False)
        return WantedScheme(self._scheme(Action.LRU_PRIO, goal, young), QuantityBounds(min=rate))

    def cold(self) -> WantedScheme:
        # Both goals together are a little more than all, so that one of them is always below its target.
        goal = Goal(GoalMetric.INACTIVE_MEM_BP, 10_000 - self.active_mem_bp + 2)
        young = Filter(FilterType.YOUNG, matching=True)
        return WantedScheme(
            self._scheme(Action.LRU_DEPRIO, goal, young),
            QuantityBounds(max=NONE),
            QuantityBounds(min=Quantity(self.cold_min_age, QuantityUnit.US)),
        )

    def _scheme(self, action: Action, goal: Goal, young: Filter) -> Scheme:
        goals = (goal,) if self.active_mem_bp else ()
        return Scheme(
            access_pattern=FROM_A_PAGE,
            action=action,
            quotas=Quota(
                max(self.quota_ms // 2, min(self.quota_ms, 1)),  # half of 1 is not 0, which is no limit
                0,
                reset_interval(self.quota_ms, goals, ms=self.quota_reset_interval_ms),
                weights=Weights(nr_accesses_permil=1, age_permil=1),
                goals=goals,
            ),
            watermarks=watermarks(
                WatermarkMetric(self.wmarks_metric),
                self.wmarks_interval,
                self.wmarks_high,
                self.wmarks_mid,
                self.wmarks_low,
            ),
            ops_filters=(young,) if self.filter_young_pages else (),
        )
