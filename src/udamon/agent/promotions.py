"""The smallest age at which memory may be called cold: from how much was accessed again after each age.

Google's far memory (Lagar-Cavilla et al. 2019) takes the smallest age of which pages are promoted at no more than 0.2 %
of the working set a minute, in the 98th percentile. Here a window begins when an age was reached in a cycle, lasts five
minutes or to the end of the cycle, and counts what is accessed for the first time since the pages were cleared. For
each hour of the last 24 it is known how many windows there were, and how many exceeded the limit.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from udamon.agent.hours import HOUR_NS, HOURS, HourRing
from udamon.core.idle_time import SECONDS

LIMIT = 0.002
"""Of the working set, a minute."""
PERCENTILE = 0.98
SHORTEST_S = 120
"""Younger memory is not called cold: within an age below the window it is not seen how often a page comes back."""
_MOST = 0xFFFF
_FROM = SECONDS.index(SHORTEST_S)


class Promotions:
    """Of one service."""

    def __init__(self) -> None:
        self._windows = array("H", bytes(2 * HOURS * len(SECONDS)))
        self._over = array("H", bytes(2 * HOURS * len(SECONDS)))
        self._ring = HourRing()
        self.watched_ns = 0
        """For how long windows were possible, restarts included; at most 24 h count."""

    def advance(self, now_ns: int, watched_ns: int = 0) -> None:
        """Let hours go that are over, by a clock that never goes back; `watched_ns` more were watched."""
        self.watched_ns += watched_ns
        for hour in self._ring.advance(now_ns):
            self._empty(hour)

    def add(self, at: int, share: float) -> None:
        """A window after age SECONDS[at]: accessed again was `share` of the working set a minute."""
        place = self._ring.place * len(SECONDS) + at
        if self._windows[place] < _MOST:
            self._windows[place] += 1
            self._over[place] += share > LIMIT

    def safe(self) -> int | None:
        """Index of the smallest age that keeps the limit; None where none does, or less than an hour was watched."""
        if self.watched_ns < HOUR_NS:
            return None
        for at in range(_FROM, len(SECONDS)):
            windows, over = sum(self._windows[at :: len(SECONDS)]), sum(self._over[at :: len(SECONDS)])
            if windows and over <= (1 - PERCENTILE) * windows:
                return at
        return None

    def saved(self) -> dict[str, Any]:
        """For the state file; hours from the newest one backwards."""
        rows = [hour * len(SECONDS) for hour in self._ring.backwards()]
        return {
            "watched_ns": min(self.watched_ns, HOURS * HOUR_NS),
            "windows": [self._windows[row : row + len(SECONDS)].tolist() for row in rows],
            "over": [self._over[row : row + len(SECONDS)].tolist() for row in rows],
        }

    def load(self, saved: Any, now_ns: int, hours_ago: int) -> None:
        """Take over what was saved so many hours ago. Raises ValueError, TypeError, KeyError for what is none."""
        windows, over = _table(saved["windows"]), _table(saved["over"])
        self.watched_ns = min(max(0, int(saved["watched_ns"])), HOURS * HOUR_NS)
        self._ring.advance(now_ns)
        for past, hour in enumerate(self._ring.backwards()[hours_ago:]):
            row = hour * len(SECONDS)
            self._windows[row : row + len(SECONDS)] = array("H", windows[past])
            self._over[row : row + len(SECONDS)] = array("H", map(min, over[past], windows[past]))

    def _empty(self, hour: int) -> None:
        row = hour * len(SECONDS)
        zeros = array("H", bytes(2 * len(SECONDS)))
        self._windows[row : row + len(SECONDS)] = self._over[row : row + len(SECONDS)] = zeros


def _table(saved: Any) -> Sequence[Sequence[int]]:
    rows = [[int(value) for value in row] for row in saved]
    if len(rows) != HOURS or any(len(row) != len(SECONDS) for row in rows):
        raise ValueError("not as many hours and ages as there are")
    if any(not 0 <= value <= _MOST for row in rows for value in row):
        raise ValueError("a number of windows is out of bounds")
    return rows
