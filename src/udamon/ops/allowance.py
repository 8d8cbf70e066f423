"""What `--max-pause` promises of a target: in 99 of 100 windows no look stops it for longer.

No forecast is that sure, so one look in WINDOWS may take longer. Each that did uses WINDOWS windows up, and while those
of more than one look are in use, the target rests. A new target is taken for one with a look in use: its first one that
took too long is followed by a rest until its first WINDOWS windows are over. Who has had that many without one may have
one at any time, and does not rest. So of N windows no more than N / WINDOWS, rounded up, are longer than allowed.
"""

from __future__ import annotations

WINDOWS = 100


class Allowance:
    """Of a target that is new in the window `first`. Windows are numbered."""

    def __init__(self, first: int) -> None:
        self._used_until = first + WINDOWS
        self._last: int | None = None

    def use(self, window: int) -> None:
        """A look in `window` took too long. Two of them in one window are one."""
        if window != self._last:
            self._last = window
            self._used_until = max(self._used_until, window) + WINDOWS

    def rests_for(self, window: int) -> int:
        """For how many windows, `window` included, the target is not looked at; 0 where it may be."""
        return max(0, self._used_until - window - WINDOWS)
