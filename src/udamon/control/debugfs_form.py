"""The text of DAMON's debugfs files (docs/damon.md#debugfs): lines of numbers, in and out of udamon's values."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from udamon.control.kinds import refused
from udamon.core.attrs import Attrs
from udamon.core.scheme import (
    U32_MAX,
    AccessPattern,
    Action,
    Bounds,
    Quota,
    Scheme,
    SchemeStats,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.errors import AttrsError
from udamon.model import Range

ACTIONS = (
    Action.WILLNEED, Action.COLD, Action.PAGEOUT, Action.HUGEPAGE, Action.NOHUGEPAGE, Action.STAT,
)  # fmt: skip
"""By their numbers."""
METRICS = (WatermarkMetric.NONE, WatermarkMetric.FREE_MEM_RATE)
SCHEME_NUMBERS, MOST_SCHEMES, MOST_TARGETS = 18, 256, 32
PADDR_ID = 42
"""What stands for the physical memory among pids."""

_SIGNED = re.compile(r"\s*([+-]?\d+)")


def leading_numbers(text: str, most: int) -> list[int]:
    """The numbers that a text begins with, at most so many: what follows the first that is none is left."""
    numbers: list[int] = []
    at = 0
    while len(numbers) < most and (found := _SIGNED.match(text, at)) is not None:
        numbers.append(int(found[1]))
        at = found.end()
    return numbers


def read_attrs(text: str) -> Attrs:
    """sample, aggregation and update interval in µs, least and most regions. Raises OSError EINVAL."""
    numbers = leading_numbers(text, 5)
    if len(numbers) < 5:
        raise refused(errno.EINVAL)
    try:
        sample, aggr, update, least, most = numbers
        return Attrs(sample, aggr, update, least, most)
    except AttrsError as error:
        raise refused(errno.EINVAL) from error


_ATTRS = ("sample_us", "aggr_us", "update_us", "min_nr_regions", "max_nr_regions")


def show_attrs(attrs: Attrs) -> str:
    """The line that the file attrs has."""
    return " ".join(str(getattr(attrs, name)) for name in _ATTRS) + "\n"


def read_regions(text: str, targets: int) -> list[list[Range]]:
    """The ranges of each target, from lines of target, start and end. Raises OSError EINVAL."""
    ranges: list[list[Range]] = [[] for _ in range(targets)]
    numbers = leading_numbers(text, len(text))
    for target, start, end in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False):
        if not 0 <= target < targets or start >= end or start < 0:
            raise refused(errno.EINVAL)
        own = ranges[target]
        if own and own[-1].end > start:
            raise refused(errno.EINVAL)
        own.append(Range(start, end))
    return ranges


def show_regions(ranges: Sequence[Sequence[Range]]) -> str:
    """Lines of target, start and end."""
    return "".join(f"{target} {r.start} {r.end}\n" for target, own in enumerate(ranges) for r in own)


def read_schemes(text: str) -> list[Scheme]:
    """Schemes of 18 numbers each, as many as there are in full. Raises OSError EINVAL."""
    numbers = leading_numbers(text, SCHEME_NUMBERS * MOST_SCHEMES)
    whole = len(numbers) // SCHEME_NUMBERS * SCHEME_NUMBERS
    return [_scheme(numbers[at : at + SCHEME_NUMBERS]) for at in range(0, whole, SCHEME_NUMBERS)]


def _scheme(numbers: Sequence[int]) -> Scheme:
    size, accesses, age = (Bounds(*numbers[at : at + 2]) for at in (0, 2, 4))
    action, ms, sz, reset = numbers[6:10]
    metric, interval_us, high, mid, low = numbers[13:]
    ordered = all(each.min <= each.max for each in (size, accesses, age)) and high >= mid >= low
    if not ordered or min(numbers) < 0 or action >= len(ACTIONS) or metric >= len(METRICS):
        raise refused(errno.EINVAL)
    counts = [Bounds(each.min & U32_MAX, each.max & U32_MAX) for each in (accesses, age)]
    return Scheme(
        AccessPattern(size, *counts),
        ACTIONS[action],
        0,
        Quota(ms, sz, reset, Weights(*numbers[10:13])),
        Watermarks(METRICS[metric], interval_us, high, mid, low),
    )


def show_schemes(schemes: Sequence[tuple[Scheme, SchemeStats]]) -> str:
    """One line each: the 18 numbers, and five of its stats."""
    return "".join(" ".join(map(str, _numbers(scheme, stats))) + "\n" for scheme, stats in schemes)


def _numbers(scheme: Scheme, stats: SchemeStats) -> list[int]:
    pattern, quota, watermarks = scheme.access_pattern, scheme.quotas, scheme.watermarks
    bounds = [
        edge for each in (pattern.sz, pattern.nr_accesses, pattern.age) for edge in (each.min, each.max)
    ]
    weights = quota.weights
    return [
        *bounds, ACTIONS.index(scheme.action), quota.ms, quota.bytes, quota.reset_interval_ms,
        weights.sz_permil, weights.nr_accesses_permil, weights.age_permil,
        METRICS.index(watermarks.metric), watermarks.interval_us, watermarks.high, watermarks.mid, watermarks.low,
        stats.nr_tried, stats.sz_tried, stats.nr_applied, stats.sz_applied, stats.qt_exceeds,
    ]  # fmt: skip
