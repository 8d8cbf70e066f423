"""Student's t distribution, and the false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt


def two_sided(t: float, freedom: int) -> float:
    """The chance of a value as far from 0 as `t`, with `freedom` >= 1 degrees of freedom."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def quantile(confidence: float, freedom: int) -> float:
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
