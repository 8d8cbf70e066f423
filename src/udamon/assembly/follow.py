"""Running an engine until something ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from udamon.assembly.child import Child
from udamon.engine.base import Engine
from udamon.model import Event, Snapshot

LOOK_S = 0.2
"""How soon the end of a command or a signal is noticed."""

TARGET, DURATION, WINDOWS, SIGNAL, PAUSE = "target", "duration", "windows", "signal", "pause"
"""What ended a monitor: its targets are gone, its time was up, it had as many windows as were wanted, the
user said so, or a look would stop each of the targets for too long (PauseTooLong has been raised)."""


class _WindowLimit:
    """Stops an engine at the end of its `most`th window in which a target was watched, of those that began at
    `since_ns` or later."""

    def __init__(self, engine: Engine, most: int, since_ns: int) -> None:
        self._engine = engine
        self._left = most
        self._since_ns = since_ns
        self._seq: int | None = None

    @property
    def reached(self) -> bool:
        return self._left == 0

    def snapshot(self, snapshot: Snapshot, /) -> None:
        if snapshot.seq != self._seq and self._left and snapshot.begin_ns >= self._since_ns:
            self._seq = snapshot.seq
            self._left -= 1
            if self.reached:
                self._engine.stop(after_window=True)

    def event(self, event: Event, /) -> None:
        """Windows alone are counted."""


def follow(
    engine: Engine,
    child: Child | None,
    duration: float | None,
    stopped: threading.Event,
    keep_up: Callable[[], None],
    windows: int | None = None,
    since_ns: int = 0,
) -> str:
    """Run an opened engine on its thread until it, `duration` (seconds), `windows`, `child` or `stopped` ends it.

    `windows` are those that begin at `since_ns` (CLOCK_MONOTONIC) or later: the end of a warm-up.
    `keep_up` is called several times a second; an exception from it ends the engine, too. Returns what ended it.
    """
    end = None if duration is None else time.monotonic() + duration
    why = TARGET
    limit = None if windows is None else _WindowLimit(engine, windows, since_ns)
    if limit is not None:
        engine.bus.subscribe(limit)
    engine.start()
    try:
        while not engine.join(_pause(end, stopped)):
            if stopped.is_set():
                why = SIGNAL
            elif end is not None and time.monotonic() >= end:
                why = DURATION
            if why != TARGET or (child is not None and child.ended() and not engine.valid()):
                engine.stop()
            keep_up()
    finally:
        engine.stop()
        engine.join()
    if limit is not None and limit.reached:
        return WINDOWS
    return SIGNAL if stopped.is_set() else why  # a Ctrl-C ends the target, too, and that may be noticed first


def _pause(end: float | None, stopped: threading.Event) -> float:
    # Short while something is about to end, so that it ends at its time.
    if stopped.is_set():
        return 0.01
    return LOOK_S if end is None else min(max(end - time.monotonic(), 0.001), LOOK_S)
