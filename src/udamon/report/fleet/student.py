"""Student's t distribution, its moderated form, and the false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt


def two_sided(t: float, freedom: float) -> float:
    """The chance of a value as far from 0 as `t`, with `freedom` >= 1 degrees of freedom."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(confidence: float, freedom: float) -> float:
    """The t that `confidence` (0..1) of all values lie within on both sides."""
    low, high = 0.0, 1.0
    while two_sided(high, freedom) > 1 - confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle, freedom) > 1 - confidence else (low, middle)
    return high


def adjusted(chances: Sequence[float]) -> list[float]:
    """Of p-values, the smallest false discovery rate at which each counts as found: Benjamini and Hochberg, J. R. Stat.
    Soc. B 57 (1995)."""
    order = sorted(range(len(chances)), key=lambda at: chances[at], reverse=True)
    found, least = [1.0] * len(chances), 1.0
    for place, at in enumerate(order):
        least = min(least, chances[at] * len(chances) / (len(chances) - place))
        found[at] = least
    return found


def _beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction would be slow
        return 1 - _beta(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x)) / a
    # Lentz's way: numerators and denominators never become 0.
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    found = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = found
        for term in (even, odd):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            found *= c * d
        if abs(found - before) <= 1e-15 * abs(found):
            break
    return front * found


def standard_error(spread: float, count: int) -> float:
    """Of a mean of `count` values with this standard deviation."""
    return spread / sqrt(count)


def moderated(spreads: Sequence[float], freedoms: Sequence[int]) -> list[tuple[float, float]]:
    """Of standard deviations with their degrees of freedom, each one's best estimate and its degrees of freedom, which
    borrow from what all have in common: the moderated t of Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004).

    Variances are taken to be drawn around a common one; how closely is estimated by the moments of their logarithms.
    What differs as if it was all chance has the common variance alone. All spreads are above 0.
    """
    if len(spreads) < 2:
        return [(spread, float(freedom)) for spread, freedom in zip(spreads, freedoms, strict=True)]
    centred = [
        2 * log(spread) - digamma(freedom / 2) + log(freedom / 2)
        for spread, freedom in zip(spreads, freedoms, strict=True)
    ]
    mean = sum(centred) / len(centred)
    beyond = sum((each - mean) ** 2 for each in centred) / (len(centred) - 1)
    beyond -= sum(trigamma(freedom / 2) for freedom in freedoms) / len(freedoms)
    prior = min(MOST_FREEDOM, 2 * _trigamma_inverse(beyond)) if beyond > 0 else MOST_FREEDOM
    common = exp(mean + digamma(prior / 2) - log(prior / 2))
    return [
        (sqrt((prior * common + freedom * spread**2) / (prior + freedom)), prior + freedom)
        for spread, freedom in zip(spreads, freedoms, strict=True)
    ]


MOST_FREEDOM = 1e4
"""From which on Student's t is the normal distribution for all that is asked here."""


def digamma(x: float) -> float:
    """For x > 0 (DLMF 5.5.2, 5.11.2)."""
    found = 0.0
    while x < 10:
        found -= 1 / x
        x += 1
    square = 1 / (x * x)
    return found + log(x) - 1 / (2 * x) - square * (1 / 12 - square * (1 / 120 - square / 252))


def trigamma(x: float) -> float:
    """For x > 0 (DLMF 5.15.5, 5.15.8)."""
    found = 0.0
    while x < 10:
        found += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    return found + 1 / x + square / 2 + square / x * (1 / 6 - square * (1 / 30 - square / 42))


def _trigamma_inverse(value: float) -> float:
    """It falls from infinity to 0, so halving finds where it has a value > 0."""
    low, high = 1e-6, MOST_FREEDOM
    for _ in range(100):
        middle = sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return sqrt(low * high)
