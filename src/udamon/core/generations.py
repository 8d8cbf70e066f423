"""Idle times from generations of pages, of which only a few are told apart: a history of the older ones.

The kernel keeps four generations (linux/lru_gen.py); what was in the oldest joins the next one whenever a new one
begins. So of the younger ones it is known when their pages were accessed last, and of the oldest how many bytes are
left of those that joined it, but not which: its parts are followed in two ways, as in core.idle_time. Either what had
been idle longest went, which leaves the least memory idle for any time, or what joined last. The truth lies between.

Times have the grain of generations: pages of one count as accessed last when the next one began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from udamon.core.idle_time import SECONDS, Part, fewer, without


class PageGeneration(NamedTuple):
    """A generation of pages: its number, when it began (ns), and the bytes in it."""

    number: int
    begin_ns: int
    size: float


class ColdGenerations(NamedTuple):
    """Bytes by idle time, for each of SECONDS: idle for at least so long. None where nobody watched for so long."""

    size: float
    low: list[float | None]
    high: list[float | None]


class Generations:
    """Of the pages of one kind: anonymous ones or files, of one group and node."""

    def __init__(self, begin_ns: int) -> None:
        """Watched from `begin_ns` on: what was accessed before counts as accessed then."""
        self.begin_ns = begin_ns
        self.end_ns = begin_ns
        self.touched = 0.0
        """Bytes that were accessed in the last window, or came in it."""
        self._newest = -1
        self._young: dict[int, Part] = {}  # number → when its pages were accessed last, and bytes
        self._least: list[Part] = []
        self._most: list[Part] = []

    def window(self, found: Sequence[PageGeneration], end_ns: int) -> None:
        """All generations, the oldest first, at the end of the next window, when the newest had just begun."""
        begin_ns, before = self.end_ns, self._newest
        ends = [*(born.begin_ns for born in found[1:]), end_ns]
        parts = {
            born.number: (max(end, self.begin_ns), born.size) for born, end in zip(found, ends, strict=True)
        }
        oldest, size = found[0].number, found[0].size
        if before < 0 or before > found[-1].number:  # the first time, or another group by the same number
            self._least = self._most = [parts[oldest]]
            self.touched = 0.0
        else:
            joined = [part for number, part in sorted(self._young.items()) if number <= oldest]
            self._least = fewer(_now(self._least + joined, size, begin_ns, newest=False), newer=True)
            self._most = fewer(_now(self._most + joined, size, begin_ns, newest=True), newer=False)
            self.touched = sum(born.size for born in found if born.number >= before)
        self._newest, self.end_ns = found[-1].number, end_ns
        self._young = {number: part for number, part in parts.items() if number != oldest}

    def parts(self) -> tuple[list[Part], list[Part]]:
        """When bytes were accessed last: the way of the least idle memory, and that of the most."""
        young = list(self._young.values())
        return self._least + young, self._most + young


def _now(parts: list[Part], size: float, begin_ns: int, *, newest: bool) -> list[Part]:
    """The parts of the oldest generation, now that it has `size` bytes. What it has more than before came in this
    window: pages that are read and not mapped begin there."""
    more = size - sum(part for _, part in parts)
    if more > 0:
        return sorted([*parts, (begin_ns, more)])
    return without(parts, -more, newest=newest)


def told(found: Iterable[Generations], end_ns: int) -> ColdGenerations:
    """Of several together, as of `end_ns`; they were watched from the earliest of their begins on."""
    every = list(found)
    begin = min((one.begin_ns for one in every), default=end_ns)
    ages = [seconds * 1_000_000_000 for seconds in SECONDS]
    known = bisect_right(ages, end_ns - begin)
    ways = [one.parts() for one in every]

    def cold(parts: Iterable[list[Part]]) -> list[float | None]:
        sums = [0.0] * known
        for one in parts:
            for last, size in one:
                for at in range(bisect_right(ages, end_ns - last, hi=known)):
                    sums[at] += size
        return [*sums, *[None] * (len(ages) - known)]

    low, high = cold(least for least, _ in ways), cold(most for _, most in ways)
    return ColdGenerations(sum(size for least, _ in ways for _, size in least), low, high)
