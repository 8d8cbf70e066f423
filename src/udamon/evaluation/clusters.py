"""Whether islands lie as chance would have them, and which of them lie together where they do not.

docs/bound.md#islands-that-lie-together says what for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import sqrt
from typing import NamedTuple

from udamon.model import PAGE_SIZE, Range

TOGETHER = 4.0
"""Standard deviations of the sum of squares of gaps from which on islands do not lie together by chance: that much has
less than one arrangement in a hundred (docs/bound.md#islands-that-lie-together)."""

EVEN = -2.2
"""The same of gaps that are too much alike."""


class Cluster(NamedTuple):
    """Islands first..last - 1; resident pages from the beginning of the first to the end of the last."""

    first: int
    last: int
    pages: int


class Clusters(NamedTuple):
    """`apart` resident pages at least are between two of `found`. `even`: their gaps are more alike than by chance."""

    found: list[Cluster]
    apart: int
    even: bool


def clusters(islands: Sequence[tuple[int, int]], resident: Sequence[Range]) -> Clusters:
    """Islands [start, end), sorted and in `resident` memory, put together until what is left may lie as it does by
    chance: those with gaps below one page, below two, below four, and so on."""
    places = _pages(islands, resident)
    total = sum(r.size for r in resident) // PAGE_SIZE
    apart = 1
    while True:
        found = _joined(places, apart)
        deviation = _deviation(places, found, total, apart) if len(found) > 1 else 0.0
        if deviation <= TOGETHER:
            return Clusters(found, apart, deviation < EVEN)
        apart *= 2


def _pages(islands: Sequence[tuple[int, int]], resident: Sequence[Range]) -> list[tuple[int, int]]:
    """Where they begin and end, counted in resident pages."""
    starts = [r.start for r in resident]
    before = list(accumulate((r.size for r in resident), initial=0))

    def page(address: int) -> int:
        at = bisect_right(starts, address) - 1
        return (before[at] + min(address - starts[at], resident[at].size)) // PAGE_SIZE if at >= 0 else 0

    return [(page(start), page(end)) for start, end in islands]


def _joined(places: Sequence[tuple[int, int]], apart: int) -> list[Cluster]:
    """Those with gaps below `apart` as one."""
    firsts = [k for k in range(len(places)) if k == 0 or places[k][0] - places[k - 1][1] >= apart]
    return [
        Cluster(first, last, places[last - 1][1] - places[first][0])
        for first, last in pairwise([*firsts, len(places)])
    ]


def _deviation(places: Sequence[tuple[int, int]], found: Sequence[Cluster], total: int, apart: int) -> float:
    """By how many standard deviations the squares of the gaps are larger together than by chance."""
    inner = [places[b.first][0] - places[a.last - 1][1] - apart for a, b in pairwise(found)]
    gaps = [places[0][0], *inner, max(total - places[-1][1], 0)]
    number, free = len(gaps), sum(gaps)
    mean = free / number
    if mean <= 0:
        return 0.0
    # Of all ways to divide so many pages: E Σ g(g - 1) = 2 n(n - 1) / (k + 1), and for large k its variance.
    expected = 2 * free * (free - 1) / (number + 1)
    return (sum(gap * (gap - 1) for gap in gaps) - expected) / (2 * sqrt(number) * mean * (mean + 1))
