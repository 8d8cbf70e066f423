"""What the files of one context ask for, in udamon's own values; and those values back as files.

The same Attrs and Scheme that the Python interface and the command line make: nothing of the tree's own way to
say things goes further down than this.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from udamon.control.kinds import refused
from udamon.control.scheme_files import read_scheme
from udamon.control.tree import TreeDirectory
from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.core.scheme import Scheme
from udamon.errors import AttrsError
from udamon.model import Range

CgroupExists = Callable[[str], bool]
"""Whether a path below the cgroup mount names a cgroup."""


@dataclass(frozen=True, slots=True)
class PlannedTarget:
    """A target as its files say; `pid` is of no account with paddr."""

    pid: int = 0
    ranges: tuple[Range, ...] = ()
    obsolete: bool = False


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """One context."""

    operations: str = "vaddr"
    attrs: Attrs = Attrs()  # noqa: RUF009 (immutable)
    targets: tuple[PlannedTarget, ...] = ()
    schemes: tuple[Scheme, ...] = ()
    pause: bool = False


def read_plan(context: TreeDirectory, cgroup_exists: CgroupExists) -> ContextPlan:
    """What the files of `context` ask for.

    Raises OSError as the kernel answers `on` and `commit`: EINVAL for attributes and targets, ENOMEM for a scheme.
    Probes are EINVAL as well, and for paddr an addr_unit other than 1: it is for machines that count physical memory
    in another unit than bytes. The others take no notice of it, as in the kernel.
    """
    operations = str(context["operations"])
    if operations == "paddr" and context.get("addr_unit", 1) != 1:
        raise refused(errno.EINVAL, "physical memory is counted in bytes here; write 1 to addr_unit.")
    if _probes(context):
        raise refused(errno.EINVAL, "probes are not made here; write 0 to monitoring_attrs/probes/nr_probes.")
    attrs = read_attrs(context)
    targets = tuple(_read_target(target) for target in context.at("targets").children())
    if operations == "paddr" and len(targets) > 1:
        raise refused(errno.EINVAL, "physical memory is one target; write 1 to targets/nr_targets.")
    schemes = tuple(read_scheme(scheme, cgroup_exists) for scheme in context.at("schemes").children())
    return ContextPlan(operations, attrs, targets, schemes, bool(context.get("pause", False)))


def read_attrs(context: TreeDirectory) -> Attrs:
    """Raises OSError EINVAL for what DAMON refuses."""
    files = context.at("monitoring_attrs")

    def number(path: str) -> int:
        return int(files.get(path, 0))

    goal = "intervals/intervals_goal"
    try:
        return Attrs(
            number("intervals/sample_us"),
            number("intervals/aggr_us"),
            number("intervals/update_us"),
            number("nr_regions/min"),
            number("nr_regions/max"),
            IntervalsGoal(
                number(f"{goal}/access_bp"),
                number(f"{goal}/aggrs"),
                number(f"{goal}/min_sample_us"),
                number(f"{goal}/max_sample_us"),
            ),
        )
    except AttrsError as error:
        raise refused(errno.EINVAL, str(error)) from error


def _probes(context: TreeDirectory) -> bool:
    try:
        return context.at("monitoring_attrs/probes").count > 0
    except KeyError:
        return False  # that kernel had none


def _read_target(target: TreeDirectory) -> PlannedTarget:
    ranges: list[Range] = []
    for region in target.at("regions").children():
        found = Range(int(region["start"]), int(region["end"]))
        if found.start > found.end or (ranges and ranges[-1].end > found.start):
            raise refused(
                errno.EINVAL,
                f"the region {found.start}-{found.end} ends before it begins, or begins before the one before it ends; "
                "put regions in order.",
            )
        ranges.append(found)
    kept = tuple(
        each for each in ranges if each.size
    )  # the kernel takes an empty one and watches nothing in it
    return PlannedTarget(int(target["pid_target"]), kept, bool(target.get("obsolete_target", False)))
