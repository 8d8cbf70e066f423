"""Islands that lie together: that they are told from those that lie as chance has them, and what the bound is then."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from random import Random
from statistics import mean, stdev

import pytest

from tests.unit.evaluation.test_bound import Spans, f1, hidden, placed
from udamon.evaluation.bound import Bound, Bounded, best_of_checks
from udamon.evaluation.clusters import Cluster, clusters
from udamon.model import PAGE_SIZE, Range
from udamon.workload.pieces import Expected

TOTAL = 1 << 16


def in_bytes(spans: Spans) -> list[tuple[int, int]]:
    return [(start * PAGE_SIZE, end * PAGE_SIZE) for start, end in spans]


def runs(spans: Spans) -> Spans:
    """Those that touch are one."""
    found: Spans = []
    for start, end in spans:
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


@pytest.mark.parametrize(
    "sizes",
    [[1] * 3, [5] * 12, [40, 2] * 40, [1] * 400, [1] * (TOTAL // 3)],
    ids=lambda sizes: f"{len(sizes)}",
)
def test_what_lies_as_by_chance_is_left_alone(sizes: Sequence[int]) -> None:
    """But for one arrangement in a hundred, on either side: of 300, 8 or more would by chance once in a hundred."""
    rng, draws = Random(1), 300 if len(sizes) < 1000 else 20
    found = [
        clusters(in_bytes(runs(placed(rng, sizes, TOTAL))), [Range(0, TOTAL * PAGE_SIZE)])
        for _ in range(draws)
    ]
    assert sum(one.apart > 1 for one in found) < 8
    assert sum(one.even for one in found) < 8


def comb(start: int, pages: int, hot: int, period: int) -> Spans:
    return [(at, at + hot) for at in range(start, start + pages - period + 1, period)]


def test_islands_with_small_gaps_are_one_and_others_are_not() -> None:
    areas = [3000, 20_000, 24_000, 50_000]
    spans = [span for start in areas for span in comb(start, 640, 4, 16)]
    found = clusters(in_bytes(spans), [Range(0, TOTAL * PAGE_SIZE)])
    assert found.found == [Cluster(40 * k, 40 * k + 40, 640 - 12) for k in range(4)]
    assert (found.apart, found.even) == (16, False)


def test_gaps_are_of_resident_pages() -> None:
    """Far apart in the addresses, side by side in memory."""
    resident = [Range(k << 40, (k << 40) + 64 * PAGE_SIZE) for k in range(100)]
    ends = [(k << 40, (k << 40) + PAGE_SIZE) for k in range(40, 48)]
    begins = [
        ((k << 40) - (1 << 40) + 63 * PAGE_SIZE, (k << 40) - (1 << 40) + 64 * PAGE_SIZE)
        for k in range(40, 48)
    ]
    found = clusters(sorted(ends + begins), resident)
    assert sum(one.last - one.first for one in found.found) == 16
    assert all(one.pages <= 64 * 8 + 2 for one in found.found)
    assert len(found.found) < 16


def test_even_gaps_are_no_chance_and_the_bound_says_so() -> None:
    spans = comb(5, TOTAL - 5, 16, 32)
    assert clusters(in_bytes(spans), [Range(0, TOTAL * PAGE_SIZE)]).even
    assert not bounded(spans, 100).proved


def test_without_islands_there_is_nothing_to_put_together() -> None:
    assert clusters([], [Range(0, PAGE_SIZE)]).found == []


def bounded(spans: Spans, checks: int) -> Bounded:
    truth = [Expected(start, end, 1.0, 1.0) for start, end in in_bytes(spans)]
    truth.append(Expected(TOTAL * PAGE_SIZE, TOTAL * PAGE_SIZE, 0.1, 1.0))  # others are accessed, too
    return Bound([Range(0, TOTAL * PAGE_SIZE)], 1, 1 << 20).follow(truth, checks)


SHAPES = {
    "combs": ([640] * 5, 4, 16),
    "a comb": ([3000], 4, 16),
    "stripes": ([3000], 16, 32),
    "large and small": ([6000, 300, 300, 300], 2, 8),
    "half of it": ([TOTAL // 2], 8, 16),
}
"""Pages of areas, and how many pages are hot in so many of them."""


@pytest.mark.parametrize("checks", [2, 20, 100])
@pytest.mark.parametrize("name", SHAPES)
def test_no_policy_that_knows_how_they_lie_together_is_above_the_bound(name: str, checks: int) -> None:
    """A check that comes to an area shows all of it; what is predicted then are its hot pages, or all of its pages, or
    all that is behind; or all memory."""
    sizes, hot, period = SHAPES[name]
    rng = Random(f"{name} {checks}")
    gains: dict[str, list[float]] = {}
    for _ in range(60):
        areas = placed(rng, sizes, TOTAL)
        spans = [span for start, end in areas for span in comb(start, end - start, hot, period)]
        bound = bounded(spans, checks)
        assert bound.proved
        for oracle, score in scores(areas, spans, checks, rng).items():
            gains.setdefault(oracle, []).append(score - bound.f1)
    for oracle, each in gains.items():
        assert mean(each) <= 3 * stdev(each) / sqrt(len(each)) + 1e-9, oracle


def scores(areas: Spans, spans: Spans, checks: int, rng: Random) -> dict[str, float]:
    shift = rng.random()
    checked = [int((i + shift) * TOTAL / checks) for i in range(checks)]
    known = [(start, end) for start, end in areas if any(start <= page < end for page in checked)]
    all_hot = sum(end - start for start, end in spans)
    found = sum(end - start for start, end in spans if any(a <= start < b for a, b in known))
    whole = sum(end - start for start, end in known)
    step = min(end - start for start, end in areas)
    upto = min(step * checks, TOTAL)
    behind = sum(max(end - max(start, upto), 0) for start, end in spans)
    met = sum(end - start for start, end in spans if any(a <= start < b and a < upto for a, b in areas))
    return {
        "hot pages": f1(found, found, all_hot),
        "whole areas": f1(found, whole, all_hot),
        "all memory": f1(all_hot, TOTAL, all_hot),
        "from one end": f1(met, met, all_hot),
        "from one end, and the rest": f1(min(met + behind, all_hot), met + TOTAL - upto, all_hot),
    }


def test_the_bound_of_islands_far_from_each_other_would_be_too_low() -> None:
    """What the test above is for: it would fail there."""
    rng, above = Random(2), 0
    for _ in range(20):
        areas = placed(rng, [640] * 5, TOTAL)
        spans = [span for start, end in areas for span in comb(start, end - start, 4, 16)]
        apart = best_of_checks([hidden(end - start, 100) for start, end in spans], TOTAL * PAGE_SIZE)
        above += scores(areas, spans, 100, rng)["hot pages"] > apart
    assert above > 15
