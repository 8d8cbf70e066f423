"""The most that the F1 of any policy can be expected to be, after so many checks and with so many regions.

docs/bound.md derives what is here and says what it assumes: that a policy knows everything but the places of islands,
and of those that lie together everything but where all of them are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise
from math import exp, inf, lgamma, sqrt
from typing import NamedTuple

from udamon.evaluation.clusters import Clusters, clusters
from udamon.evaluation.score import HOT
from udamon.model import PAGE_SIZE, Range
from udamon.workload.pieces import Expected

NEAR = 0.1
"""Rates that differ from HOT by less take many checks to be told hot or not, of which the bound knows nothing."""

FEW = 0.05
"""A share of the hot bytes that does not matter."""

GIVEN = (1.0, 0.9, 0.7, 0.5)
"""Islands that are met with such a chance may be counted as met; which is best is tried."""

PLACES = 512
"""Shares of the hot bytes at which the envelope is computed."""


class Island(NamedTuple):
    """Bytes [start, end) that are hot, with cold ones on both sides; a page of it is accessed at all in an
    aggregation with `chance`."""

    start: int
    end: int
    chance: float

    @property
    def size(self) -> int:
        return self.end - self.start


class Bounded(NamedTuple):
    """`f1`: the expected F1 is at most that. `checks`: so many could have met the newest island.
    `proved`: there is nothing that makes finding harder or easier and that the bound does not count."""

    f1: float
    checks: int
    proved: bool


class Hidden(NamedTuple):
    """Bytes of an island, or of one and all up to another that lie together, and how many of them are hot; checks that
    could meet it, and the chance that one of its pages answers."""

    size: int
    hot: int
    checks: int
    chance: float


@dataclass(slots=True)
class _Seen:
    """An island while it is there: `checks` that could have met it so far."""

    island: Island
    checks: int = 0


class Bound:
    """Follows the truth of one aggregation after the other."""

    def __init__(self, resident: Sequence[Range], ranges: int, most_regions: int) -> None:
        """`resident` memory in `ranges` mappings, of which at most `most_regions` regions are made."""
        self._resident = resident
        # Each mapping takes a region, and every other region of it may be hot.
        self._runs = max(most_regions - ranges, 0) // 2 + ranges
        self._last: Sequence[Expected] | None = None
        self._known: dict[tuple[int, int], _Seen] = {}
        self._here: list[_Seen] = []
        self._clusters = Clusters([], 1, even=False)
        self._of_regions = 1.0
        self._alone = True  # nothing else is accessed
        self._plain = True  # see Bounded.proved

    @property
    def islands(self) -> list[Island]:
        """Those of the last aggregation."""
        return [seen.island for seen in self._here]

    def follow(self, truth: Sequence[Expected], checks: int) -> Bounded:
        """An aggregation with this truth, in which `checks` checks could be made, has ended."""
        if truth is not self._last:
            self._last = truth
            self._change(truth)
        for seen in self._here:
            seen.checks += checks
        return self._bounded()

    def _change(self, truth: Sequence[Expected]) -> None:
        found = islands(truth)
        before, moved = {(seen.island.start, seen.island.end): seen for seen in self._here}, 0
        older = sorted(before.values(), key=lambda seen: seen.island.start)
        here, at = [], 0
        for island in found:
            key = island.start, island.end
            if key not in self._known:
                while at < len(older) and older[at].island.end <= island.start:
                    at += 1
                # What it overlaps tells where it is: it begins with what was known of that.
                checks = 0
                for seen in older[at:]:
                    if seen.island.start >= island.end:
                        break
                    checks = max(checks, seen.checks)
                    moved += min(seen.island.end, island.end) - max(seen.island.start, island.start)
                self._known[key] = _Seen(island, checks)
            here.append(self._known[key])
        self._here = here
        hot = sum(island.size for island in found)
        near = sum(e.end - e.start for e in truth if abs(e.mean - HOT) < NEAR)
        self._alone = all(e.mean >= HOT for e in truth)
        self._clusters = clusters([island[:2] for island in found], self._resident)
        self._plain = near <= FEW * hot and 2 * moved < max(hot, 1) and not self._clusters.even
        self._of_regions = best_of_runs(found, self._runs)

    def _bounded(self) -> Bounded:
        if not self._here:
            return Bounded(1.0, 0, self._plain)
        found = [
            _hidden(self._here[one.first : one.last], one.pages, alone=self._alone)
            for one in self._clusters.found
        ]
        checks = min(seen.checks for seen in self._here)
        total = sum(r.size for r in self._resident)
        bound = min(best_of_checks(found, total, self._clusters.apart), self._of_regions)
        return Bounded(bound, checks, self._plain)


def _hidden(seen: Sequence[_Seen], pages: int, *, alone: bool) -> Hidden:
    """Islands that lie together within `pages` resident pages: whoever meets one knows all. Not all may be resident."""
    hot = sum(one.island.size for one in seen)
    return Hidden(
        max(pages * PAGE_SIZE, hot),
        hot,
        max(one.checks for one in seen),
        max(one.island.chance for one in seen) if alone else 1.0,
    )


def islands(truth: Sequence[Expected]) -> list[Island]:
    """The runs of hot bytes of an aggregation."""
    found: list[Island] = []
    for start, end, mean, touched in truth:
        if mean < HOT:
            continue
        if found and found[-1].end == start:
            last = found.pop()
            start, touched = last.start, max(last.chance, touched)
        found.append(Island(start, end, touched))
    return found


def best_of_checks(found: Sequence[Hidden], total: int, apart: int = 0) -> float:
    """The bound by what is hidden in `total` bytes, at least `apart` pages between one and the next:
    docs/bound.md#islands."""
    pages = [max(one.size // PAGE_SIZE, 1) for one in found]
    hot_pages = [max(one.hot // PAGE_SIZE, 1) for one in found]
    hot, number, all_pages = sum(hot_pages), len(pages), max(total // PAGE_SIZE, sum(pages))
    free = max(all_pages - sum(pages) - apart * (number - 1), 0)
    weight = {size: _place_weight(size, free, number) for size in set(pages)}
    met = [
        min(1.0, one.checks * one.chance * size * weight[size])
        for size, one in zip(pages, found, strict=True)
    ]
    best = 1.0
    for given in GIVEN:
        share, density = 0.0, 0.0
        for size, inside, chance in zip(pages, hot_pages, met, strict=True):
            few = _few_places(size, weight[size], number)
            known = min(1.0, few * chance) >= given
            share += inside * (1.0 if known else chance) / hot
            density += 0.0 if known else inside * weight[size] * few / (1 - few * chance)
        best = min(best, _envelope(min(share, 1.0), max(min(density, 1.0), hot / all_pages)))
    return best


def _place_weight(size: int, free: int, number: int) -> float:
    """The mean of one by the number of places that an island of `size` pages can have, where those of the others are
    known: `number` islands in all, and `free` pages that are in none."""
    # (N+s+m-1)! N! / ((N+s)! (N+m)!), docs/bound.md#islands
    logs = (
        lgamma(free + size + number) - lgamma(free + size + 1) + lgamma(free + 1) - lgamma(free + number + 1)
    )
    return exp(min(logs, 0.0))


def _few_places(size: int, weight: float, number: int) -> float:
    """By what the number of places may be smaller than the mean, but for a chance of e⁻³²."""
    deviation = 4 * size * sqrt(number) * weight if number > 1 else 0.0
    return 1 / (1 - deviation) if deviation < 1 else inf


def _envelope(share: float, density: float) -> float:
    """At `share`, the least concave function above what can be had when a share of the hot bytes was met: that
    alone, or with all places where the others may be."""
    points: list[tuple[float, float]] = []
    for i in range(PLACES + 1):
        x = i / PLACES
        points.append((x, max(2 * x / (1 + x), 2 / (1 + x + (1 - x) / density))))
    hull: list[tuple[float, float]] = []
    for point in points:
        while len(hull) > 1 and _below(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    plain = 2 * share / (1 + share)  # between two points a line lies below this curve
    for (x0, y0), (x1, y1) in pairwise(hull):
        if x0 <= share <= x1:
            return max(plain, y0 + (y1 - y0) * (share - x0) / (x1 - x0))
    return 1.0


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """`b` lies on or below the line from `a` to `c`."""
    return (b[1] - a[1]) * (c[0] - a[0]) <= (c[1] - a[1]) * (b[0] - a[0])


def best_of_runs(found: Sequence[Island], most: int) -> float:
    """The largest F1 of a prediction that has at most `most` runs, of places that are known.

    docs/bound.md#regions.
    """
    if len(found) <= most:
        return 1.0
    hot = sum(island.size for island in found)
    bound = 0.0
    while True:
        both, predicted = _best_runs(found, most, bound)
        better = 2 * both / (predicted + hot)
        if better <= bound + 1e-9:
            return better
        bound = better


def _best_runs(found: Sequence[Island], most: int, worth: float) -> tuple[int, int]:
    """Hot bytes and all bytes of at most `most` runs with the largest sum of 2 a hot byte less `worth` a byte.

    Runs and the gaps between them alternate. Too many are joined over, or given up, where that costs least.
    """
    sizes = [found[0].size]
    for one, following in pairwise(found):
        sizes += [following.start - one.end, following.size]
    hot = [size if i % 2 == 0 else 0 for i, size in enumerate(sizes)]
    value = [2 * h - worth * size for h, size in zip(hot, sizes, strict=True)]
    left, right = list(range(-1, len(sizes) - 1)), list(range(1, len(sizes) + 1))
    gone = [False] * len(sizes)
    heap = [(abs(v), i, abs(v)) for i, v in enumerate(value)]
    heapify(heap)
    runs = len(found)
    while runs > most:
        _, i, stamp = heappop(heap)
        if gone[i] or stamp != abs(value[i]):
            continue
        a, b = left[i], right[i]
        if value[i] < 0 and not (a >= 0 and b < len(sizes)):
            continue  # a gap at the border joins nothing
        for other in (a, b):
            if 0 <= other < len(sizes):
                gone[other] = True
                value[i] += value[other]
                hot[i] += hot[other]
                sizes[i] += sizes[other]
        left[i] = left[a] if a >= 0 else -1
        right[i] = right[b] if b < len(sizes) else len(sizes)
        if left[i] >= 0:
            right[left[i]] = i
        if right[i] < len(sizes):
            left[right[i]] = i
        heappush(heap, (abs(value[i]), i, abs(value[i])))
        runs -= 1
    kept = [i for i, v in enumerate(value) if not gone[i] and v > 0]
    return sum(hot[i] for i in kept), sum(sizes[i] for i in kept)
