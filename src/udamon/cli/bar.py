"""One line on the terminal that says how far long work is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from udamon.console import OneLine

PATIENCE = 1.0
"""Seconds before anything is shown: what is done by then needs no line."""


class Bar:
    """Shows a share on `stream` when it is a terminal, at most ten times a second; the line goes at the end."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next = now() + PATIENCE
        self._line = OneLine(stream)
        self._shows = stream.isatty()

    def step(self, what: str) -> Callable[[float], None]:
        """A function to be told the share 0..1 of a step; `what` is the word for it."""
        return (lambda share: self._show(what, share)) if self._shows else (lambda share: None)

    def _show(self, what: str, share: float) -> None:
        now = self._now()
        if now < self._next:
            return
        self._next = now + 0.1
        self._line.show(f"{what} {share:.0%}")

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.clear()
