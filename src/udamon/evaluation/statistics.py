"""Percentiles, linear between the two nearest values."""

from __future__ import annotations

from collections.abc import Sequence

FEWEST = 20
"""Values, for a percentile other than the median: of fewer, one or two decide it."""


def far_percentile(values: Sequence[float], percent: float) -> float | None:
    """As `percentile`; None for fewer than FEWEST values."""
    return percentile(values, percent) if len(values) >= FEWEST else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The value below which `percent` % lie; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
