"""An operation scheme (DAMOS): which memory, what to do about it, how much, when, and what to leave alone.

The names are those of DAMON's control files (docs/damon.md#scheme-fields, #sysfs); schemes/ decides by
them, ops/ acts, and in-kernel DAMON takes them as they are. Everything here is a value: nothing changes once
it was made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from udamon.errors import UsageError
from udamon.model import Range

U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


class Action(StrEnum):
    """What is done to a region (docs/damon.md#actions)."""

    WILLNEED = "willneed"
    COLD = "cold"
    PAGEOUT = "pageout"
    HUGEPAGE = "hugepage"
    NOHUGEPAGE = "nohugepage"
    COLLAPSE = "collapse"
    LRU_PRIO = "lru_prio"
    LRU_DEPRIO = "lru_deprio"
    MIGRATE_HOT = "migrate_hot"
    MIGRATE_COLD = "migrate_cold"
    STAT = "stat"


class GoalMetric(StrEnum):
    """What a quota's goal looks at (docs/damon.md#goals); the last four are udamon's own."""

    USER_INPUT = "user_input"
    SOME_MEM_PSI_US = "some_mem_psi_us"
    NODE_MEM_USED_BP = "node_mem_used_bp"
    NODE_MEM_FREE_BP = "node_mem_free_bp"
    NODE_MEMCG_USED_BP = "node_memcg_used_bp"
    NODE_MEMCG_FREE_BP = "node_memcg_free_bp"
    ACTIVE_MEM_BP = "active_mem_bp"
    INACTIVE_MEM_BP = "inactive_mem_bp"
    NODE_ELIGIBLE_MEM_BP = "node_eligible_mem_bp"
    MEMCG_SOME_MEM_PSI_US = "memcg_some_mem_psi_us"
    """Growth of one cgroup's "some" memory stall time, µs (`path`)."""
    FILE = "file"
    """The number that the file at `path` holds."""
    COMMAND = "command"
    """The number that the command in `path` printed last."""
    SOCKET = "socket"
    """The number that was sent last to the Unix datagram socket at `path`, which udamon makes."""


class GoalTuner(StrEnum):
    """How a quota follows its goals (docs/damon.md#goals)."""

    CONSIST = "consist"
    TEMPORAL = "temporal"


class WatermarkMetric(StrEnum):
    """What watermarks look at (docs/damon.md#watermarks)."""

    NONE = "none"
    FREE_MEM_RATE = "free_mem_rate"


class FilterType(StrEnum):
    """What a filter tests (docs/damon.md#filters): the first two on regions, in the core; the others on
    pages, in ops."""

    ADDR = "addr"
    TARGET = "target"
    ANON = "anon"
    ACTIVE = "active"
    MEMCG = "memcg"
    YOUNG = "young"
    HUGEPAGE_SIZE = "hugepage_size"
    UNMAPPED = "unmapped"


CORE_FILTERS = (FilterType.ADDR, FilterType.TARGET)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A closed interval of numbers."""

    min: int = 0
    max: int = 0

    def __contains__(self, value: int) -> bool:
        return self.min <= value <= self.max


ANY_SIZE = Bounds(0, U64_MAX)
ANY_COUNT = Bounds(0, U32_MAX)


@dataclass(frozen=True, slots=True)
class AccessPattern:
    """Sizes in bytes, nr_accesses in samples of an aggregation, ages in aggregations; all closed."""

    sz: Bounds = Bounds()
    nr_accesses: Bounds = Bounds()
    age: Bounds = Bounds()

    @classmethod
    def all(cls) -> AccessPattern:
        return cls(ANY_SIZE, ANY_COUNT, ANY_COUNT)


@dataclass(frozen=True, slots=True)
class Goal:
    """`current_value` is used with user_input; `nid` and `path` where the metric is a node's, cgroup's or file's."""

    target_metric: GoalMetric = GoalMetric.USER_INPUT
    target_value: int = 0
    current_value: int = 0
    nid: int = 0
    path: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of size, access rate and age in a region's priority; only their proportions count."""

    sz_permil: int = 0
    nr_accesses_permil: int = 0
    age_permil: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `ms` of time and `bytes` in each `reset_interval_ms`, 0 for no limit; goals tune it
    (docs/damon.md#quotas)."""

    ms: int = 0
    bytes: int = 0
    reset_interval_ms: int = 0
    weights: Weights = Weights()
    goals: tuple[Goal, ...] = ()
    goal_tuner: GoalTuner = GoalTuner.CONSIST
    fail_charge_num: int = 0
    fail_charge_denom: int = 0


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Of free_mem_rate in permil; looked at every `interval_us` while inactive (docs/damon.md#watermarks)."""

    metric: WatermarkMetric = WatermarkMetric.NONE
    interval_us: int = 0
    high: int = 0
    mid: int = 0
    low: int = 0


NOWHERE = Range(0, 0)


@dataclass(frozen=True, slots=True)
class Filter:
    """Applies where its type's test equals `matching`; then `allow` decides (docs/damon.md#filters).

    `memcg_path` with memcg (below the cgroup mount), `addr` with addr, `size` (bytes, closed) with hugepage_size,
    `damon_target_idx` with target.
    """

    type: FilterType = FilterType.ANON
    matching: bool = False
    allow: bool = False
    memcg_path: str = ""
    addr: Range = NOWHERE
    size: Bounds = Bounds()
    damon_target_idx: int = 0


@dataclass(frozen=True, slots=True)
class Destination:
    """A NUMA node that memory is migrated to, and its share among the others."""

    id: int = 0
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Scheme:
    """Regions that match `access_pattern` get `action`, every `apply_interval_us` (0: each aggregation)."""

    access_pattern: AccessPattern = AccessPattern()
    action: Action = Action.STAT
    apply_interval_us: int = 0
    quotas: Quota = field(default_factory=Quota)
    watermarks: Watermarks = field(default_factory=Watermarks)
    target_nid: int = -1
    dests: tuple[Destination, ...] = ()
    core_filters: tuple[Filter, ...] = ()
    ops_filters: tuple[Filter, ...] = ()
    max_nr_snapshots: int = 0

    def __post_init__(self) -> None:
        """Raises UsageError for what the kernel would refuse."""
        pattern = self.access_pattern
        for name, bounds in (("sz", pattern.sz), ("nr_accesses", pattern.nr_accesses), ("age", pattern.age)):
            if bounds.min > bounds.max:
                raise UsageError(
                    f"access_pattern.{name}: the minimum {bounds.min} is above the maximum {bounds.max}; swap them."
                )
        for filter in self.core_filters:
            if filter.type not in CORE_FILTERS:
                raise UsageError(f"a filter of type {filter.type} tests pages: put it into ops_filters.")
            if filter.addr.start > filter.addr.end:
                raise UsageError("a filter's addr_start is above its addr_end; swap them.")
        for filter in self.ops_filters:
            if filter.type in CORE_FILTERS:
                raise UsageError(f"a filter of type {filter.type} tests regions: put it into core_filters.")
            if filter.size.min > filter.size.max:
                raise UsageError("a filter's smallest size is above its largest; swap them.")


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """What an operations set is asked to do to a range: the part of a scheme that ops need."""

    action: Action
    page_filters: tuple[Filter, ...] = ()
    target_nid: int = -1
    dests: tuple[Destination, ...] = ()
    pages_allowed_by_default: bool = True
    """What holds for a page that no page filter applies to (docs/damon.md#filters)."""


@dataclass(slots=True)
class SchemeStats:
    """Totals since the scheme was made (docs/damon.md#statistics). `sz_moved`: see acting.base.Applied; None:
    nobody looked yet."""

    nr_tried: int = 0
    sz_tried: int = 0
    nr_applied: int = 0
    sz_applied: int = 0
    sz_ops_filter_passed: int = 0
    qt_exceeds: int = 0
    nr_snapshots: int = 0
    sz_moved: int | None = None


@dataclass(frozen=True, slots=True)
class SchemeStatus:
    """How one scheme is doing: for progress lines and control files. `stats` is a copy.

    `active` and `why`: may it act now, and what keeps it from doing so ("" when nothing does); in-kernel DAMON does
    not tell, and is taken for active. `charged_bytes` of the effective size were used up in this charge window; None
    where that is not told.
    """

    index: int
    scheme: Scheme
    active: bool
    why: str
    effective_bytes: int
    charged_bytes: int | None
    stats: SchemeStats
