"""What to write into DAMON's tree for schemes, in the order it must be written, and what to say where a file lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from udamon.core.scheme import (
    CORE_FILTERS,
    U32_MAX,
    Action,
    Bounds,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    Scheme,
)  # fmt: skip
from udamon.linux.damon_tree import CONTEXT, Setting

SCHEMES = f"{CONTEXT}/schemes"

VADDR_ACTIONS = (
    Action.WILLNEED, Action.COLD, Action.PAGEOUT, Action.HUGEPAGE, Action.NOHUGEPAGE, Action.COLLAPSE,
    Action.MIGRATE_HOT, Action.MIGRATE_COLD, Action.STAT,
)  # fmt: skip
PADDR_ACTIONS = (
    Action.PAGEOUT, Action.LRU_PRIO, Action.LRU_DEPRIO, Action.MIGRATE_HOT, Action.MIGRATE_COLD, Action.STAT,
)  # fmt: skip
MIGRATIONS = (Action.MIGRATE_HOT, Action.MIGRATE_COLD)
OWN_METRICS = (GoalMetric.FILE, GoalMetric.COMMAND, GoalMetric.SOCKET, GoalMetric.MEMCG_SOME_MEM_PSI_US)

_LACKS = (
    ("*/apply_interval_us", "apply intervals of schemes", "6.7"),
    ("*/quotas/goals/*/nid", "goals of a NUMA node", "6.16"),
    ("*/quotas/goals/*/path", "goals of a control group", "6.19"),
    ("*/quotas/goals/*", "goals of quotas", "6.8"),
    ("*/quotas/goal_tuner", "choice of goal tuners", "7.1"),
    ("*/quotas/fail_charge_*", "charge for what failed", "7.2"),
    ("*/target_nid", "migration between NUMA nodes", "6.11"),
    ("*/dests/*", "weighted destinations", "6.17"),
    ("*filters/*/allow", "filters that allow", "6.14"),
    ("*filters/*/min", "filters by the size of pages", "6.15"),
    ("*filters/*/max", "filters by the size of pages", "6.15"),
    ("*filters/*", "filters", "6.3"),
    ("*/stats/max_nr_snapshots", "limit on the number of snapshots", "7.0"),
)
_KEYWORDS = {
    "action": "action",
    "type": "filter type",
    "target_metric": "goal metric",
    "goal_tuner": "goal tuner",
}


def lacking(path: str, value: str) -> str:
    """One sentence on a setting that this kernel has no file for."""
    for pattern, what, since in _LACKS:
        if fnmatchcase(path, pattern):
            return (
                f"this kernel's DAMON has no {what}, which Linux {since} and later have; leave that out, or use "
                "--via idle or refs."
            )
    return f"this kernel's DAMON has no setting {path.removeprefix(SCHEMES + '/')} to write {value} to; leave it out."


def refused(path: str, value: str) -> str | None:
    """One sentence on a keyword that this kernel does not know; None for all other settings."""
    what = _KEYWORDS.get(path.rpartition("/")[2])
    if what is None:
        return None
    return f"this kernel's DAMON does not know the {what} {value}; use another one, or --via idle or refs."


def number(count: int) -> Setting:
    """So many schemes, made anew."""
    return f"{SCHEMES}/nr_schemes", str(count)


def scheme(index: int, scheme: Scheme, *, layered: bool) -> Iterator[Setting]:
    """All settings of one scheme. `layered`: this kernel has a directory for each layer of filters (6.15)."""
    at = f"{SCHEMES}/{index}"
    yield f"{at}/action", str(scheme.action)
    yield f"{at}/apply_interval_us", str(scheme.apply_interval_us)
    yield f"{at}/target_nid", str(scheme.target_nid)
    pattern = scheme.access_pattern
    yield from _bounds(f"{at}/access_pattern/sz", pattern.sz)
    for name, bounds in (("nr_accesses", pattern.nr_accesses), ("age", pattern.age)):
        # The kernel would take these modulo 2**32.
        within = Bounds(min(bounds.min, U32_MAX), min(bounds.max, U32_MAX))
        yield from _bounds(f"{at}/access_pattern/{name}", within)
    yield from _quotas(f"{at}/quotas", scheme)
    marks = scheme.watermarks
    yield f"{at}/watermarks/metric", str(marks.metric)
    for name in ("interval_us", "high", "mid", "low"):
        yield f"{at}/watermarks/{name}", str(getattr(marks, name))
    if layered:
        yield from _filters(f"{at}/core_filters", scheme.core_filters)
        yield from _filters(f"{at}/ops_filters", scheme.ops_filters)
    else:
        yield from _filters(f"{at}/filters", (*scheme.core_filters, *scheme.ops_filters))
    yield f"{at}/dests/nr_dests", str(len(scheme.dests))
    for n, destination in enumerate(scheme.dests):
        yield f"{at}/dests/{n}/id", str(destination.id)
        yield f"{at}/dests/{n}/weight", str(destination.weight)
    yield f"{at}/stats/max_nr_snapshots", str(scheme.max_nr_snapshots)


def _bounds(at: str, bounds: Bounds) -> Iterator[Setting]:
    yield f"{at}/min", str(bounds.min)
    yield f"{at}/max", str(bounds.max)


def _quotas(at: str, scheme: Scheme) -> Iterator[Setting]:
    quota = scheme.quotas
    for name in ("ms", "bytes", "reset_interval_ms", "goal_tuner", "fail_charge_num", "fail_charge_denom"):
        yield f"{at}/{name}", str(getattr(quota, name))
    for name in ("sz_permil", "nr_accesses_permil", "age_permil"):
        yield f"{at}/weights/{name}", str(getattr(quota.weights, name))
    yield f"{at}/goals/nr_goals", str(len(quota.goals))
    for n, goal in enumerate(quota.goals):
        yield from _goal(f"{at}/goals/{n}", goal)


def _goal(at: str, goal: Goal) -> Iterator[Setting]:
    yield f"{at}/target_metric", str(goal.target_metric)
    yield f"{at}/target_value", str(goal.target_value)
    yield f"{at}/current_value", str(goal.current_value)
    yield f"{at}/nid", str(goal.nid)
    yield f"{at}/path", goal.path


def _filters(at: str, filters: Sequence[Filter]) -> Iterator[Setting]:
    yield f"{at}/nr_filters", str(len(filters))
    for n, filter in enumerate(filters):
        yield f"{at}/{n}/type", str(filter.type)
        yield f"{at}/{n}/matching", "NY"[filter.matching]
        yield f"{at}/{n}/allow", "NY"[filter.allow]
        if filter.type is FilterType.MEMCG:
            yield f"{at}/{n}/memcg_path", filter.memcg_path
        elif filter.type is FilterType.ADDR:
            yield f"{at}/{n}/addr_start", str(filter.addr.start)
            yield f"{at}/{n}/addr_end", str(filter.addr.end)
        elif filter.type is FilterType.HUGEPAGE_SIZE:
            yield from _bounds(f"{at}/{n}", filter.size)
        elif filter.type is FilterType.TARGET:
            yield f"{at}/{n}/damon_target_idx", str(filter.damon_target_idx)


def impossible(scheme: Scheme, ops: str) -> str | None:
    """What in-kernel DAMON would take and not do, on any kernel; None when there is nothing."""
    if scheme.action not in (PADDR_ACTIONS if ops == "paddr" else VADDR_ACTIONS):
        where = "physical memory" if ops == "paddr" else "processes"
        return f"in-kernel DAMON has no action {scheme.action} for {where}; use another action."
    if ops != "paddr" and scheme.ops_filters and scheme.action not in (*MIGRATIONS, Action.STAT):
        return (
            f"in-kernel DAMON asks filters of pages in processes for migration and stat alone, and not for "
            f"{scheme.action}; leave them out, keep to {' and '.join(CORE_FILTERS)}, or use --via idle or refs."
        )
    for goal in scheme.quotas.goals:
        if goal.target_metric in OWN_METRICS:
            return (
                f"the goal metric {goal.target_metric} is udamon's own, and the kernel cannot read it; feed the number "
                "in as user_input, or use --via idle or refs."
            )
        if goal.target_metric is GoalMetric.NODE_ELIGIBLE_MEM_BP and ops != "paddr":
            return "the goal metric node_eligible_mem_bp is one of physical memory; use it with --paddr."
    return None
