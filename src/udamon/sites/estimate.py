"""From samples to bytes: each stands for 1 / (its chance) allocations of its size, and chance has an interval.

The interval is Fay and Feuer's for weighted sums of Poisson counts ("Confidence intervals for directly standardized
rates: a method based on the gamma distribution", Statistics in Medicine 16, 1997): of a number of equal samples it is
the exact one of Garwood (1936). A sampled allocation of n bytes counts for sure, and only what it stands for beyond is
uncertain; so of large ones, which are sampled nearly always, hardly anything is.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, expm1, fsum, lgamma, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

SURE = 0.95
_MANY = 2000


class Bytes(NamedTuple):
    """An estimate of bytes with its interval of 95 %."""

    estimate: float
    low: float
    high: float


def chance(requested: int, mean: int) -> float:
    """The chance that an allocation of `requested` bytes is sampled."""
    return -expm1(-requested / mean)


def weight(requested: int, mean: int) -> float:
    """How many allocations a sampled one stands for, on average."""
    return 1 / chance(requested, mean)


def bytes_of(samples: Iterable[tuple[int, int, int]]) -> Bytes:
    """The bytes that samples (size, requested, mean) stand for."""
    tail = (1 - SURE) / 2
    known, parts, variance, missing = 0.0, [], [], []
    for size, requested, mean in samples:
        p = chance(requested, mean)
        known += size
        parts.append(size / p)
        variance.append((size / p) ** 2 * (1 - p))
        missing.append((size / p, (1 - p) / p))
    total, spread = fsum(parts), fsum(variance)
    if spread <= (total * 1e-9) ** 2:
        return Bytes(total, total, total)
    # The method adds one more of the largest weight to the upper end: here, of those that may well have been missed.
    most = expected = 0.0
    for one, number in sorted(missing, reverse=True):
        most, expected = one, expected + number
        if expected >= tail:
            break
    else:
        most *= expected
    low = spread / (2 * total) * _chi2(tail, 2 * total**2 / spread)
    beyond, wider = total + most, spread + most**2
    high = wider / (2 * beyond) * _chi2(1 - tail, 2 * beyond**2 / wider)
    return Bytes(total, max(low, known), max(high, total))


def _chi2(share: float, freedom: float) -> float:
    """The quantile `share` of chi-square with `freedom` degrees of freedom.

    By bisection; of many degrees by Wilson and Hilferty's cube (1931), which is within 1e-6 there.
    """
    if freedom > _MANY:
        part = 2 / (9 * freedom)
        root: float = 1 - part + NormalDist().inv_cdf(share) * sqrt(part)
        return freedom * root * root * root
    shape = freedom / 2
    low, high = 0.0, shape + 12 * sqrt(shape) + 40
    for _ in range(80):
        middle = (low + high) / 2
        if _gamma_below(shape, middle) < share:
            low = middle
        else:
            high = middle
    return low + high


def _gamma_below(shape: float, x: float) -> float:
    """The regularised lower incomplete gamma function (Abramowitz and Stegun 6.5.29 and 6.5.31)."""
    if x <= 0:
        return 0.0
    scale = exp(shape * log(x) - x - lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        at = shape
        while term > total * 1e-12:
            at += 1
            term *= x / at
            total += term
        return total * scale
    # Lentz's way to evaluate the continued fraction.
    b = x + 1 - shape
    c, d = 1e300, 1 / b
    found = d
    for i in range(1, 10_000):
        a = -i * (i - shape)
        b += 2
        d = 1 / (a * d + b or 1e-300)
        c = b + a / c or 1e-300
        found *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return 1 - scale * found
