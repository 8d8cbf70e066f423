"""Order for recordings that number neither their targets nor their aggregations."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Hashable

_INT32 = 1 << 31


class Targets:
    """Gives every target an index: the number it had, where that is free and fits, else the next free one."""

    def __init__(self) -> None:
        self._known: dict[Hashable, int] = {}
        self._used: set[int] = set()
        self._free = 0  # below it all are used

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def index(self, key: Hashable, number: int) -> int:
        """The index of the target `key` that its source calls `number`."""
        if key not in self._known:
            free = 0 <= number < _INT32 and number not in self._used
            while self._free in self._used:
                self._free += 1
            index = number if free else self._free
            self._known[key] = index
            self._used.add(index)
        return self._known[key]


class Timeline:
    """Numbers aggregations: snapshots of several targets that ended at about the same time share a number.

    The first target that is seen at a time numbers it. A target's own numbers always grow, so two of its
    snapshots never share one. What lies before the first time has negative numbers. Keeps 8 bytes for each.
    """

    def __init__(self) -> None:
        self._ends = array("q")
        self._last: dict[int, int] = {}

    def number(self, target: int, end_ns: int, window_ns: int) -> int:
        """The number of the aggregation of `target` that ended at `end_ns` after `window_ns`."""
        ends = self._ends
        if not ends:
            near = 0
        elif end_ns > ends[-1] + window_ns // 2:
            near = len(ends)
        elif end_ns < ends[0] - window_ns // 2:
            near = -max(1, round((ends[0] - end_ns) / max(1, window_ns)))
        else:
            near = bisect_left(ends, end_ns)
            if near and (near == len(ends) or end_ns - ends[near - 1] < ends[near] - end_ns):
                near -= 1
        number = max(near, self._last.get(target, near - 1) + 1)
        if number >= len(ends):
            number = len(ends)
            ends.append(max(end_ns, ends[-1]) if ends else end_ns)
        self._last[target] = number
        return number
