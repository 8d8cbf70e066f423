"""Fields of a FlatBuffer that nobody vouches for: every offset is checked before it is followed."""

from __future__ import annotations

import struct
from collections.abc import Iterator


class Malformed(ValueError):
    """Bytes that are not what they should be; the message says what."""


class FlatTable:
    """A table in `data`: fields by number, each None or its default when it is missing. Raises Malformed."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self._vtable = at - number(data, "<i", at)
        size = number(data, "<H", self._vtable)
        if size < 4 or size % 2:
            raise Malformed("the head of a message is broken")
        self._fields = (size - 4) // 2

    def place(self, field: int) -> int | None:
        """Where a field is."""
        offset = number(self.data, "<H", self._vtable + 4 + 2 * field) if field < self._fields else 0
        return self.at + offset if offset else None

    def scalar(self, field: int, form: str) -> int:
        """A number by its struct format, 0 when it is missing."""
        at = self.place(field)
        return 0 if at is None else number(self.data, form, at)

    def follow(self, field: int) -> int | None:
        """Where the offset that is stored in a field leads."""
        at = self.place(field)
        return None if at is None else at + number(self.data, "<I", at)

    def table(self, field: int) -> FlatTable:
        """The table that a field leads to."""
        at = self.follow(field)
        if at is None:
            raise Malformed("the head of a message lacks a part")
        return FlatTable(self.data, at)

    def vector(self, field: int, size: int, most: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are, each of `size` bytes; (0, 0) without one."""
        at = self.follow(field)
        if at is None:
            return 0, 0
        count = number(self.data, "<I", at)
        if count > most or at + 4 + size * count > len(self.data):
            raise Malformed("the head of a message counts more than it holds")
        return at + 4, count

    def tables(self, field: int, most: int) -> Iterator[FlatTable]:
        """The tables of a vector, at most so many."""
        at, count = self.vector(field, 4, most)
        for place in range(at, at + 4 * count, 4):
            yield FlatTable(self.data, place + number(self.data, "<I", place))

    def text(self, field: int) -> bytes:
        """A string, or nothing."""
        at, length = self.vector(field, 1, len(self.data))
        return self.data[at : at + length]


def root(data: bytes) -> FlatTable:
    """The table that a FlatBuffer begins with."""
    return FlatTable(data, number(data, "<I", 0))


def number(data: bytes, form: str, at: int) -> int:
    """A number at a place, which must be within the data."""
    try:
        if at >= 0:  # counted from the end otherwise
            return int(struct.unpack_from(form, data, at)[0])
    except struct.error:
        pass
    raise Malformed("the head of a message leads out of it")
