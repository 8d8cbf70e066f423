"""The files of a context as a plan would have them, for tests of those who read them."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.control.kinds import Value
from udamon.control.plan import ContextPlan
from udamon.control.tree import TreeDirectory
from udamon.core.attrs import Attrs
from udamon.core.scheme import Scheme
from udamon.core.scheme_fields import SchemeField, of_list, single


def write_plan(context: TreeDirectory, plan: ContextPlan) -> None:
    """Make the files of `context` say `plan`, as far as the kernel of this tree has the files."""
    context.put("operations", plan.operations)
    context.put("pause", plan.pause)
    write_attrs(context, plan.attrs)
    targets = context.at("targets")
    targets.resize(len(plan.targets))
    for directory, target in zip(targets.children(), plan.targets, strict=True):
        directory.put("pid_target", target.pid)
        directory.put("obsolete_target", target.obsolete)
        directory.at("regions").fill([{"start": r.start, "end": r.end} for r in target.ranges])
    schemes = context.at("schemes")
    schemes.resize(len(plan.schemes))
    for directory, scheme in zip(schemes.children(), plan.schemes, strict=True):
        write_scheme(directory, scheme)


def write_attrs(context: TreeDirectory, attrs: Attrs) -> None:
    """Show these attributes in the files of a context."""
    files, goal = context.at("monitoring_attrs"), attrs.goal
    values = {
        "intervals/sample_us": attrs.sample_us,
        "intervals/aggr_us": attrs.aggr_us,
        "intervals/update_us": attrs.update_us,
        "nr_regions/min": attrs.min_nr_regions,
        "nr_regions/max": attrs.max_nr_regions,
        "intervals/intervals_goal/access_bp": goal.access_bp,
        "intervals/intervals_goal/aggrs": goal.aggrs,
        "intervals/intervals_goal/min_sample_us": goal.min_sample_us,
        "intervals/intervals_goal/max_sample_us": goal.max_sample_us,
    }
    for path, value in values.items():
        files.put(path, value)


def write_scheme(files: TreeDirectory, scheme: Scheme) -> None:
    """Make the files say `scheme`, as far as the kernel of this tree has them."""
    for field in single():
        files.put(field.path, _stored(field, scheme))
    split = "core_filters" in files.shape.directories
    groups = (
        {"core_filters": scheme.core_filters, "ops_filters": scheme.ops_filters, "filters": ()}
        if split
        else {"filters": (*scheme.core_filters, *scheme.ops_filters)}
    )
    for directory, filters in groups.items():
        _fill(files, directory, "filters", filters)
    _fill(files, "quotas/goals", "quotas/goals", scheme.quotas.goals)
    _fill(files, "dests", "dests", scheme.dests)


def _fill(files: TreeDirectory, directory: str, path: str, items: Sequence[object]) -> None:
    """Make so many numbered directories, where this tree has them."""
    above, _, name = directory.rpartition("/")
    if name in (files.at(above) if above else files).shape.directories:
        fields = of_list(path)
        files.at(directory).fill([{field.file: _stored(field, item) for field in fields} for item in items])


def _stored(field: SchemeField, item: object) -> Value:
    value: Value = field.of(item)
    return str(value) if isinstance(value, str) else value
