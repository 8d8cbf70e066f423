"""Regions as the rest of udamon knows them, made of steps and ages."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.space import columns_of
from udamon.core.adaptive.steps import Steps
from udamon.core.adaptive.target_model import TargetModel
from udamon.core.attrs import Attrs
from udamon.core.regions import RegionColumns
from udamon.core.sampled_idle import IDLE_SHARE
from udamon.core.target import Target
from udamon.native._native import regions_cut, regions_cuts, told_rates

if TYPE_CHECKING:
    from udamon.native._native import Regions


def shape(
    known: Sequence[tuple[Target, TargetModel]],
    attrs: Attrs,
    now_us: int,
    min_region: int,
    limit: int,
    parameters: Parameters,
) -> None:
    """Make the regions of all targets, of at most `limit` bytes, cut where rates or ages differ: together at most
    max_nr_regions, unless their ranges and the limit take more. Of a target of which nothing is new they grow older."""
    most = attrs.max_nr_regions

    def cut(one: TargetModel, room: int) -> Regions:
        return _cut(one.steps, attrs, now_us, room, min_region, limit, parameters)

    new = [(target, one) for target, one in known if one.shaped != target.nr_regions]
    stay = [target for target, one in known if one.shaped == target.nr_regions]
    made = [cut(one, most) for _, one in new]
    for (_, one), regions in zip(new, made, strict=True):
        one.wanted = len(regions.start)
    total = sum(one.wanted for _, one in known)
    if total > most:
        # What the others have may be from a time at which these wanted less: then there is less until it is their turn.
        room = max(most - sum(target.nr_regions for target in stay), 0)
        wanted = max(sum(one.wanted for _, one in new), 1)
        made = [cut(one, min(most * one.wanted // total, room * one.wanted // wanted)) for _, one in new]
    for target in stay:
        target.columns = target.columns.older()
    for (target, one), regions in zip(new, made, strict=True):
        target.columns = RegionColumns(
            regions.start, regions.end, regions.count, regions.age, regions.touched, regions.count_bp
        )
        one.shaped, one.idle_mixed = target.nr_regions, regions.idle_mixed


def _cut(
    steps: Steps, attrs: Attrs, now_us: int, most: int, min_region: int, limit: int, parameters: Parameters
) -> Regions:
    """At most `most` regions, unless even without cuts there are more."""
    ranges = steps.space.ranges
    starts, ends = columns_of(ranges)
    room = max(most - len(ranges), 0)
    told = told_rates(
        bounds=steps.bounds, rate=steps.rate, touched=steps.touched, error=steps.doubt, hot=parameters.hot_rate,
        least=parameters.texture_share, errors=parameters.texture_errors,
    )  # fmt: skip
    while True:
        cuts = _cuts(steps, told.height, attrs, room, parameters)
        regions = regions_cut(
            range_start=starts, range_end=ends, cuts=cuts, bounds=steps.bounds, state=steps.state, rate=told.rate,
            touched=steps.touched, age_start=steps.ages.starts, since=steps.ages.since, limit=limit,
            granularity=min_region, ticks=attrs.max_nr_accesses, aggregation=attrs.aggr_us,
            latest=now_us - attrs.aggr_us, used=parameters.used_share, idle=IDLE_SHARE,
        )  # fmt: skip
        number = len(regions.start)
        # What the limit divides are more than there are cuts.
        if not cuts or number <= most:
            return regions
        room = max(len(cuts) - (number - most), 0)


def _cuts(steps: Steps, height: array[float], attrs: Attrs, room: int, parameters: Parameters) -> array[int]:
    """Where regions end: at most `room` places, sorted, those with most bytes at stake by `height` of the steps."""
    return regions_cuts(
        bounds=steps.bounds, state=steps.state, height=height, age_start=steps.ages.starts, end=steps.ages.end,
        unseen=0.5 / attrs.max_nr_accesses, level=parameters.cut_level, age=parameters.cut_age, room=room,
    ).place  # fmt: skip
