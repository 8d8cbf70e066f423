"""One scheme between its files and udamon's value (docs/damon.md#scheme-fields, #sysfs)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from udamon.control.kinds import refused
from udamon.control.tree import Directory
from udamon.core.scheme import (
    CORE_FILTERS,
    U32_MAX,
    U64_MAX,
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Filter,
    FilterType,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.errors import UsageError
from udamon.model import Range

MATCHES_NOTHING = AccessPattern(sz=Bounds(U64_MAX, U64_MAX))
"""What an inverted pair of bounds means to the kernel, which takes it: no region is that big."""
_MEMCG_METRICS = (GoalMetric.NODE_MEMCG_USED_BP, GoalMetric.NODE_MEMCG_FREE_BP)


def read_scheme(files: Directory, cgroup_exists: Callable[[str], bool]) -> Scheme:
    """Raises OSError ENOMEM for a scheme that is no good, as the kernel does."""
    filters = list(_read_filters(files, cgroup_exists))
    try:
        return Scheme(
            access_pattern=_read_pattern(files),
            action=Action(str(files["action"])),
            apply_interval_us=int(files.get("apply_interval_us", 0)),
            quotas=_read_quota(files, cgroup_exists),
            watermarks=Watermarks(
                WatermarkMetric(str(files["watermarks/metric"])),
                *(int(files[f"watermarks/{name}"]) for name in ("interval_us", "high", "mid", "low")),
            ),
            target_nid=int(files.get("target_nid", -1)),
            dests=tuple(
                Destination(int(dest["id"]), int(dest["weight"])) for dest in _children(files, "dests")
            ),
            core_filters=tuple(each for each in filters if each.type in CORE_FILTERS),
            ops_filters=tuple(each for each in filters if each.type not in CORE_FILTERS),
            max_nr_snapshots=int(files.get("stats/max_nr_snapshots", 0)),
        )
    except UsageError as error:
        raise refused(errno.ENOMEM) from error


def read_goals(files: Directory, cgroup_exists: Callable[[str], bool]) -> tuple[Goal, ...]:
    """The goals of the scheme at `files`; those without a target value do not count. Raises OSError ENOMEM."""
    goals = []
    for goal in _children(files, "quotas/goals"):
        value = int(goal["target_value"])
        if not value:
            continue
        metric = GoalMetric(str(goal.get("target_metric", GoalMetric.USER_INPUT.value)))
        path = str(goal.get("path", "")).removesuffix("\n")
        if metric in _MEMCG_METRICS and not cgroup_exists(path):
            raise refused(errno.ENOMEM)
        goals.append(Goal(metric, value, int(goal["current_value"]), int(goal.get("nid", 0)), path))
    return tuple(goals)


def _read_quota(files: Directory, cgroup_exists: Callable[[str], bool]) -> Quota:
    quota = files.at("quotas")
    weights = (int(quota[f"weights/{name}_permil"]) for name in ("sz", "nr_accesses", "age"))
    return Quota(
        ms=int(quota["ms"]),
        bytes=int(quota["bytes"]),
        reset_interval_ms=int(quota["reset_interval_ms"]),
        weights=Weights(*weights),
        goals=read_goals(files, cgroup_exists),
        goal_tuner=GoalTuner(str(quota.get("goal_tuner", GoalTuner.CONSIST.value))),
        fail_charge_num=int(quota.get("fail_charge_num", 0)),
        fail_charge_denom=int(quota.get("fail_charge_denom", 0)),
    )


def _read_pattern(files: Directory) -> AccessPattern:
    def bounds(name: str, mask: int) -> Bounds:
        low, high = (int(files[f"access_pattern/{name}/{end}"]) for end in ("min", "max"))
        return Bounds(low & mask, high & mask)

    pattern = AccessPattern(bounds("sz", U64_MAX), bounds("nr_accesses", U32_MAX), bounds("age", U32_MAX))
    ordered = all(each.min <= each.max for each in (pattern.sz, pattern.nr_accesses, pattern.age))
    return pattern if ordered else MATCHES_NOTHING


def _read_filters(files: Directory, cgroup_exists: Callable[[str], bool]) -> Iterator[Filter]:
    for directory in ("core_filters", "ops_filters", "filters"):
        for each in _children(files, directory):
            yield _read_filter(each, cgroup_exists)


def _read_filter(files: Directory, cgroup_exists: Callable[[str], bool]) -> Filter:
    type_ = FilterType(str(files["type"]))
    common = (type_, bool(files["matching"]), bool(files.get("allow", False)))
    if type_ is FilterType.MEMCG:
        path = str(files["memcg_path"]).removesuffix("\n")
        if not cgroup_exists(path):
            raise refused(errno.ENOMEM)
        return Filter(*common, memcg_path=path)
    if type_ is FilterType.ADDR:
        addr = Range(int(files["addr_start"]), int(files["addr_end"]))
        if addr.start > addr.end:
            raise refused(errno.ENOMEM)
        return Filter(*common, addr=addr)
    if type_ is FilterType.HUGEPAGE_SIZE:
        size = Bounds(int(files["min"]), int(files["max"]))
        if size.min > size.max:
            raise refused(errno.ENOMEM)
        return Filter(*common, size=size)
    if type_ is FilterType.TARGET:
        return Filter(*common, damon_target_idx=int(files["damon_target_idx"]))
    return Filter(*common)


def write_scheme(files: Directory, scheme: Scheme) -> None:
    """Make the files say `scheme`, as far as the kernel of this tree has them."""
    files.put("action", scheme.action.value)
    files.put("apply_interval_us", scheme.apply_interval_us)
    files.put("target_nid", scheme.target_nid)
    files.put("stats/max_nr_snapshots", scheme.max_nr_snapshots)
    pattern = scheme.access_pattern
    for name, bounds in (("sz", pattern.sz), ("nr_accesses", pattern.nr_accesses), ("age", pattern.age)):
        files.put(f"access_pattern/{name}/min", bounds.min)
        files.put(f"access_pattern/{name}/max", bounds.max)
    _write_quota(files, scheme.quotas)
    watermarks = scheme.watermarks
    files.put("watermarks/metric", watermarks.metric.value)
    for name in ("interval_us", "high", "mid", "low"):
        files.put(f"watermarks/{name}", getattr(watermarks, name))
    split = "core_filters" in files.shape.directories
    groups = (
        {"core_filters": scheme.core_filters, "ops_filters": scheme.ops_filters, "filters": ()}
        if split
        else {"filters": (*scheme.core_filters, *scheme.ops_filters)}
    )
    for directory, filters in groups.items():
        if directory in files.shape.directories:
            files.at(directory).fill([_filter_values(each) for each in filters])
    if "dests" in files.shape.directories:
        files.at("dests").fill([{"id": dest.id, "weight": dest.weight} for dest in scheme.dests])


def _write_quota(files: Directory, quota: Quota) -> None:
    values = {
        "ms": quota.ms,
        "bytes": quota.bytes,
        "reset_interval_ms": quota.reset_interval_ms,
        "goal_tuner": quota.goal_tuner.value,
        "fail_charge_num": quota.fail_charge_num,
        "fail_charge_denom": quota.fail_charge_denom,
        "weights/sz_permil": quota.weights.sz_permil,
        "weights/nr_accesses_permil": quota.weights.nr_accesses_permil,
        "weights/age_permil": quota.weights.age_permil,
    }
    for path, value in values.items():
        files.put(f"quotas/{path}", value)
    if "goals" in files.at("quotas").shape.directories:
        goals = (
            {
                "target_metric": goal.target_metric.value,
                "target_value": goal.target_value,
                "current_value": goal.current_value,
                "nid": goal.nid,
                "path": goal.path,
            }
            for goal in quota.goals
        )
        files.at("quotas/goals").fill(list(goals))


def _filter_values(filter: Filter) -> dict[str, int | bool | str]:
    return {
        "type": filter.type.value,
        "matching": filter.matching,
        "allow": filter.allow,
        "memcg_path": filter.memcg_path,
        "addr_start": filter.addr.start,
        "addr_end": filter.addr.end,
        "min": filter.size.min,
        "max": filter.size.max,
        "damon_target_idx": filter.damon_target_idx,
    }


def _children(files: Directory, path: str) -> Iterator[Directory]:
    try:
        return files.at(path).children()
    except KeyError:
        return iter(())  # that kernel had none
