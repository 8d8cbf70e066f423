"""A line of progress: rewritten in place on a terminal, a new one now and then elsewhere, or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import ceil
from types import TracebackType
from typing import TextIO

from udamon import console
from udamon.console import OneLine
from udamon.model import Event, Snapshot
from udamon.text import escape
from udamon.units import format_time

SHOW_S, LINE_S = 1.0, 5.0
"""How often progress is told: on a terminal, and elsewhere."""


STEP_S, WAIT_LIMIT_S = 0.1, 1.0
"""How often the share of a step of work is told, and after how long first: what is done by then needs no line."""


class ProgressLine:
    """Progress and notes on `stream`, of a monitor or of long work; it subscribes to a monitor's notes.

    It is told every `every` seconds (by default SHOW_S or LINE_S), first after `first` (by default `every`). `quiet`
    says nothing at all. `shared`: a COMMAND writes to the same terminal, so that nothing is rewritten there.
    `terminal_only`: where nothing is rewritten there is no line. As a context it takes the line away at the end.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        shared: bool = False,
        terminal_only: bool = False,
        every: float | None = None,
        first: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._rewrites = stream.isatty() and not shared and not console.is_plain()
        self._shows = not quiet and (self._rewrites or not terminal_only)
        self._now = now
        self._every = (SHOW_S if self._rewrites else LINE_S) if every is None else every
        self._next = now() + (self._every if first is None else first)
        self._line = OneLine(stream)
        self._lock = threading.RLock()  # notes come from the monitor's thread

    @classmethod
    def of_work(cls, stream: TextIO, now: Callable[[], float] = time.monotonic) -> ProgressLine:
        """For the shares of work that may be done at once: on a terminal alone, after WAIT_LIMIT_S."""
        return cls(stream, terminal_only=True, every=STEP_S, first=WAIT_LIMIT_S, now=now)

    def show(self, line: Callable[[], str]) -> None:
        """Show what `line` returns, if it is time."""
        if not self._shows or (now := self._now()) < self._next:
            return
        self._next = now + self._every
        text = line()
        with self._lock:
            if self._rewrites:
                self._line.show(text)
            else:
                self._write(text)

    def step(self, what: str) -> Callable[[float], None]:
        """A function to be told the share 0..1 of a step of work; `what` is the word for it.

        A share that is smaller than the one before begins the step anew. The time that is left is estimated from the
        time that it has taken so far.
        """
        begun, before = self._now(), 0.0

        def told(share: float) -> None:
            nonlocal begun, before
            if share < before:
                begun = self._now()
            before = share
            taken = self._now() - begun
            left = ceil(taken * (1 - share) / share) if share and taken >= WAIT_LIMIT_S else 0
            about = f", about {format_time(left)} more" if left else ""
            self.show(lambda: f"{what} {share:.0%}{about}")

        return told

    def say(self, text: str) -> None:
        """A sentence that stays."""
        if self._quiet:
            return
        with self._lock:
            self.clear()
            self._write(f"udamon: {text}")

    def clear(self) -> None:
        """Take the line off the terminal."""
        with self._lock:
            self._line.clear()

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def _write(self, text: str) -> None:
        self._stream.write(f"{escape(text)}\n")
        self._stream.flush()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Callers of `show` supply the text."""

    def event(self, event: Event) -> None:
        if event.name == "note":
            self.say(str(event.data["text"]))
