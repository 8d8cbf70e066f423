"""One scheme between its files and udamon's value (docs/damon.md#scheme-fields, #sysfs)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from udamon.control.kinds import refused, shown
from udamon.control.tree import TreeDirectory
from udamon.core.scheme import U64_MAX, AccessPattern, Bounds, Filter, FilterType, Goal, GoalMetric, Scheme
from udamon.core.scheme_fields import SchemeField, made, of_core, of_filter, of_list, single
from udamon.errors import UsageError

MATCHES_NOTHING = AccessPattern(sz=Bounds(U64_MAX, U64_MAX))
"""What an inverted pair of bounds means to the kernel, which takes it: no region is that big."""
_MEMCG_METRICS = (GoalMetric.NODE_MEMCG_USED_BP, GoalMetric.NODE_MEMCG_FREE_BP)


def read_scheme(files: TreeDirectory, cgroup_exists: Callable[[str], bool]) -> Scheme:
    """Raises OSError ENOMEM for a scheme that is no good, as the kernel does."""
    filters = list(_read_filters(files, cgroup_exists))
    values = _values(files, single())
    values |= {
        "quotas.goals": read_goals(files, cgroup_exists),
        "dests": tuple(_made("dests", dest) for dest in _children(files, "dests")),
        "core_filters": of_core(filters, core=True),
        "ops_filters": of_core(filters, core=False),
    }
    for name in ("sz", "nr_accesses", "age"):
        low, high = f"access_pattern.{name}.min", f"access_pattern.{name}.max"
        if values[low] > values[high]:
            values = {key: value for key, value in values.items() if not key.startswith("access_pattern.")}
            values["access_pattern"] = MATCHES_NOTHING
            break
    try:
        found: Scheme = made("", values)
    except UsageError as error:
        raise refused(errno.ENOMEM, str(error)) from error
    return found


def _values(files: TreeDirectory, fields: Iterable[SchemeField]) -> dict[str, Any]:
    """The fields by their attributes; where the kernel of this tree has no file of one, its default."""
    return {field.name: field.value(files.get(field.file, field.default)) for field in fields}


def _made(path: str, files: TreeDirectory) -> Any:
    return made(path, _values(files, of_list(path)))


def read_goals(files: TreeDirectory, cgroup_exists: Callable[[str], bool]) -> tuple[Goal, ...]:
    """The goals of the scheme at `files`; those without a target value do not count. Raises OSError ENOMEM."""
    goals = []
    for files_of_one in _children(files, "quotas/goals"):
        goal: Goal = _made("quotas/goals", files_of_one)
        if not goal.target_value:
            continue
        if goal.target_metric in _MEMCG_METRICS and not cgroup_exists(goal.path):
            raise refused(errno.ENOMEM, _no_cgroup(goal.path))
        goals.append(goal)
    return tuple(goals)


def _read_filters(files: TreeDirectory, cgroup_exists: Callable[[str], bool]) -> Iterator[Filter]:
    for directory in ("core_filters", "ops_filters", "filters"):
        for each in _children(files, directory):
            yield _read_filter(each, cgroup_exists)


def _read_filter(files: TreeDirectory, cgroup_exists: Callable[[str], bool]) -> Filter:
    """What goes with another type of filter is not read."""
    fields = of_filter(FilterType(str(files["type"])))
    found: Filter = made("filters", _values(files, fields))
    if found.type is FilterType.MEMCG and not cgroup_exists(found.memcg_path):
        raise refused(errno.ENOMEM, _no_cgroup(found.memcg_path))
    if found.addr.start > found.addr.end or found.size.min > found.size.max:
        raise refused(errno.ENOMEM, f"the bounds of a filter {found.type} are inverted; swap them.")
    return found


def _no_cgroup(path: str) -> str:
    return f"there is no control group {shown(path)}; give its path below the mount of control groups."


def _children(files: TreeDirectory, path: str) -> Iterator[TreeDirectory]:
    try:
        return files.at(path).children()
    except KeyError:
        return iter(())  # that kernel had none
