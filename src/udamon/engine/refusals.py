"""Targets that cannot be looked at, though they live and may be: the notes about them, and when they end the monitor.

A look would stop them for longer than allowed, or failed in another way that nothing says is true of other targets.
"""

from __future__ import annotations

from collections.abc import Collection

from udamon.errors import CannotError, PauseTooLong

PATIENCE = 10
"""Windows in a row in which no target may be looked at, and none only for some time: then the monitor ends."""

REPEAT_AFTER_WINDOWS = 100
"""Windows after which the note that a target is left out is repeated."""


class Refusals:
    """By the index of the target. `window_over` counts the windows."""

    def __init__(self) -> None:
        self._window = 0
        self._in_a_row = 0
        self._told: dict[int, int] = {}
        self._refused: dict[int, CannotError] = {}

    def keep(self, here: Collection[int]) -> None:
        """Forget the other targets."""
        for known in (self._told, self._refused):
            for gone in known.keys() - here:
                del known[gone]

    def refuse(self, index: int, refused: CannotError) -> str | None:
        """This target may not be looked at, or cannot be. Returns the note about it, None if it was given already."""
        if isinstance(refused, PauseTooLong) and refused.temporary:
            self._refused.pop(index, None)
        else:
            self._refused[index] = refused
        if self._window - self._told.get(index, -REPEAT_AFTER_WINDOWS) < REPEAT_AFTER_WINDOWS:
            return None
        self._told[index] = self._window
        return str(refused) if isinstance(refused, PauseTooLong) else f"not looked at: {refused}"

    def allow(self, index: int) -> None:
        """This one may be looked at."""
        self._refused.pop(index, None)

    def require_one(self, here: Collection[int]) -> None:
        """`here`: all targets. Raises what keeps the first from being looked at where that fails for each of them, and
        for one at least in another way than by its pause, for which there is patience."""
        found = [self._refused[index] for index in here if index in self._refused]
        failed = [error for error in found if not isinstance(error, PauseTooLong)]
        if failed and len(found) == len(here):
            raise failed[0]

    def window_over(self, here: Collection[int]) -> None:
        """`here`: all targets, where none of them was looked at. Raises, where it is time to end, PauseTooLong, or what
        else keeps a target from being looked at."""
        self._window += 1
        if not here or not all(index in self._refused for index in here):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row >= PATIENCE:
            self.require_one(here)
            why = self._refused[min(here)]
            of = "the target" if len(here) == 1 else f"any of {len(here)} targets"
            raise PauseTooLong(f"a look at {of} was not allowed for {PATIENCE} windows in a row: {why}")
