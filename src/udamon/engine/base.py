"""The interface of engines: sources of snapshots and events, in user space or in the kernel."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeVar

from udamon.core.attrs import Attrs
from udamon.engine.bus import Bus
from udamon.errors import CannotError

T = TypeVar("T")


class Engine(Protocol):
    """A monitor of one context. `open`, `start`, any number of `join` until one is True, `close`."""

    bus: Bus

    @property
    def here(self) -> bool:
        """Whether this is called on the engine's own thread."""

    @property
    def attrs(self) -> Attrs:
        """The attributes that hold now."""

    @property
    def checks(self) -> int | None:
        """Access checks so far; None where that is not known. A census makes none."""

    @property
    def skipped(self) -> int:
        """Windows of targets that could not be watched so far, other than because the target ended."""

    @property
    def kdamond_cpu_ns(self) -> int | None:
        """CPU time that the kernel's own monitor has taken, beside this process; None where there is none."""

    @property
    def target_cost_ns(self) -> int | None:
        """What the targets have lost so far by being watched, by an estimate; None where that is not known."""

    @property
    def longest_pause_ns(self) -> int | None:
        """The longest time that a target's mapping lock was held at a time; None where that is not known."""

    def valid(self) -> bool:
        """True while some target exists, or may still come."""

    def open(self) -> None:
        """Find the targets. Raises UdamonError for what cannot be watched; nothing is left behind then."""

    def start(self) -> None:
        """Monitor on a thread of its own, until `stop` or until no target is left."""

    def stop(self, *, after_window: bool = False) -> None:
        """From any thread: end soon. `after_window`: with the window that is being published, and nothing of a next."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; True when it came. Raises what made it end, if an error."""

    def call(self, request: Callable[[], None]) -> None:
        """From any thread: have `request` run on the engine's own, soon (docs/damon.md#requests)."""

    def ask(self, request: Callable[[], T]) -> T:
        """From any other thread, while it runs: `call`, and what `request` returns or raises. Raises CannotError."""

    def close(self) -> None:
        """Release everything and leave the machine as it was found. Idempotent."""


class Worker:
    """What engines share: a function `run` on a thread of its own, and how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._requests: deque[Callable[[], None]] = deque()
        self._ended = False

    def run(self) -> None:
        raise NotImplementedError

    def wake(self) -> None:
        """From any thread: end what the engine waits for, so that it looks for requests."""
        raise NotImplementedError

    @property
    def here(self) -> bool:
        """Whether this is called on the engine's own thread."""
        return threading.current_thread() is self._thread

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

    def call(self, request: Callable[[], None]) -> None:
        """From any thread: have `request` run on the engine's own, between two ticks (docs/damon.md#requests)."""
        self._requests.append(request)
        self.wake()

    def ask(self, request: Callable[[], T]) -> T:
        """From any thread, while it runs: `call`, and what `request` returns or raises.

        Raises CannotError when the monitor has ended before it could answer.
        """
        if self.here:
            return request()
        answered = threading.Event()
        answers: list[T] = []
        failures: list[BaseException] = []

        def answer() -> None:
            try:
                answers.append(request())
            except Exception as error:
                failures.append(error)
            finally:
                answered.set()

        self.call(answer)
        # Requests that come after the last ones were served are not served any more.
        while not answered.wait(0.05):
            if self._ended and not answered.wait(1):
                raise CannotError("the monitor has ended; start it again to ask or change anything.")
        if failures:
            raise failures[0]
        return answers[0]

    def _serve_requests(self) -> bool:
        """True when there were any."""
        served = bool(self._requests)
        while self._requests:
            self._requests.popleft()()
        return served

    def _serve_last_requests(self) -> None:
        self._ended = True
        self._serve_requests()
