"""What to write into DAMON's tree for schemes, in the order it must be written, and what to say where a file lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from udamon.core.scheme import CORE_FILTERS, Action, Filter, GoalMetric, Scheme
from udamon.core.scheme_fields import (
    LISTS,
    METRICS,
    MIGRATIONS,
    of_filter,
    of_list,
    single,
    what_lacks,
)
from udamon.linux.damon_tree import CONTEXT, Setting

SCHEMES = f"{CONTEXT}/schemes"

VADDR_ACTIONS = (
    Action.WILLNEED, Action.COLD, Action.PAGEOUT, Action.HUGEPAGE, Action.NOHUGEPAGE, Action.COLLAPSE,
    Action.MIGRATE_HOT, Action.MIGRATE_COLD, Action.STAT,
)  # fmt: skip
PADDR_ACTIONS = (
    Action.PAGEOUT, Action.LRU_PRIO, Action.LRU_DEPRIO, Action.MIGRATE_HOT, Action.MIGRATE_COLD, Action.STAT,
)  # fmt: skip
OWN_METRICS = tuple(metric for metric in GoalMetric if metric not in METRICS)
"""What the kernel cannot read."""

_KEYWORDS = {
    "action": "action",
    "type": "filter type",
    "target_metric": "goal metric",
    "goal_tuner": "goal tuner",
}


def lacking(path: str, value: str) -> str:
    """One sentence on a setting that this kernel has no file for."""
    found = what_lacks("/".join(path.removeprefix(SCHEMES + "/").split("/")[1:]))
    if found is not None:
        what, (major, minor) = found
        return (
            f"this kernel's DAMON has no {what}, which Linux {major}.{minor} and later have; leave that out, or use "
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
    for field in single():
        yield f"{at}/{field.path}", field.text(scheme)
    yield from _list(f"{at}/quotas/goals", "quotas/goals", scheme.quotas.goals)
    if layered:
        yield from _list(f"{at}/core_filters", "filters", scheme.core_filters)
        yield from _list(f"{at}/ops_filters", "filters", scheme.ops_filters)
    else:
        yield from _list(f"{at}/filters", "filters", (*scheme.core_filters, *scheme.ops_filters))
    yield from _list(f"{at}/dests", "dests", scheme.dests)


def _list(at: str, path: str, items: Sequence[object]) -> Iterator[Setting]:
    (one,) = (known for known in LISTS if known.path == path)
    yield f"{at}/{one.count}", str(len(items))
    for n, item in enumerate(items):
        for field in of_filter(item.type) if isinstance(item, Filter) else of_list(path):
            yield f"{at}/{n}/{field.file}", field.text(item)


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
