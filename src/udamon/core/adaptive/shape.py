"""Regions as the rest of udamon knows them, made of steps and ages."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import nlargest
from operator import sub
from typing import TYPE_CHECKING

from udamon.core.adaptive.parameters import Parameters
from udamon.core.adaptive.space import columns_of
from udamon.core.adaptive.steps import Steps
from udamon.core.adaptive.target_model import TargetModel
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
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

    new = [(target, one) for target, one in known if one.shaped != len(target.regions)]
    stay = [target for target, one in known if one.shaped == len(target.regions)]
    made = [cut(one, most) for _, one in new]
    for (_, one), regions in zip(new, made, strict=True):
        one.wanted = len(regions.start)
    total = sum(one.wanted for _, one in known)
    if total > most:
        # What the others have may be from a time at which these wanted less: then there is less until it is their turn.
        room = max(most - sum(len(target.regions) for target in stay), 0)
        wanted = max(sum(one.wanted for _, one in new), 1)
        made = [cut(one, min(most * one.wanted // total, room * one.wanted // wanted)) for _, one in new]
    for target in stay:
        for region in target.regions:
            region.age += 1
    for (target, one), regions in zip(new, made, strict=True):
        target.regions = _objects(regions)
        one.shaped = len(target.regions)


def _cut(
    steps: Steps, attrs: Attrs, now_us: int, most: int, min_region: int, limit: int, parameters: Parameters
) -> Regions:
    """At most `most` regions, unless even without cuts there are more."""
    ranges = steps.space.ranges
    starts, ends = columns_of(ranges)
    age_starts, since = array("Q", steps.ages.starts), array("q", steps.ages.since)
    room = max(most - len(ranges), 0)
    rate = told_rates(
        bounds=steps.bounds, rate=steps.rate, touched=steps.touched, error=steps.doubt, hot=parameters.hot_rate,
        least=parameters.texture_share, errors=parameters.texture_errors,
    )  # fmt: skip
    height = array("d", map(sub, rate[1:], rate))
    while True:
        cuts = _cuts(steps, height, attrs, room, parameters)
        regions = regions_cut(
            range_start=starts, range_end=ends, cuts=cuts, bounds=steps.bounds, rate=rate, touched=steps.touched,
            age_start=age_starts, since=since, limit=limit, granularity=min_region, ticks=attrs.max_nr_accesses,
            aggregation=attrs.aggr_us, latest=now_us - attrs.aggr_us, used=parameters.used_share,
        )  # fmt: skip
        number = len(regions.start)
        # What the limit divides are more than there are cuts.
        if not cuts or number <= most:
            return regions
        room = max(len(cuts) - (number - most), 0)


def _objects(columns: Regions) -> list[Region]:
    regions = list(map(Region, columns.start, columns.end))
    others = zip(columns.count_bp, columns.touched, columns.count, columns.age, strict=True)
    for region, (count_bp, bytes_, count, age) in zip(regions, others, strict=True):
        # What schemes go by: as nr_accesses says it, little is not nothing.
        region.nr_accesses_bp = max(count_bp, count * 10_000)
        region.nr_accesses = count
        region.touched = bytes_
        region.age = age
    return regions


def _cuts(steps: Steps, height: array[float], attrs: Attrs, room: int, parameters: Parameters) -> array[int]:
    """Where regions end: at most `room` places, sorted, those with most bytes at stake by `height` of the steps."""
    ages = steps.ages
    places, stakes = regions_cuts(
        bounds=steps.bounds, state=steps.state, height=height, age_start=array("Q", ages.starts), end=ages.end,
        unseen=0.5 / attrs.max_nr_accesses, level=parameters.cut_level,
        age=parameters.cut_age,
    )  # fmt: skip
    if len(places) <= room:
        return places
    return array("Q", sorted(places[i] for i in nlargest(room, range(len(places)), key=stakes.__getitem__)))
