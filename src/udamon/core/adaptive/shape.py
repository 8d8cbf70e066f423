"""Regions as the rest of udamon knows them, made of steps and ages."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import nlargest

from udamon.core.adaptive.likelihood import NOTHING
from udamon.core.adaptive.space import columns_of
from udamon.core.adaptive.steps import Steps
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.target import Target
from udamon.native._native import regions_cut, regions_cuts

Columns = tuple[bytes, bytes, bytes, bytes, bytes, bytes]

USED = 0.05
"""The share of a region's bytes that are touched in an aggregation from which on it counts as accessed, however
seldom each page is: schemes take what is not accessed away."""


def shape(
    known: Sequence[tuple[Target, Steps]], attrs: Attrs, now_us: int, min_region: int, limit: int
) -> None:
    """Make the regions of all targets, of at most `limit` bytes, cut where rates or ages differ: together at most
    max_nr_regions, unless their ranges and the limit take more."""
    most = attrs.max_nr_regions
    cut = [_cut(steps, attrs, now_us, most, min_region, limit) for _, steps in known]
    total = sum(map(_number, cut))
    if total > most:
        shares = (most * _number(columns) // total for columns in cut)
        cut = [
            _cut(steps, attrs, now_us, n, min_region, limit)
            for (_, steps), n in zip(known, shares, strict=True)
        ]
    for (target, _), columns in zip(known, cut, strict=True):
        target.regions = _regions(columns)


def _number(columns: Columns) -> int:
    return len(columns[0]) // 8


def _cut(steps: Steps, attrs: Attrs, now_us: int, most: int, min_region: int, limit: int) -> Columns:
    """At most `most` regions, unless even without cuts there are more."""
    ranges = steps.space.ranges
    starts, ends = columns_of(ranges)
    age_starts, since = array("Q", steps.ages.starts), array("q", steps.ages.since)
    room = max(most - len(ranges), 0)
    while True:
        cuts = _cuts(steps, attrs, room)
        columns = regions_cut(
            (starts, ends, cuts, steps.bounds, steps.rate, steps.touched, age_starts, since),
            limit,
            min_region,
            attrs.max_nr_accesses,
            now_us - attrs.aggr_us,
            attrs.aggr_us,
            USED,
        )
        # What the limit divides are more than there are cuts.
        if not cuts or _number(columns) <= most:
            return columns
        room = max(len(cuts) - (_number(columns) - most), 0)


def _regions(columns: Columns) -> list[Region]:
    starts, ends, counts_bp, touched, counts, ages = (array("Q", column) for column in columns)
    regions = list(map(Region, starts, ends))
    for region, count_bp, bytes_, count, age in zip(regions, counts_bp, touched, counts, ages, strict=True):
        # What schemes go by: as nr_accesses says it, little is not nothing.
        region.nr_accesses_bp = max(count_bp, count * 10_000)
        region.nr_accesses = count
        region.touched = bytes_
        region.age = age
    return regions


def _cuts(steps: Steps, attrs: Attrs, room: int) -> array[int]:
    """Where regions end: at most `room` places, sorted, those with most bytes at stake."""
    ages = steps.ages
    columns = (steps.bounds, steps.state, steps.height, array("Q", ages.starts))
    found, at_stake = regions_cuts(columns, ages.end, NOTHING, 0.5 / attrs.max_nr_accesses, 0.02, 0.01)
    places = array("Q", found)
    if len(places) <= room:
        return places
    stakes = array("d", at_stake)
    return array("Q", sorted(places[i] for i in nlargest(room, range(len(places)), key=stakes.__getitem__)))
