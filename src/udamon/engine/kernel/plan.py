"""What to write into DAMON's tree for attributes and targets: pure, in the order it must be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from udamon.core.attrs import Attrs
from udamon.linux.damon_tree import CONTEXT, GOAL, INTERVALS, Setting
from udamon.model import Range

_U64_MAX, _U32_MAX = 2**64 - 1, 2**32 - 1


class Entry(NamedTuple):
    """A target as the tree lists it: `pid` is None for physical memory, `ranges` empty for vaddr."""

    pid: int | None
    ranges: Sequence[Range] = ()
    obsolete: bool = False


def context_only() -> Iterator[Setting]:
    """One context, as the kernel makes it."""
    yield "contexts/nr_contexts", "1"


def operations(name: str) -> Iterator[Setting]:
    """Which operations set the context has."""
    yield f"{CONTEXT}/operations", name


def attributes(attrs: Attrs, *, goal: bool) -> Iterator[Setting]:
    """Intervals and numbers of regions; `goal`: the kernel tunes intervals by one, so say which."""
    for name in ("sample_us", "aggr_us", "update_us"):
        yield f"{INTERVALS}/{name}", str(getattr(attrs, name))
    yield f"{CONTEXT}/monitoring_attrs/nr_regions/min", str(attrs.min_nr_regions)
    yield f"{CONTEXT}/monitoring_attrs/nr_regions/max", str(attrs.max_nr_regions)
    if goal:
        for name in ("access_bp", "aggrs", "min_sample_us", "max_sample_us"):
            yield f"{GOAL}/{name}", str(getattr(attrs.goal, name))


def targets(entries: Sequence[Entry]) -> Iterator[Setting]:
    """The list of targets, made anew."""
    yield f"{CONTEXT}/targets/nr_targets", str(len(entries))
    for position, entry in enumerate(entries):
        target = f"{CONTEXT}/targets/{position}"
        if entry.pid is not None:
            yield f"{target}/pid_target", str(entry.pid)
        if entry.obsolete:
            yield f"{target}/obsolete_target", "Y"
        if entry.ranges:
            yield f"{target}/regions/nr_regions", str(len(entry.ranges))
        for number, (start, end) in enumerate(entry.ranges):
            yield f"{target}/regions/{number}/start", str(start)
            yield f"{target}/regions/{number}/end", str(end)


def scheme_of_everything(scheme: str) -> Iterator[Setting]:
    """A scheme that does nothing to all regions: its tried regions are a snapshot. `scheme` is its directory."""
    yield f"{scheme}/action", "stat"
    for name, most in (("sz", _U64_MAX), ("nr_accesses", _U32_MAX), ("age", _U32_MAX)):
        yield f"{scheme}/access_pattern/{name}/min", "0"
        yield f"{scheme}/access_pattern/{name}/max", str(most)
