"""Proactive reclamation: memory that was not accessed for long is taken out (docs/damon.md#damon_reclaim)."""

from __future__ import annotations

from dataclasses import dataclass

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
from udamon.modules.common import FROM_A_PAGE, parse_metric, reset_interval, watermarks
from udamon.modules.parameters import parameter, switch
from udamon.schemes.config.fields import parse_ms, parse_number, parse_permil, parse_us
from udamon.schemes.config.pattern import (
    NONE,
    Quantity,
    QuantityBounds,
    QuantityUnit,
    WantedScheme,
    parse_bytes,
)
from udamon.units import parse_time_us

HOLES = 1024
"""So many bytes that were not taken are charged as one."""

FEEDBACK_TARGET = 10_000
"""What quota_autotune_feedback aims at."""


@dataclass(frozen=True, slots=True)
class ReclaimParameters:
    """The parameters of DAMON_RECLAIM; `wmarks_metric` is beside them. Raises UsageError for senseless watermarks, and
    for a quota of no time."""

    min_age: int = parameter(120_000_000, parse_time_us, "TIME", "unaccessed this long is cold (120s)")
    quota_ms: int = parameter(
        10, parse_ms, "TIME", "time to spend on it in each reset interval (10ms; 0: any)"
    )
    quota_sz: int = parameter(
        128 << 20, parse_bytes, "SIZE", "bytes to take in each reset interval (128 MiB; 0: any)"
    )
    quota_reset_interval_ms: int = parameter(1_000, parse_ms, "TIME", "the interval that quotas are for (1s)")
    quota_mem_pressure_us: int = parameter(
        0, parse_us, "TIME", "aim at this much memory stall in each reset interval (0: off)"
    )
    quota_autotune_feedback: int = parameter(
        0,
        parse_number,
        "N",
        f"how well it does by your own measure: below {FEEDBACK_TARGET} more is taken (0: off)",
    )
    wmarks_metric: str = parameter(
        "none", parse_metric, "METRIC", "none, or free_mem_rate (with --paddr: free_mem_rate)"
    )
    wmarks_interval: int = parameter(
        5_000_000, parse_time_us, "TIME", "how often to check free memory while inactive (5s)"
    )
    wmarks_high: int = parameter(500, parse_permil, "PERMIL", "be inactive while more is free (500, or 50%%)")
    wmarks_mid: int = parameter(400, parse_permil, "PERMIL", "begin again below it (400)")
    wmarks_low: int = parameter(200, parse_permil, "PERMIL", "be inactive while less is free (200)")
    skip_anon: bool = switch("leave anonymous memory alone")

    def __post_init__(self) -> None:
        self.schemes()

    def schemes(self, *, sparse: bool = False) -> tuple[WantedScheme, ...]:
        """The one scheme they stand for.

        `sparse`: charge what was not taken only at a part. Much of an address space has no memory behind it, and
        holes, which are the coldest of all, would use the quota up. The kernel charges them in full.
        """
        goals = []
        if self.quota_mem_pressure_us:
            goals.append(Goal(GoalMetric.SOME_MEM_PSI_US, self.quota_mem_pressure_us))
        if self.quota_autotune_feedback:
            goals.append(Goal(GoalMetric.USER_INPUT, FEEDBACK_TARGET, self.quota_autotune_feedback))
        scheme = Scheme(
            access_pattern=FROM_A_PAGE,
            action=Action.PAGEOUT,
            quotas=Quota(
                self.quota_ms,
                self.quota_sz,
                reset_interval(self.quota_ms, self.quota_sz, goals, ms=self.quota_reset_interval_ms),
                weights=Weights(age_permil=1),
                goals=tuple(goals),
                fail_charge_num=1 if sparse else 0,
                fail_charge_denom=HOLES if sparse else 0,
            ),
            watermarks=watermarks(
                WatermarkMetric(self.wmarks_metric),
                self.wmarks_interval,
                self.wmarks_high,
                self.wmarks_mid,
                self.wmarks_low,
            ),
            ops_filters=(Filter(FilterType.ANON, matching=True),) if self.skip_anon else (),
        )
        cold = QuantityBounds(max=NONE)
        return (WantedScheme(scheme, cold, QuantityBounds(min=Quantity(self.min_age, QuantityUnit.US))),)
