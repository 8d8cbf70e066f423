"""Functions of the caller as a subscriber."""

from __future__ import annotations

from collections.abc import Callable

from udamon.arguments import shown
from udamon.errors import UsageError
from udamon.model import Event, Snapshot


class SubscribedFunctions:
    """Two functions as a subscriber of a bus. Raises UsageError for what cannot be called."""

    def __init__(
        self, snapshot: Callable[[Snapshot], object], event: Callable[[Event], object] | None = None
    ) -> None:
        for each in (snapshot,) if event is None else (snapshot, event):
            if not callable(each):
                raise UsageError(
                    f"{shown(each)} is no function; give one that takes a snapshot, or an event."
                )
        self.ended = False
        self._snapshot = snapshot
        self._event = event

    def __repr__(self) -> str:
        return repr(self._snapshot)  # in the log, of one that raised

    def snapshot(self, snapshot: Snapshot, /) -> None:
        if not self.ended:
            self._snapshot(snapshot)

    def event(self, event: Event, /) -> None:
        if self._event is not None and not self.ended:
            self._event(event)
