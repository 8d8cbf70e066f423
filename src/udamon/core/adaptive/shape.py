"""Regions as the rest of udamon knows them, made of steps and ages."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from udamon.core.adaptive.ages import Ages
from udamon.core.adaptive.steps import Steps
from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.model import Range

ALIKE = 0.1
"""Neighbours whose ages differ by this share of the older one's become one."""


def regions_of(
    steps: Steps, ranges: Sequence[Range], attrs: Attrs, now_us: int, min_region: int, limit: int
) -> list[Region]:
    """At most max_nr_regions regions of at most `limit` bytes that cover `ranges`, cut where rates or ages differ."""
    steps.ages.forget_differences(now_us, ALIKE, attrs.aggr_us)
    cuts = _cuts(steps, attrs, max(attrs.max_nr_regions - len(ranges), 1))
    regions: list[Region] = []
    ticks, aggregation = attrs.max_nr_accesses, attrs.aggr_us
    bounds, rates, shares = steps.bounds, steps.rate, steps.touched
    ages = steps.ages
    ends, sinces = [*ages.starts[1:], ages.end], ages.since
    k = a = 0
    last, last_age = len(rates) - 1, len(ends) - 1
    for start, end in _between(ranges, cuts, min_region, limit):
        while k < last and bounds[k + 1] <= start:
            k += 1
        while a < last_age and ends[a] <= start:
            a += 1
        size = end - start
        rate, touched = rates[k], shares[k] * size
        if bounds[k + 1] < end:  # several segments
            inside = bounds[k + 1] - start
            rate, touched = rate * inside, shares[k] * inside
            while bounds[k + 1] < end:
                k += 1
                part = min(bounds[k + 1], end) - bounds[k]
                rate += rates[k] * part
                touched += shares[k] * part
            rate /= size
        region = Region(start, end)
        exact = rate * ticks
        region.touched = int(touched)
        region.nr_accesses_bp = int(exact * 10_000)
        # Rounded down, so that hot is what is accessed in half of the ticks or more; but little is not nothing.
        region.nr_accesses = int(exact) or int(exact >= 0.5)
        since = sinces[a]
        region.age = (now_us - since) // aggregation - 1 if since + aggregation < now_us else 0
        regions.append(region)
    return regions


def _cuts(steps: Steps, attrs: Attrs, room: int) -> list[int]:
    """Where regions end: at most `room` places, sorted, those with most bytes at stake."""
    places = steps.bounds[1:-1]
    ages: Ages = steps.ages
    holes = 255 in steps.state
    if not holes and len(places) + len(ages.starts) <= room:
        return sorted({*places, *ages.starts[1:]})
    stakes: dict[int, float] = {}
    bounds = steps.bounds
    seen = 0.5 / attrs.max_nr_accesses
    for k, (place, height) in enumerate(zip(places, steps.height, strict=True)):
        # Beside a hole, what is not accessed needs no region of its own.
        if (steps.hole(k) or steps.hole(k + 1)) and abs(height) < seen:
            continue
        smaller = min(place - bounds[k], bounds[k + 2] - place)
        stakes[place] = smaller * (abs(height) + 0.02)
    ends = [*ages.starts[1:], ages.end]
    for i, place in enumerate(ages.starts[1:]):
        stakes.setdefault(place, 0.01 * min(place - ages.starts[i], ends[i + 1] - place))
    return sorted(stakes if len(stakes) <= room else nlargest(room, stakes, key=stakes.__getitem__))


def _between(ranges: Sequence[Range], cuts: list[int], min_region: int, limit: int) -> list[tuple[int, int]]:
    """`ranges` cut at `cuts` and wherever a piece would be larger than `limit`."""
    pieces = []
    at = 0
    for start, end in ranges:
        begin = start
        while at < len(cuts) and cuts[at] <= start:
            at += 1
        while begin < end:
            place = end
            if at < len(cuts) and cuts[at] < end:
                place = cuts[at] - cuts[at] % min_region
                at += 1
            while place - begin > limit:
                pieces.append((begin, begin + limit))
                begin += limit
            if place > begin:
                pieces.append((begin, place))
                begin = place
    return pieces
