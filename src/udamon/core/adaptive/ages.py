"""Since when each byte has had its rate: a step function of its own, which the jitter of steps cannot touch."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from udamon.core.adaptive.parameters import Parameters


class Ages:
    """`starts[i]` up to the next one (the last: up to `end`) has not changed since `since[i]` (µs)."""

    def __init__(self, start: int, end: int, now_us: int, parameters: Parameters) -> None:
        self.starts = array("Q", [start])  # arrays, as C wants them in each aggregation
        self.since = array("q", [now_us])
        self.end = end
        self._passed = 0
        self._parameters = parameters
        self._acted: set[int] = set()  # where schemes began and stopped: what lies between is no sliver

    def at(self, address: int) -> tuple[int, int, int]:
        """Start and end of the bytes that changed together with this one, and since when they are as they are (µs)."""
        i = max(bisect_right(self.starts, address) - 1, 0)
        return self.starts[i], self.starts[i + 1] if i + 1 < len(self.starts) else self.end, self.since[i]

    def reset(self, start: int, end: int, now_us: int) -> None:
        """A scheme acted on the bytes [start, end), however few they are: they begin anew."""
        self.change(start, end, now_us)
        self._acted |= {start, end}

    def change(self, start: int, end: int, now_us: int) -> None:
        """The bytes [start, end) changed just now."""
        start, end = max(start, self.starts[0]), min(end, self.end)
        if start >= end:
            return
        left = bisect_left(self.starts, start)
        right = bisect_right(self.starts, end) - 1
        tail = self.since[right]
        starts, since = array("Q", [start]), array("q", [now_us])
        if end < self.end and self.starts[right] < end:
            starts.append(end)
            since.append(tail)
            right += 1
        elif end == self.end:
            right = len(self.starts)
        self.starts[left:right] = starts
        self.since[left:right] = since

    def shift(self, was: int, now: int) -> None:
        """A step was taken to be at `was` and is at `now`: the bytes between have the age of its other side."""
        if not self.starts[0] < was < self.end:
            return
        before, after = (was - 1, now - 1) if was < now else (now, was)
        at = bisect_right(self.starts, before)
        if at == len(self.starts) or self.starts[at] > after:
            return  # the bytes between have it already
        start, end = (was, now) if was < now else (now, was)
        first, last = bisect_right(self.starts, start), bisect_right(self.starts, end - 1)
        since = self.since[bisect_right(self.starts, was - 1 if was < now else was) - 1]
        between = self.since[max(first - 1, 0) : last]
        if between.count(since) != len(between):
            self.change(start, end, since)

    def stretch(self, start: int, end: int, now_us: int) -> None:
        """The address space is [start, end) now; what is new in it begins now."""
        if start < self.starts[0]:
            self.starts.insert(0, start)
            self.since.insert(0, now_us)
        if end > self.end:
            self.starts.append(self.end)
            self.since.append(now_us)
        self.end = max(end, self.end)

    def settle(self, now_us: int, aggregation_us: int, steps: Sequence[int]) -> None:
        """Now and then, join neighbours whose ages hardly differ: by `alike_ages`, or one aggregation."""
        self._passed += 1
        if self._passed % self._parameters.age_joins == 0 and len(self.starts) > 1:
            self._join(now_us, aggregation_us, set(steps))
            self._acted.intersection_update(self.starts)

    def _join(self, now_us: int, slack_us: int, steps: set[int]) -> None:
        starts, since = self.starts[:1], self.since[:1]
        sizes = [b - a for a, b in pairwise([*self.starts, self.end])]
        size = sizes[0]
        for start, when, length in zip(self.starts[1:], self.since[1:], sizes[1:], strict=True):
            older = now_us - min(when, since[-1])
            if start not in self._acted and _left_over(
                starts[-1], start, start + length, steps, self._parameters.left_over
            ):
                since[-1] = since[-1] if size > length else when
                size += length
            elif abs(when - since[-1]) <= max(self._parameters.alike_ages * older, slack_us):
                since[-1] = (since[-1] * size + when * length) // (size + length)
                size += length
            else:
                starts.append(start)
                since.append(when)
                size = length
        self.starts, self.since = starts, since


def _left_over(left: int, middle: int, right: int, steps: set[int], ratio: int) -> bool:
    """One of both is a sliver that a step left behind when it came to be known better: the step is at its other
    end, and none is between them."""
    if middle - left < right - middle:
        small, large, outer = middle - left, right - middle, left
    else:
        small, large, outer = right - middle, middle - left, right
    return small * ratio < large and middle not in steps and outer in steps
