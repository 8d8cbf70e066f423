"""Targets that a look would stop for longer than allowed: the notes about them, and when they end the monitor."""

from __future__ import annotations

from collections.abc import Collection

from udamon.errors import PauseTooLong

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
        self._refused: dict[int, str] = {}

    def keep(self, here: Collection[int]) -> None:
        """Forget the other targets."""
        for known in (self._told, self._refused):
            for gone in known.keys() - here:
                del known[gone]

    def refuse(self, index: int, refused: PauseTooLong) -> str | None:
        """This target may not be looked at. Returns the note about it, None if it was given already."""
        if refused.temporary:
            self._refused.pop(index, None)
        else:
            self._refused[index] = str(refused)
        if self._window - self._told.get(index, -REPEAT_AFTER_WINDOWS) < REPEAT_AFTER_WINDOWS:
            return None
        self._told[index] = self._window
        return str(refused)

    def allow(self, index: int) -> None:
        """This one may be looked at."""
        self._refused.pop(index, None)

    def window_over(self, here: Collection[int]) -> None:
        """`here`: all targets, where none of them was looked at. Raises PauseTooLong where it is time to end."""
        self._window += 1
        if not here or not all(index in self._refused for index in here):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row >= PATIENCE:
            why = self._refused[min(here)]
            of = "the target" if len(here) == 1 else f"any of {len(here)} targets"
            raise PauseTooLong(f"a look at {of} was not allowed for {PATIENCE} windows in a row: {why}")
