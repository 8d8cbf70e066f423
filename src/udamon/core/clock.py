"""Time, as it is handed to an engine. Nanoseconds on CLOCK_MONOTONIC."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What an engine needs of time; tests hand in a ManualClock and never sleep."""

    def now_ns(self) -> int: ...

    def wait_until(self, deadline_ns: int) -> bool:
        """Sleep until the deadline; False when interrupted before it."""

    def interrupt(self) -> None:
        """From any thread: end a running wait, or the next one, at once."""


class MonotonicClock:
    """The machine's clock."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, deadline_ns: int) -> bool:
        left = (deadline_ns - time.monotonic_ns()) / 1e9
        if self._interrupted.wait(max(left, 0)):
            self._interrupted.clear()
            return False
        return True

    def interrupt(self) -> None:
        self._interrupted.set()


class ManualClock:
    """A clock that jumps to each deadline: simulated time."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._interrupted = False

    def now_ns(self) -> int:
        return self._now_ns

    def wait_until(self, deadline_ns: int) -> bool:
        if self._interrupted:
            self._interrupted = False
            return False
        self._now_ns = max(self._now_ns, deadline_ns)
        return True

    def interrupt(self) -> None:
        self._interrupted = True
