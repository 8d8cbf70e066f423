"""When a service's processes are cleared and looked at.

A cycle begins when they are cleared, and has a look at each age up to its length. Short cycles (120 s) and long ones
take turns. A long one is of 960 s; longer ones, for ages from half an hour on, come when the service has been watched
for as long as they take and nothing was learned of that age for four times as long. A cycle has the ages below 120 s,
too, where they would not be looked at for more than an hour without: only one that lasts longer makes them older. After
an age there are looks for five minutes, to see what is accessed again.
"""

from __future__ import annotations

from bisect import bisect_right

from udamon.core.idle_time import SECONDS

NS = 1_000_000_000
WINDOW_S = 120
"""The shortest cycle, and the longest time between two looks."""
FINE = tuple(age for age in SECONDS if age < WINDOW_S)
FINE_EVERY_S = 3600
AFTER_S = 300
"""For so long after an age it is seen what is accessed again."""
LONG = tuple(age for age in SECONDS if age >= 600)
_RARELY = 4
_LATE = 1.25
"""A look at an age may come later by this factor."""


def looks_of(age_s: int, *, fine: bool) -> tuple[int, ...]:
    """Seconds after clearing at which a cycle for ages up to `age_s` looks; a short one where that is WINDOW_S."""
    end = WINDOW_S if age_s <= WINDOW_S else -(-(age_s + AFTER_S) // WINDOW_S) * WINDOW_S
    ages = {age for age in SECONDS if WINDOW_S <= age <= end} | set(FINE if fine else ())
    return tuple(sorted(ages | set(range(WINDOW_S, end + 1, WINDOW_S))))


def reached(age_ns: int, before_ns: int) -> list[int]:
    """Classes (indices of SECONDS) that a look tells of: their age was reached since the look before, and not so long
    ago that the figure would be another age's."""
    first = bisect_right(SECONDS, before_ns / NS)
    return [at for at in range(first, len(SECONDS)) if SECONDS[at] * NS <= age_ns <= SECONDS[at] * NS * _LATE]


class Cycles:
    """Which cycle of a service comes next."""

    def __init__(self) -> None:
        self._long = False
        self._fine_ns: int | None = None
        self._learned_ns: dict[int, int] = {}  # age → when a cycle for it ended

    def next(self, now_ns: int, watched_ns: int, *, scarce: bool, longest_s: int) -> tuple[int, ...]:
        """Looks of the next cycle. `scarce`: others wait for what it would cost, so it is a long one: clearing, and
        touching again, is most of that."""
        long, self._long = self._long or scarce, not self._long
        age_s = self._longest(now_ns, watched_ns, longest_s) if long else WINDOW_S
        end_ns = now_ns + looks_of(age_s, fine=False)[-1] * NS
        fine = self._fine_ns is None or end_ns - self._fine_ns > FINE_EVERY_S * NS
        if fine:
            self._fine_ns = now_ns
        return looks_of(age_s, fine=fine)

    def learned(self, now_ns: int, age_ns: int) -> None:
        """A cycle ended at that age."""
        for age in LONG:
            if age * NS <= age_ns:
                self._learned_ns[age] = now_ns

    def _longest(self, now_ns: int, watched_ns: int, longest_s: int) -> int:
        due = [
            age
            for age in LONG
            if age <= longest_s
            and watched_ns >= age * NS
            and (age not in self._learned_ns or now_ns - self._learned_ns[age] >= _RARELY * age * NS)
        ]
        return max(due, default=min(LONG[0], max(longest_s, WINDOW_S)))
