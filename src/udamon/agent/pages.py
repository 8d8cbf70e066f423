"""The state of single pages of processes: 4 bits for each resident page, within a bound on the total."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from udamon.linux.page_tables import PAGE_KINDS
from udamon.model import PAGE_SIZE
from udamon.native._native import (
    AGE_GROUP_BYTES,
    AGE_TIMES,
    RESIDENT,
    TOUCHED,
    page_ages,
)

MOST_BYTES = 40 << 20
"""Of all records together: those of 256 GiB in small pages take 32 MiB."""
RECORD_BYTES = 200
"""What a record of a GiB takes in Python, beside its bytes."""


class Gib(NamedTuple):
    """A byte for each page of a GiB of address space from its begin on; they are the reader's until the next one."""

    number: int
    states: memoryview


class Room:
    """How much may be kept of all processes together."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.used = 0

    @property
    def groups(self) -> int:
        """Groups of pages (native/page_ages.c) that find room; the few bytes that say where they are left out."""
        return max(0, self.most - self.used - RECORD_BYTES) // AGE_GROUP_BYTES


class Folded(NamedTuple):
    """Of a look, in pages: those accessed again by the number of the time at which they were accessed before, and all
    that were accessed."""

    again: list[int]
    touched: int


class PageTimes:
    """Of one process. `since_ns`: watched from then on; `pages` that have each number; `left_out`: resident pages for
    which there was no room. `forget` is called when it is closed."""

    __slots__ = ("_forget", "_records", "_room", "_taken", "left_out", "pages", "since_ns")

    def __init__(self, room: Room, since_ns: int, forget: Callable[[], None]) -> None:
        self.since_ns = since_ns
        self.pages = [0] * AGE_TIMES
        self.left_out = 0
        self._records: dict[int, bytes] = {}
        self._room = room
        self._taken = 0
        self._forget = forget

    @property
    def counted(self) -> int:
        """Bytes of pages that have a time."""
        return sum(self.pages) * PAGE_SIZE

    def fold(self, gibs: Iterable[Gib], remap: bytes, newest: int) -> Folded:
        """Take a look in: pages that were accessed, or are new, get the number `newest`, all others that of `remap`.
        Raises what `gibs` raises; it is to be closed then."""
        before, self._records = self._records, {}
        self.pages, self.left_out = [0] * AGE_TIMES, 0
        again, touched = [0] * AGE_TIMES, 0
        for number, states in gibs:
            old = before.pop(number, b"")
            found = page_ages(
                states=states,
                kinds=PAGE_KINDS,
                record=old,
                remap=remap,
                newest=newest,
                room=self._room.groups,
            )
            if found.record:
                self._records[number] = found.record
            self._grow(_size(found.record) - _size(old))
            self.pages = [a + b for a, b in zip(self.pages, found.pages, strict=True)]
            again = [a + b for a, b in zip(again, found.again, strict=True)]
            touched += counted_pages(states).touched
            self.left_out += found.left_out
        self._grow(-sum(map(_size, before.values())))
        return Folded(again, touched)

    def close(self) -> None:
        """What it took is free again."""
        self._grow(-self._taken)
        self._records = {}
        self._forget()

    def _grow(self, size: int) -> None:
        self._taken += size
        self._room.used += size


def _size(record: bytes) -> int:
    return len(record) + RECORD_BYTES if record else 0


class PageCounts(NamedTuple):
    """Pages that are there, and those of them that were accessed."""

    resident: int
    touched: int


def counted_pages(states: memoryview) -> PageCounts:
    """Of some pages."""
    kinds = bytes(states).translate(PAGE_KINDS)
    touched = kinds.count(RESIDENT | TOUCHED)
    return PageCounts(kinds.count(RESIDENT) + touched, touched)
