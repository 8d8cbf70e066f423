"""What `--max-pause` promises of a target: in 99 of 100 windows no look stops it for longer.

No forecast is that sure, so one look in WINDOWS may take longer. Each that did uses WINDOWS windows up. While more than
those of one look are used up, the target rests: after two such looks close to each other it is not looked at until
the first one's windows have passed. So of N windows at most N / WINDOWS + 2 are longer than allowed, and one look that
was disturbed leaves no window out.
"""

from __future__ import annotations

WINDOWS = 100


class Allowance:
    """Of one target. Windows are numbered."""

    def __init__(self) -> None:
        self._used_until = 0
        self._last: int | None = None

    def use(self, window: int) -> None:
        """A look in `window` took too long. Two of them in one window are one."""
        if window != self._last:
            self._last = window
            self._used_until = max(self._used_until, window) + WINDOWS

    def rests_for(self, window: int) -> int:
        """For how many windows, `window` included, the target is not looked at; 0 where it may be."""
        return max(0, self._used_until - window - WINDOWS)
