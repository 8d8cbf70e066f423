"""Where snapshots and events go: subscribers that cannot harm the monitor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from udamon.model import Event, Snapshot, Subscriber

_log = logging.getLogger(__name__)


class Bus:
    """Hands every snapshot and event to every subscriber; one that raises is logged and dropped."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._subscribers: list[Subscriber] = []
        self.failures: list[tuple[Subscriber, Exception]] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """From any thread: hand it nothing from now on. Idempotent; a call that runs meanwhile is not waited for."""
        with suppress(ValueError):
            self._subscribers.remove(subscriber)

    def emit(self, name: str, data: Mapping[str, object]) -> None:
        """Publish an event that happened now."""
        event = Event(self._now_ns(), name, data)
        self._publish(lambda subscriber: subscriber.event(event))

    def snapshot(self, snapshot: Snapshot) -> None:
        self._publish(lambda subscriber: subscriber.snapshot(snapshot))

    def _publish(self, hand_over: Callable[[Subscriber], None]) -> None:
        for subscriber in list(self._subscribers):
            try:
                hand_over(subscriber)
            except Exception as error:
                self.unsubscribe(subscriber)
                self.failures.append((subscriber, error))
                _log.exception("a subscriber raised and was dropped: %r", subscriber)
                self.emit("subscriber", {"what": type(subscriber).__name__, "why": str(error)})
