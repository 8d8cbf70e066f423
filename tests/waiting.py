"""Waiting for what another process, a thread or the kernel does."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_LIMIT_S = 240.0
"""Ends a test that would hang, and measures nothing: many times what a machine with ten busy processes needs."""


def until(
    condition: Callable[[], object], what: str = "it never came to that", pause_s: float = 0.02
) -> None:
    """Wait until `condition()` is true; `what` is said when it never becomes so."""
    end = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(pause_s)
