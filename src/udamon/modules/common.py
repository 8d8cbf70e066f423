"""What the modules have in common: their watermarks, and the size of the smallest region they act on."""

from __future__ import annotations

from udamon.core.scheme import ANY_COUNT, U64_MAX, AccessPattern, Bounds, WatermarkMetric, Watermarks
from udamon.errors import UsageError
from udamon.model import PAGE_SIZE

FROM_A_PAGE = AccessPattern(Bounds(PAGE_SIZE, U64_MAX), ANY_COUNT, ANY_COUNT)


def watermarks(metric: WatermarkMetric, interval_us: int, high: int, mid: int, low: int) -> Watermarks:
    """Raises UsageError where they are not in falling order."""
    if metric is WatermarkMetric.NONE:
        return Watermarks()
    if not high >= mid >= low:
        raise UsageError(
            f"wmarks_high {high}, wmarks_mid {mid} and wmarks_low {low} are not in falling order; put them so."
        )
    return Watermarks(metric, interval_us, high, mid, low)


def reset_interval(*limits: object, ms: int) -> int:
    """The interval that `limits` are for. Raises UsageError where there is a limit, and the interval is 0: it would be
    for each pass."""
    if any(limits) and not ms:
        raise UsageError("quota_reset_interval_ms 0 is no time that a quota can be for; give at least 1ms.")
    return ms


def parse_metric(text: str) -> str:
    """Raises UsageError for what is no metric of watermarks."""
    if text not in list(WatermarkMetric):
        raise UsageError(f"{text[:60]!r} is none of {', '.join(WatermarkMetric)}.")
    return text
