"""Bytes from samples: without bias, with intervals that hold what they say."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from udamon.sites.estimate import bytes_of, weight

MEAN = 512 << 10
KIB, MIB = 1 << 10, 1 << 20


def sampled(sizes: list[int], dice: Random) -> Iterator[tuple[int, int, int]]:
    """What native/sites/sampling.c does: points on the bytes, with exponential gaps."""
    left = dice.expovariate(1 / MEAN)
    for size in sizes:
        if size < left:
            left -= size
        else:
            yield size, size, MEAN
            left = dice.expovariate(1 / MEAN)


@pytest.mark.parametrize(
    "sizes",
    [
        [64] * 16_384, [4 * KIB] * 1024, [4 * KIB] * 4096, [128 * KIB] * 16, [256 * KIB] * 64, [512 * KIB] * 4,
        [MIB] * 4, [2 * MIB] * 3, [MIB], [8 * MIB] * 2, [64, 4096, 65_536, 300_000, MIB] * 12,
    ],
    ids=lambda sizes: f"{len(sizes)} of {sizes[0]}",
)  # fmt: skip
def test_coverage(sizes: list[int]) -> None:
    """In at least 93 % of 200 runs in which the site was seen at all, the interval has the truth."""
    dice, truth = Random(17), sum(sizes)
    runs: list[bool] = []
    while len(runs) < 200:
        if samples := list(sampled(sizes, dice)):
            found = bytes_of(samples)
            assert found.low <= found.estimate <= found.high
            runs.append(found.low <= truth <= found.high)
    assert sum(runs) >= 186


def test_without_bias() -> None:
    dice, sizes = Random(5), [64, 4096, 65_536, 300_000, MIB] * 12
    found = [bytes_of(sampled(sizes, dice)).estimate for _ in range(400)]
    assert sum(found) / 400 == pytest.approx(sum(sizes), rel=0.03)


def test_large_objects_are_known() -> None:
    """A 32 MiB object is sampled but for once in e^64: nothing about it is uncertain."""
    found = bytes_of([(32 * MIB, 32 * MIB, MEAN)])
    assert found == (32 * MIB, 32 * MIB, 32 * MIB)
    of_four = bytes_of([(4 * MIB, 4 * MIB, MEAN)])
    assert of_four.high < 1.1 * 4 * MIB


def test_equal_small_samples_have_garwoods_interval() -> None:
    """Ten samples of one byte: 10 counts of a Poisson variable, whose exact interval is 4.795 to 18.39."""
    found = bytes_of([(1, 1, MEAN)] * 10)
    assert found.estimate / weight(1, MEAN) == pytest.approx(10)
    assert found.low / weight(1, MEAN) == pytest.approx(4.795, rel=1e-3)
    assert found.high / weight(1, MEAN) == pytest.approx(18.39, rel=1e-3)


def test_192_mib_of_small_objects_are_known_within_a_tenth() -> None:
    """384 samples: the interval is ± 10 %."""
    found = bytes_of([(64, 64, MEAN)] * 384)
    assert 0.89 < found.low / found.estimate < 0.91
    assert 1.09 < found.high / found.estimate < 1.11
