"""Events as real tracepoints, user_events:damon_aggregated and so on, where the kernel has user_events."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from udamon.control.tracepoints import FIELDS
from udamon.errors import CannotError
from udamon.linux.user_events import UserEvent, open_user_events


class UserTracepoints:
    """Implements tracepoints.Listener. Raises CannotError when made, where user space has no tracepoints."""

    def __init__(self, tracefs: Path) -> None:
        self._fd = open_user_events(tracefs)
        self._events: dict[str, UserEvent] = {}
        try:
            for name, fields in FIELDS.items():
                self._events[name] = UserEvent(self._fd, name, fields)
        except OSError as error:
            self.close()
            raise CannotError(f"tracepoints could not be registered: {error.strerror}.") from error

    def listens(self, event: str) -> bool:
        known = self._events.get(event)
        return known is not None and known.enabled

    def emit(self, event: str, time_ns: int, pid: int, comm: str, rows: Sequence[tuple[int, ...]]) -> None:
        """The kernel adds time, thread and name: those of the kdamond, whose thread calls this."""
        known = self._events[event]
        with suppress(OSError):  # the last listener may have gone in between
            for row in rows:
                known.write(row)

    def close(self) -> None:
        """The events are gone, unless somebody still listens. Idempotent."""
        for event in self._events.values():
            with suppress(OSError):
                event.unregister()
        self._events.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
