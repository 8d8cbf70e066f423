"""A bounded queue of snapshots between the monitor's thread and a consumer: a thread or a task of asyncio."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from udamon.model import Snapshot

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

T = TypeVar("T")


class SnapshotQueue:
    """Keeps the newest `limit` snapshots. When it is full, a new snapshot replaces the oldest one, which is counted."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._snapshots: deque[Snapshot] = deque()
        self._limit = limit
        self._closed = False
        self._changed = threading.Condition()
        self._waiting: list[asyncio.Future[None]] = []

    def put(self, snapshot: Snapshot) -> None:
        """From any thread; never waits for a consumer."""
        with self._changed:
            if len(self._snapshots) >= self._limit:
                self._snapshots.popleft()
                self.dropped += 1
            self._snapshots.append(snapshot)
            self._wake()

    def close(self) -> None:
        """No more snapshots will come. Consumers get those that are left, and then None. Idempotent."""
        with self._changed:
            self._closed = True
            self._wake()

    def take(self) -> Snapshot | None:
        """Wait for the next one; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._snapshots or self._closed)
            return self._snapshots.popleft() if self._snapshots else None

    async def take_async(self) -> Snapshot | None:
        """Like `take`, without blocking the event loop. If it is cancelled, it has taken nothing."""
        import asyncio

        while True:
            with self._changed:
                if self._snapshots:
                    return self._snapshots.popleft()
                if self._closed:
                    return None
                woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(woken)
            try:
                await woken
            finally:
                with self._changed:
                    if woken in self._waiting:
                        self._waiting.remove(woken)

    def _wake(self) -> None:
        self._changed.notify_all()
        waiting, self._waiting = self._waiting, []
        for woken in waiting:
            try:
                woken.get_loop().call_soon_threadsafe(_finish, woken)
            except RuntimeError:
                pass  # its loop was closed, so it does not wait any more


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


async def to_its_end(function: Callable[[], T]) -> T:
    """Run `function` on another thread, and wait for its end also when this is cancelled meanwhile."""
    import asyncio

    running = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if not running.done():
            await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # it was looked at: the cancellation is what counts
        raise
