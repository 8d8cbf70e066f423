"""How `--max-pause` is kept: in 99 of 100 windows of a target no look stops it for longer.

Forecasts are not exact, so one look in WINDOWS windows may take longer. Each such look uses up WINDOWS windows. While
the windows of more than one such look are in use, the target is backed off: it is not looked at. A new target starts
with one look in use, so after a first look that took too long it is backed off until its first WINDOWS windows are
over. A target that had WINDOWS windows without such a look may have one at any time and is not backed off then. So of N
windows at most N / WINDOWS, rounded up, are longer than allowed.
"""

from __future__ import annotations

WINDOWS = 100


class Allowance:
    """The allowance of one target, which is new in the window with the number `first`."""

    def __init__(self, first: int) -> None:
        self._used_until = first + WINDOWS
        self._last: int | None = None

    def use(self, window: int) -> None:
        """A look in `window` took too long. Several in one window count as one."""
        if window != self._last:
            self._last = window
            self._used_until = max(self._used_until, window) + WINDOWS

    def backoff_windows(self, window: int) -> int:
        """For how many windows, `window` included, the target is not looked at; 0 where it may be."""
        return max(0, self._used_until - window - WINDOWS)
