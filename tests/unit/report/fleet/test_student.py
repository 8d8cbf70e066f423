"""Student's t against printed tables, and Benjamini and Hochberg's own example."""

from __future__ import annotations

import math
from random import Random
from statistics import stdev

import pytest

from udamon.report.fleet.student import adjusted, digamma, moderated, quantile, trigamma, two_sided


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (120, 1.980), (10**6, 1.960)],
)
def test_as_in_tables(freedom: int, t: float) -> None:
    """Two-sided 5 % (any book of tables)."""
    assert quantile(0.95, freedom) == pytest.approx(t, abs=6e-4)
    assert two_sided(t, freedom) == pytest.approx(0.05, abs=5e-5)
    assert two_sided(-t, freedom) == two_sided(t, freedom)


def test_far_out_is_small_and_not_0() -> None:
    assert 0 < two_sided(40, 30) < 1e-20
    assert two_sided(0, 4) == 1


def test_the_example_of_the_paper() -> None:
    """15 tests, four of which are found at a rate of 5 %."""
    chances = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
               0.6528, 0.7590, 1.0]  # fmt: skip
    found = adjusted(chances)
    assert [q <= 0.05 for q in found] == [True] * 4 + [False] * 11
    assert found[3] == pytest.approx(0.0095 * 15 / 4)
    assert adjusted(chances[::-1]) == found[::-1]
    assert adjusted([]) == []


def test_special_values() -> None:
    """Euler's constant and pi^2 / 6 (DLMF 5.4.12, 5.15.2), and the recurrences."""
    assert digamma(1) == pytest.approx(-0.5772156649015329, abs=1e-9)
    assert trigamma(1) == pytest.approx(math.pi**2 / 6, abs=1e-9)
    assert digamma(0.5) == pytest.approx(digamma(1) - 2 * math.log(2), abs=1e-9)
    assert trigamma(0.5) == pytest.approx(math.pi**2 / 2, abs=1e-9)


def test_spreads_that_differ_by_chance_alone_become_one() -> None:
    """Of 400 samples of 5 values with a deviation of 3."""
    random = Random(2)
    spreads = [stdev([random.gauss(0, 3) for _ in range(5)]) for _ in range(400)]
    found = moderated(spreads, [4] * 400)
    assert all(spread == pytest.approx(3, rel=0.1) for spread, _ in found)
    assert min(freedom for _, freedom in found) > 40


def test_spreads_that_truly_differ_stay_apart() -> None:
    random = Random(3)
    true = [0.01, 1.0, 100.0] * 50
    spreads = [stdev([random.gauss(0, size) for _ in range(30)]) for size in true]
    for (spread, freedom), plain in zip(moderated(spreads, [29] * 150), spreads, strict=True):
        assert spread == pytest.approx(plain, rel=0.3)  # others are ten thousand times as large
        assert 29 < freedom < 31
    assert moderated([2.0], [4]) == [(2.0, 4.0)]
