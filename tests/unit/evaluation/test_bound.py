"""The bound against policies that know all it assumes, on islands placed at random: none of them does better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb, sqrt
from random import Random
from statistics import mean, stdev

import pytest

from udamon.evaluation.bound import Bound, Hidden, Island, best_of_checks, best_of_runs, islands
from udamon.model import PAGE_SIZE, Range
from udamon.workload import shapes
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.pieces import Expected
from udamon.workload.truth import Truth

Spans = list[tuple[int, int]]
"""First pages and ends of islands, sorted."""

Oracle = Callable[[Spans, int, int, Random], float]
"""F1 of a policy on islands in so many pages, after so many checks."""


def hidden(pages: int, checks: int) -> Hidden:
    return Hidden(pages * PAGE_SIZE, pages * PAGE_SIZE, checks, 1.0)


def placed(rng: Random, sizes: Sequence[int], total: int) -> Spans:
    """Every arrangement of disjoint islands in `total` pages is as likely as any other."""
    order = rng.sample(list(sizes), len(sizes))
    free = total - sum(sizes)
    bars = sorted(rng.sample(range(free + len(order)), len(order)))
    found, before = [], 0
    for i, (bar, size) in enumerate(zip(bars, order, strict=True)):
        start = bar - i + before
        found.append((start, start + size))
        before += size
    return found


def f1(both: int, predicted: int, hot: int) -> float:
    return 2 * both / (predicted + hot)


def met(spans: Spans, checked: Sequence[int]) -> int:
    """Pages of the islands that some of the sorted pages lies in."""
    pages, at = 0, 0
    for start, end in spans:
        while at < len(checked) and checked[at] < start:
            at += 1
        pages += end - start if at < len(checked) and checked[at] < end else 0
    return pages


def even(spans: Spans, total: int, checks: int, rng: Random) -> float:
    """A check in the middle of each of equal cells, moved by chance; what was met is known to the page."""
    shift = rng.random()
    found = met(spans, [int((i + shift) * total / checks) for i in range(checks)])
    return f1(found, found, sum(end - start for start, end in spans))


def everything(spans: Spans, total: int, checks: int, rng: Random) -> float:
    hot = sum(end - start for start, end in spans)
    return f1(hot, total, hot)


def row(spans: Spans, total: int, checks: int, rng: Random) -> tuple[int, int, int]:
    """From one end on, in steps that no island fits between: pages met, pages behind, and hot ones there."""
    step = min(end - start for start, end in spans)
    upto = min(total, step * checks)
    found = met(spans, range(step - 1, upto, step))
    return found, total - upto, sum(max(end - max(start, upto), 0) for start, end in spans)


def scan(spans: Spans, total: int, checks: int, rng: Random) -> float:
    found, _, _ = row(spans, total, checks, rng)
    return f1(found, found, sum(end - start for start, end in spans))


def scan_and_guess(spans: Spans, total: int, checks: int, rng: Random) -> float:
    """What it did not come to it takes for hot."""
    found, behind, hot_behind = row(spans, total, checks, rng)
    hot = sum(end - start for start, end in spans)
    return f1(min(found + hot_behind, hot), found + behind, hot)


ORACLES: tuple[Oracle, ...] = (even, everything, scan, scan_and_guess)

FEW_LARGE = {
    "half of it": (1 << 15,),
    "nine tenths": (59_000,),
    "two halves": (16_000, 16_000),
    "large and small": (20_000, 500, 500, 20),
    "half, in many": (327,) * 100,
}
"""Sizes in pages, of 65536."""


def shape(name: str) -> tuple[list[int], int]:
    workload = load(shapes.find(name))
    truth = Truth(workload, place(workload))
    sizes = [island.size // PAGE_SIZE for island in islands(truth.expected(0, 20, 5_000_000))]
    return sizes, sum(r.size for r in truth.resident()) // PAGE_SIZE


CASES = {name: (list(sizes), 1 << 16) for name, sizes in FEW_LARGE.items()}
CASES |= {name: shape(name) for name in shapes.names()}


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", [name for name, (sizes, _) in CASES.items() if sizes])
def test_no_policy_is_above_the_bound(name: str, share: float) -> None:
    """`share` of the checks that would meet nearly all; beyond three standard errors, one in 700 would by chance."""
    sizes, total = CASES[name]
    checks = max(1, round(share * total / max(sizes)))
    bound = best_of_checks([hidden(size, checks) for size in sizes], total * PAGE_SIZE)
    rng = Random(f"{name} {share}")
    draws = [placed(rng, sizes, total) for _ in range(max(30, min(200, 12_000 // len(sizes))))]
    for oracle in ORACLES:
        scores = [oracle(spans, total, checks, rng) for spans in draws]
        assert mean(scores) <= bound + 3 * stdev(scores) / sqrt(len(scores)) + 1e-9, oracle.__name__


@pytest.mark.parametrize(("size", "total", "checks"), [(1, 6, 2), (3, 8, 1), (2, 9, 3), (5, 10, 1)])
def test_of_one_island_the_bound_is_what_the_best_places_have(size: int, total: int, checks: int) -> None:
    """All choices of pages to check, all places of the island, and the best of predicting what was met only, or
    what is left as well, worked out one by one."""
    starts, best = range(total - size + 1), 0.0
    for pages in combinations(range(total), checks):
        hits = sum(any(s <= page < s + size for page in pages) for s in starts)
        missed = [s for s in starts if not any(s <= page < s + size for page in pages)]
        left = {page for s in missed for page in range(s, s + size)}
        guess = f1(size, len(left), size) * len(missed) if missed else 0.0
        best = max(best, (hits + guess) / len(starts))
    bound = best_of_checks([hidden(size, checks)], total * PAGE_SIZE)
    assert best <= bound + 1e-9
    if size == 1:
        # Two of six pages were checked; one of four is guessed, or all of them: 2/6 + 4/6 · 2/5.
        assert best == pytest.approx(2 / 6 + 4 / 6 * 2 / 5)


def test_the_simple_formula_would_be_too_low() -> None:
    """min(1, n s / S), without the room that an island cannot begin in: half of the memory is met by one check."""
    assert even([(300, 1324)], 2048, 1, Random(1)) in (0.0, 1.0)
    assert met([(700, 1724)], [1024]) == 1024, "wherever it lies"
    assert best_of_checks([hidden(1024, 1)], 2048 * PAGE_SIZE) > 0.99


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_best_of_few_runs_is_found(most: int) -> None:
    """Against all predictions of ten pages with so few runs; a page is a bit."""
    tried = [predicted for predicted in range(1, 1 << 10) if _runs_of(predicted) <= most]
    assert len(tried) == sum(comb(11, 2 * runs) for runs in range(1, most + 1)), "where runs begin and end"
    for pattern in range(1, 1 << 10):
        found = [
            Island(i, i + len(run.rstrip("c")), 1.0)
            for i, run in _runs("".join("ch"[pattern >> page & 1] for page in range(10)))
        ]
        hot = pattern.bit_count()
        best = max(f1((pattern & predicted).bit_count(), predicted.bit_count(), hot) for predicted in tried)
        assert best_of_runs(found, most) == pytest.approx(best), f"{pattern:b}"


def _runs_of(pages: int) -> int:
    """Pages that are hot and follow on one that is not."""
    return (pages & ~(pages << 1)).bit_count()


def _runs(text: str) -> list[tuple[int, str]]:
    return [
        (i, text[i : next((k for k in range(i, len(text)) if text[k] == "c"), len(text))])
        for i in range(len(text))
        if text[i] == "h" and (i == 0 or text[i - 1] == "c")
    ]


def test_checks_count_while_an_island_is_there() -> None:
    """It comes back to a place where it was, and so do its checks; one that goes on a bit is no surprise."""
    bound = Bound([Range(0, 1 << 30)], 1, 1000)
    here, there = [Expected(0, 1 << 20, 1.0, 1.0)], [Expected(1 << 25, 1 << 26, 1.0, 1.0)]
    assert [bound.follow(truth, 10).checks for truth in (here, there, here)] == [10, 10, 20]
    grown = bound.follow([Expected(0, 1 << 21, 1.0, 1.0)], 10)
    assert grown.checks == 30
    assert not grown.proved, "where it was tells where it is"
    assert bound.follow([], 10).f1 == 1


def test_rates_near_to_hot_are_hard_in_a_way_that_is_not_counted() -> None:
    bound = Bound([Range(0, 1 << 30)], 1, 1000)
    assert bound.follow([Expected(0, 1 << 20, 0.9, 1.0)], 10).proved
    assert not bound.follow(
        [Expected(0, 1 << 20, 0.9, 1.0), Expected(1 << 20, 1 << 22, 0.45, 1.0)], 10
    ).proved
