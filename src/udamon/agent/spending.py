"""What the agent has cost so far: its own CPU, what targets lost, and how long each was stopped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from udamon.agent.budget import Budget

BOUNDS_NS = tuple(int(seconds * 1e9) for seconds in (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0))
"""Of the histogram of pauses."""


class Spending:
    """`cpu_ns` tells the CPU time of this process so far."""

    def __init__(self, budget: Budget, cpu_ns: Callable[[], int]) -> None:
        self._budget = budget
        self.cpu_ns = cpu_ns
        self._settled_ns = cpu_ns()
        self.pauses = [0] * (len(BOUNDS_NS) + 1)
        """How many were as long as each of BOUNDS_NS at most, and longer than the one before; the last: longer."""
        self.paused_ns = self.longest_ns = self.lost_ns = 0
        self.recent_pause_ns = 0
        """The longest since somebody set it to 0."""

    def paused(self, took_ns: int) -> None:
        """A target was stopped: its page faults waited."""
        self.pauses[bisect_left(BOUNDS_NS, took_ns)] += 1
        self.paused_ns += took_ns
        self.longest_ns = max(self.longest_ns, took_ns)
        self.recent_pause_ns = max(self.recent_pause_ns, took_ns)
        self._budget.charge(took_ns)

    def lost(self, took_ns: int) -> None:
        """A target touched pages again that were cleared."""
        self.lost_ns += took_ns
        self._budget.charge(took_ns)

    @property
    def targets_ns(self) -> int:
        """What targets have lost so far: by being stopped, and by touching pages again."""
        return self.lost_ns + self.paused_ns

    @property
    def total_ns(self) -> int:
        """The agent's CPU so far, and what targets lost."""
        return self.cpu_ns() + self.targets_ns

    def settle(self) -> None:
        """Charge the CPU that this process has taken since the last time."""
        now_ns = self.cpu_ns()
        self._budget.charge(now_ns - self._settled_ns)
        self._settled_ns = now_ns
