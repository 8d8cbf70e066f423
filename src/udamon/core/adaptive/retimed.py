"""What rates may be after a change of the sampling interval, where the memory is accessed as before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import asin, ceil, sqrt


class RetimedRates:
    """Bounds of the rate that each byte of [`bounds[0]`, `bounds[-1]`) may have with the new interval.

    A longer interval sees an access wherever a shorter one within it does, and it is covered by `ceil(new / old)` of
    the shorter ones: whatever the order of accesses, the chance of one lies between that of a shorter interval and so
    many times that.
    """

    def __init__(self, bounds: Sequence[int], rates: Sequence[float], factors: tuple[float, float]) -> None:
        """Segment k, [bounds[k], bounds[k + 1]), had `rates[k]` per tick; `factors` is what `factors_of` gave."""
        self.starts = list(bounds[:-1])
        self._end = bounds[-1]
        self._bounds = [(rate * factors[0], min(rate * factors[1], 1.0)) for rate in rates]

    def explains(self, start: int, end: int, rate: float, least_change: float) -> bool:
        """Whether the bytes [start, end) may have this mean rate, give or take `least_change` (radians of
        asin(√rate)), without another pattern of accesses."""
        sums, size = [0.0, 0.0], 0
        at = max(bisect_right(self.starts, start) - 1, 0)
        while at < len(self.starts) and self.starts[at] < end:
            shared = min(self._end_of(at), end) - max(self.starts[at], start)
            if shared > 0:
                size += shared
                sums = [total + shared * bound for total, bound in zip(sums, self._bounds[at], strict=True)]
            at += 1
        if not size:
            return False
        low, high = (asin(sqrt(total / size)) for total in sums)
        return low - least_change <= asin(sqrt(rate)) <= high + least_change

    def change(self, start: int, end: int, rate: float) -> None:
        """The bytes [start, end) are accessed in another way since the interval changed: with this rate."""
        start, end = max(start, self.starts[0]), min(end, self._end)
        if start >= end:
            return
        first, last = bisect_left(self.starts, start), bisect_right(self.starts, end) - 1
        tail = [] if end == self._end or self.starts[last] == end else [(end, self._bounds[last])]
        after = len(self.starts) if end == self._end else last + (self.starts[last] != end)
        self.starts[first:after] = [start, *(begin for begin, _ in tail)]
        self._bounds[first:after] = [(rate, rate), *(bounds for _, bounds in tail)]

    def _end_of(self, at: int) -> int:
        return self.starts[at + 1] if at + 1 < len(self.starts) else self._end


def factors_of(old_us: int, new_us: int) -> tuple[float, float]:
    """By what a rate per tick may be multiplied, at least and at most, where ticks of `old_us` become `new_us`."""
    return (1.0, float(ceil(new_us / old_us))) if new_us > old_us else (1 / ceil(old_us / new_us), 1.0)
