"""When pages were accessed last, as one of at most AGE_TIMES times: a page keeps the number of its time, in 4 bits.

Each look begins a new time. Times that no page has any more go; where all are in use, the two neighbours become one
whose bounds are closest to each other by how long ago they are. So what was accessed lately is known to a window, and
what is old to a share of its age; where memory is either hot or idle for long, as most is, few times are in use and
nothing is joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from udamon.native._native import AGE_TIMES

UNCHANGED = bytes(range(AGE_TIMES)) + b"\0"
"""Of `remap`, where no time has gone."""


class Epoch(NamedTuple):
    """Pages of it were accessed last at `oldest_ns` or later, and at `newest_ns` or before."""

    oldest_ns: int
    newest_ns: int


class Epochs:
    """Of the pages of one service, ascending. `pages`: how many pages have each, as of the last look."""

    def __init__(self) -> None:
        self.epochs: list[Epoch] = []
        self.pages = [0] * AGE_TIMES

    @property
    def newest(self) -> int:
        """The number of the newest one."""
        return len(self.epochs) - 1

    def open(self, begin_ns: int, end_ns: int) -> bytes:
        """A look at `end_ns`: what was accessed since `begin_ns` gets an epoch of its own. Returns what the numbers of
        all others have become by now."""
        remap = bytearray(UNCHANGED)
        kept: list[Epoch] = []
        for number, epoch in enumerate(self.epochs):
            remap[number] = min(len(kept), AGE_TIMES - 1)
            if self.pages[number]:
                kept.append(epoch)
        if len(kept) == AGE_TIMES:
            at = min(range(len(kept) - 1), key=lambda i: _width(kept[i], kept[i + 1], end_ns))
            kept[at : at + 2] = [Epoch(kept[at].oldest_ns, kept[at + 1].newest_ns)]
            remap = bytearray(number - (number > at) for number in remap)
        self.epochs = [*kept, Epoch(begin_ns, end_ns)]
        return bytes(remap)

    def cleared(self, now_ns: int) -> None:
        """Accesses have been seen from now on: those before may belong to the newest epoch."""
        self.epochs[-1] = self.epochs[-1]._replace(newest_ns=now_ns)

    def counted(self, pages: Iterable[Sequence[int]]) -> None:
        """How many pages of each process have each number now."""
        self.pages = [sum(column) for column in zip(*pages, strict=True)] or [0] * AGE_TIMES

    def idle(self, pages: Sequence[int], now_ns: int, age_ns: int, late_ns: int) -> tuple[int, int]:
        """Of so many pages with each number, those not accessed for the age: at least, and at most, where an age counts
        as reached that would be by `late_ns` from now."""
        low = high = 0
        for epoch, number in zip(self.epochs, pages, strict=False):
            low += number if now_ns - epoch.newest_ns >= age_ns else 0
            high += number if now_ns - epoch.oldest_ns > age_ns + late_ns else 0
        return low, high


def _width(older: Epoch, newer: Epoch, now_ns: int) -> float:
    """How far apart the bounds of both together are, by how long ago they are."""
    return (now_ns - older.oldest_ns) / max(1, now_ns - newer.newest_ns)
