"""A line of progress: rewritten in place on a terminal, a new one now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from udamon.console import OneLine
from udamon.model import Event, Snapshot
from udamon.text import escape

SHOW_S, LINE_S = 1.0, 5.0
"""How often progress is told: on a terminal, and elsewhere."""


class ProgressLine:
    """Progress and notes of a monitor on `stream`; it subscribes to the notes.

    It is told every `every` seconds (by default SHOW_S or LINE_S). `quiet` says nothing at all. `shared`: a COMMAND
    writes to the same terminal, so that nothing is rewritten there.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        shared: bool = False,
        every: float | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._rewrites = stream.isatty() and not shared
        self._now = now
        self._every = every or (SHOW_S if self._rewrites else LINE_S)
        self._next = now() + self._every
        self._line = OneLine(stream)
        self._lock = threading.RLock()  # notes come from the monitor's thread

    def show(self, line: Callable[[], str]) -> None:
        """Show what `line` returns, if it is time."""
        if self._quiet or self._now() < self._next:
            return
        self._next = self._now() + self._every
        text = line()
        with self._lock:
            if self._rewrites:
                self._line.show(text)
            else:
                self._write(text)

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

    def _write(self, text: str) -> None:
        self._stream.write(f"{escape(text)}\n")
        self._stream.flush()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Whoever calls `show` knows what there is to tell."""

    def event(self, event: Event) -> None:
        if event.name == "note":
            self.say(str(event.data["text"]))
