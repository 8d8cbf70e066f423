"""Which processes were born into a group, by the kernel's events: also those that ended before anybody looked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from udamon.linux.proc_events import Fork, ForkEvents

MOST = 2_000
"""Events an update interval: 3 µs each, so that a second's worth takes less than 1 % of a CPU. With more, forks are
not followed any more."""


class Events(Protocol):
    """linux.proc_events.ForkEvents."""

    def take(self, most: int) -> Sequence[Fork] | None: ...

    def close(self) -> None: ...


class ForkFollower:
    """Follows the forks of a group of processes where privilege allows; else `followed` is False, from the start or
    from when events were lost or became too many."""

    def __init__(self, open_events: Callable[[], Events] = ForkEvents) -> None:
        try:
            self._events: Events | None = open_events()
        except OSError:  # no privilege, or no such events here
            self._events = None
        self._left = MOST
        self._known: frozenset[int] = frozenset()
        """The members of the last time: one that was found then may have ended before its event was taken."""

    def renew(self) -> None:
        """An update interval begins."""
        self._left = MOST

    @property
    def followed(self) -> bool:
        return self._events is not None

    def take(self, members: Collection[int]) -> tuple[list[int], int]:
        """Pids of the descendants of `members` that were born since the last call; and the number of those that surely
        have ended, because their pid was given to another process since."""
        if self._events is None:
            return [], 0
        try:
            forks = self._events.take(self._left)
        except OSError:
            forks = None
        if forks is None:
            self.close()
            return [], 0
        self._left -= len(forks)
        family = set(members)
        known, self._known = self._known, frozenset(members)
        born: dict[int, None] = {}
        gone = 0
        for parent, child in forks:
            if parent in family and (child in known or (child in members and child in family)):
                continue  # it was found before its event was taken, now or when it was looked last
            if child in born:  # its number was given to another process meanwhile
                gone += 1
                del born[child]
            family.discard(child)
            if parent in family:
                family.add(child)
                born[child] = None
        return list(born), gone

    def close(self) -> None:
        """Idempotent."""
        if self._events is not None:
            self._events.close()
            self._events = None
