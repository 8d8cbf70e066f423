"""Regions as the rest of udamon knows them, made of steps and ages."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import nlargest

from udamon.core.adaptive.likelihood import NOTHING
from udamon.core.adaptive.steps import Steps
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.model import Range
from udamon.native._native import regions_cut


def regions_of(
    steps: Steps, ranges: Sequence[Range], attrs: Attrs, now_us: int, min_region: int, limit: int
) -> list[Region]:
    """At most max_nr_regions regions of at most `limit` bytes that cover `ranges`, cut where rates or ages differ."""
    columns = regions_cut(
        (
            array("Q", [r.start for r in ranges]),
            array("Q", [r.end for r in ranges]),
            array("Q", _cuts(steps, attrs, max(attrs.max_nr_regions - len(ranges), 1))),
            steps.bounds,
            steps.rate,
            steps.touched,
            array("Q", steps.ages.starts),
            array("q", steps.ages.since),
        ),
        limit,
        min_region,
        attrs.max_nr_accesses,
    )
    *unsigned, begun = columns
    starts, ends, counts, touched = (array("Q", column) for column in unsigned)
    regions = list(map(Region, starts, ends))
    latest, aggregation = now_us - attrs.aggr_us, attrs.aggr_us
    for region, count_bp, bytes_, since in zip(regions, counts, touched, array("q", begun), strict=True):
        region.nr_accesses_bp = count_bp
        # Rounded down, so that hot is what is accessed in half of the ticks or more; but little is not nothing.
        region.nr_accesses = count_bp // 10_000 if count_bp >= 10_000 else int(count_bp >= 5_000)
        region.touched = bytes_
        if since < latest:
            region.age = (latest - since) // aggregation
    return regions


def _cuts(steps: Steps, attrs: Attrs, room: int) -> list[int]:
    """Where regions end: at most `room` places, sorted, those with most bytes at stake."""
    places = steps.bounds[1:-1]
    ages = steps.ages
    if NOTHING not in steps.state:
        all_of_them = {*places, *ages.starts[1:]}
        if len(all_of_them) <= room:
            return sorted(all_of_them)
    stakes: dict[int, float] = {}
    bounds, state = steps.bounds, steps.state
    seen = 0.5 / attrs.max_nr_accesses
    for k, (place, height) in enumerate(zip(places, steps.height, strict=True)):
        # Beside a hole, what is not accessed needs no region of its own.
        if -seen < height < seen and (state[k] == NOTHING or state[k + 1] == NOTHING):
            continue
        smaller = min(place - bounds[k], bounds[k + 2] - place)
        stakes[place] = smaller * (abs(height) + 0.02)
    ends = [*ages.starts[1:], ages.end]
    for i, place in enumerate(ages.starts[1:]):
        stakes.setdefault(place, 0.01 * min(place - ages.starts[i], ends[i + 1] - place))
    return sorted(stakes if len(stakes) <= room else nlargest(room, stakes, key=stakes.__getitem__))
