"""The seam of engines: whatever yields snapshots and events, in user space or in the kernel."""

from __future__ import annotations

import threading
from typing import Protocol

from udamon.core.attrs import Attrs
from udamon.engine.bus import Bus


class Engine(Protocol):
    """A monitor of one context. `open`, `start`, any number of `join` until one is True, `close`."""

    bus: Bus

    @property
    def attrs(self) -> Attrs:
        """The attributes that hold now."""

    @property
    def checks(self) -> int | None:
        """Access checks so far; None where that is not known. A census makes none."""

    @property
    def kdamond_cpu_ns(self) -> int | None:
        """CPU time that the kernel's own monitor has taken, beside this process; None where there is none."""

    def valid(self) -> bool:
        """True while some target exists, or may still come."""

    def open(self) -> None:
        """Find the targets. Raises UdamonError for what cannot be watched; nothing is left behind then."""

    def start(self) -> None:
        """Monitor on a thread of its own, until `stop` or until no target is left."""

    def stop(self) -> None:
        """From any thread: end soon."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; True when it came. Raises what made it end, if an error."""

    def close(self) -> None:
        """Release everything and leave the machine as it was found. Idempotent."""


class Worker:
    """What engines share: a function `run` on a thread of its own, and how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Run on a thread of its own, named as the kernel names its."""
        self._thread = threading.Thread(target=self._run_guarded, name=self.name, daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread; True when it ended. Raises what made it end, if it was an error."""
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        if self.failure is not None:
            raise self.failure
        return True

    def _run_guarded(self) -> None:
        try:
            self.run()
        except Exception as error:
            self.failure = error
