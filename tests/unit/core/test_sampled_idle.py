"""Bounds of idle memory of samples while it is watched: those that a recording of the same windows has."""

from __future__ import annotations

from array import array
from dataclasses import replace
from math import exp, sqrt
from operator import mul
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_estimates import sampled, shot
from tests.unit.snapshots import MS
from udamon.core import sampled_idle
from udamon.core.sampled_idle import SampledIdle, most_of
from udamon.model import Snapshot
from udamon.report import sampled as report
from udamon.report.source import RecordingSource


@pytest.mark.parametrize(("hits", "most"), [(0, 3.689), (1, 5.572), (5, 11.668), (10, 18.390), (50, 65.919)])
def test_the_mean_of_a_poisson_number_at_most(hits: int, most: float) -> None:
    """Garwood 1936, up to half a percent."""
    assert most_of(hits, hits, 1) == pytest.approx(most, rel=0.006)
    assert most_of(hits * 7, hits * 49, 7) == pytest.approx(7 * most, rel=0.006)


@pytest.mark.parametrize("mean", [0.01, 0.3, 2, 20])
def test_a_sum_of_weighted_poisson_numbers_at_most(mean: float) -> None:
    """Of 4000 draws of sums with weights from 1 to 64, and means as different, the limit is below the truth in no more
    than 2.5 of 100, but for chance."""
    random, below = Random(str(mean)), 0
    for _ in range(4000):
        weights = [2 ** random.uniform(0, 6) for _ in range(5)]
        means = [mean * 2 ** random.uniform(-3, 3) for _ in weights]
        hits = [poisson(random, one) for one in means]
        found = most_of(
            sum(map(mul, weights, hits)),
            sum(w * w * k for w, k in zip(weights, hits, strict=True)),
            max(weights),
        )
        below += found < sum(map(mul, weights, means))
    assert below <= 100 + 2.6 * sqrt(100)


def poisson(random: Random, mean: float) -> int:
    """By the product of uniform numbers (Knuth, The Art of Computer Programming 2, 3.4.1)."""
    number, left = 0, random.random()
    while left > exp(-mean):
        number, left = number + 1, left * random.random()
    return number


def windows(random: Random, count: int) -> list[Snapshot]:
    """With and without bounds, checks, accesses, and times without a look; amounts and ages at random."""
    found, late = [], 0
    for seq in range(count):
        late += random.choice((0, 0, 0, 0, 0, 0, 5, 50)) * MS
        touched = random.choice((0.0, random.random(), 1.0)) * 4
        low, high = random.choice(((0.0, 8.0), (touched / 2, touched + 1), (touched, touched), (None, None)))
        checks = random.choice((None, 0, 10, 100, 1000))
        made = shot(seq, touched, low, high)
        found.append(
            replace(
                made, begin_ns=made.begin_ns + late, end_ns=made.end_ns + late,
                nr_accesses=array("I", [random.choice((0, 20)), random.choice((0, 0, 0, 1))]),
                ages=array("I", [random.randint(0, seq + 1), random.randint(0, 2 * seq + 1)]),
                idle_checks=checks,
                idle_hits=None if checks is None else random.choice((0, 0, 0, min(checks, 3))),
                idle_bytes=None if checks is None else random.choice((0, 8, 6, 2)) << 20,
                idle_mixed=None if checks is None else random.choice((0, 0, 1)) << 20,
            )
        )  # fmt: skip
    return found


def test_it_is_as_the_query_has_it(tmp_path: Path) -> None:
    random, kinds = Random(11), set()
    for number in range(40):
        path, idle = tmp_path / str(number), SampledIdle()
        shots = windows(random, random.randint(1, 12))
        recording = sampled(path, shots)
        for one in shots:
            idle.window(one)
        with RecordingSource(recording) as source:
            for age_ms in (50, 100, 250, 400, 700):
                spans = report.spans(source, age_ms * MS)
                ((_, _, low, high),) = source.query(report.LAST.format(spans=spans))
                assert idle.bounds(age_ms * MS) == pytest.approx((low, high)), (number, age_ms)
                kinds.add((low > 0, high < 8 << 20))
    assert len(kinds) >= 3, "bounds that tell something, and others"


def test_windows_that_are_taken_together_leave_less_that_is_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(3)
    monkeypatch.setattr(sampled_idle, "MOST_WINDOWS", 8)
    for _ in range(20):
        few, every = SampledIdle(), SampledIdle()
        shots = windows(random, 60)
        for one in shots:
            few.window(one)
        with monkeypatch.context() as patched:
            patched.setattr(sampled_idle, "MOST_WINDOWS", 10**6)
            for one in shots:
                every.window(one)
        assert len(few._windows) <= 8
        for age_ms in (100, 500, 2000, 5000):
            assert few.bounds(age_ms * MS)[0] <= every.bounds(age_ms * MS)[0] + 1e-6
            assert few.watched_ns == every.watched_ns
