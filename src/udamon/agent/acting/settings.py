"""What may be taken out of the services of a class: the table `reclaim` of a class in the agent's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from udamon.configuration.tree import ConfigValue
from udamon.core.idle_time import SECONDS
from udamon.core.scheme import Quota, WatermarkMetric, Watermarks
from udamon.errors import UsageError
from udamon.modules.common import parse_metric, reset_interval, watermarks
from udamon.modules.parameters import parameter, switch, with_table
from udamon.schemes.config.fields import parse_ms, parse_number, parse_permil
from udamon.schemes.config.pattern import parse_bytes
from udamon.schemes.governor import PressureLimits
from udamon.units import parse_share, parse_time_ns, parse_time_us

SHORTEST_S = 120

MEMORY_RECLAIM = "memory.reclaim"
NEEDS_RECLAIM = "Linux 5.19, control groups of version 2 and their memory controller"
"""What a control group has MEMORY_RECLAIM by."""


def _age(text: str) -> int:
    seconds, rest = divmod(parse_time_ns(text), 1_000_000_000)
    if rest or seconds not in SECONDS or seconds < SHORTEST_S:
        raise UsageError(
            f"{text[:48]!r} is none of the ages that are known: 2m, 5m, 10m, 30m, 1h, 2h, 4h or 8h."
        )
    return seconds


@dataclass(frozen=True, slots=True)
class ReclaimSettings:
    """By DAMON_RECLAIM's names where it has the same (modules/reclaim.py). Nothing is done without `apply`. Raises
    UsageError for senseless watermarks, and a quota for no time."""

    apply: bool = switch("take memory out; without, only say what would be")
    min_age: int = parameter(SHORTEST_S, _age, "TIME", "or the service's safe age where that is longer")
    quota_sz: int = parameter(64 << 20, parse_bytes, "SIZE", "of the class, in each reset interval (0: any)")
    quota_ms: int = parameter(1_000, parse_ms, "TIME", "to spend on it in each reset interval (0: any)")
    quota_reset_interval_ms: int = parameter(60_000, parse_ms, "TIME", "the interval that quotas are for")
    max_psi: float = parameter(0.1, parse_share, "SHARE", "stop while some task waits for memory for longer")
    max_major_faults: int = parameter(100, parse_number, "N", "stop while the services have more a second")
    max_refaults: float = parameter(
        0.002,
        parse_share,
        "SHARE",
        "of its working set a minute; back a service off when more of it is refaulted",
    )
    skip_anon: bool = switch("leave anonymous memory alone (Linux 6.10)")
    wmarks_metric: str = parameter("none", parse_metric, "METRIC", "none, or free_mem_rate")
    wmarks_interval: int = parameter(
        5_000_000, parse_time_us, "TIME", "how often to check free memory while inactive"
    )
    wmarks_high: int = parameter(500, parse_permil, "PERMIL", "be inactive while more is free")
    wmarks_mid: int = parameter(400, parse_permil, "PERMIL", "begin again below it")
    wmarks_low: int = parameter(200, parse_permil, "PERMIL", "be inactive while less is free")

    def __post_init__(self) -> None:
        self.quota()
        self.watermarks()

    def quota(self) -> Quota:
        interval = reset_interval(self.quota_ms, self.quota_sz, ms=self.quota_reset_interval_ms)
        return Quota(self.quota_ms, self.quota_sz, interval)

    def watermarks(self) -> Watermarks:
        metric = WatermarkMetric(self.wmarks_metric)
        return watermarks(metric, self.wmarks_interval, self.wmarks_high, self.wmarks_mid, self.wmarks_low)

    def limits(self) -> PressureLimits:
        return PressureLimits(float(self.max_major_faults), self.max_psi)


def read_reclaim(place: ConfigValue) -> ReclaimSettings:
    """Raises ConfigError with the line."""
    return with_table(ReclaimSettings(), place)
