"""What looking may cost: a share of one CPU for the whole node, what the targets lose by it included."""

from __future__ import annotations

from udamon.agent.process import Process
from udamon.ops.base import TOUCH_NS
from udamon.ops.calibration import PAGE_NS

SAVED_S = 60
"""How long unspent budget is kept."""

DEBT_S = 600
"""So much may be spent before it comes in: a cycle that was begun is not given up for less."""

LOOK_NS = 60_000
"""What a look at a process takes, where it was not measured."""


class Budget:
    """CPU time that may be spent: it comes in with time, and what is spent beyond it must come in first."""

    def __init__(self, share: float, now_ns: int) -> None:
        self.share = share
        self._now_ns = now_ns
        self._left_ns = share * SAVED_S * 1e9 / 2
        self.spent_ns = 0

    def advance(self, now_ns: int) -> None:
        """Time went on. A clock that stood still or jumped brings at most what may be saved."""
        came = max(0, now_ns - self._now_ns) * self.share
        self._now_ns = max(now_ns, self._now_ns)
        self._left_ns = min(self._left_ns + came, self.share * SAVED_S * 1e9)

    def charge(self, ns: int) -> None:
        self.spent_ns += ns
        self._left_ns -= ns

    def allows(self, ns: float) -> bool:
        """Whether so much may be spent now; what costs more than can be saved is allowed once the savings are full."""
        return self._left_ns >= min(ns, self.share * SAVED_S * 1e9 * 0.9)

    @property
    def in_debt(self) -> bool:
        """More was spent than comes in for a long time: looks alone cost too much."""
        return self._left_ns < -self.share * DEBT_S * 1e9


def pause_ns(process: Process) -> float:
    """How long clearing will stop a process: as measured, or forecast from its small pages."""
    return process.small_pages * (process.clear_ns or PAGE_NS)


def touch_ns(process: Process, size: int) -> int:
    """What the process loses by touching so many bytes again whose pages were cleared."""
    if not process.resident or size <= 0:
        return 0
    return int(size / process.resident * process.small_pages) * TOUCH_NS
