"""The messages of an Arrow IPC stream, found by their heads alone: bodies are skipped, not decompressed.

What a batch holds is told by the counts in its head, so a reader that wants events, or a part of the
snapshots, reads a small part of the file. The layout is that of Arrow's specification ("Encapsulated
message format", Message.fbs); a head is a FlatBuffer, of which a few fields are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from udamon.record.schema import COLUMNS

_CONTINUATION = 0xFFFF_FFFF
_RECORD_BATCH = 3
_LONGEST_HEAD = 1 << 20
_EVENT = COLUMNS.index("event")


class Message(NamedTuple):
    """One record batch in the file: bytes [offset, end), its rows, and how many of them are events."""

    offset: int
    end: int
    rows: int
    events: int


class _Table:
    """A table of a FlatBuffer: fields by number; a missing field is None."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - _i32(data, at)
        self._fields = (_u16(data, self._vtable) - 4) // 2

    def place(self, field: int) -> int | None:
        offset = _u16(self._data, self._vtable + 4 + 2 * field) if field < self._fields else 0
        return self._at + offset if offset else None

    def follow(self, field: int) -> int | None:
        """Where the offset that is stored in a field leads."""
        at = self.place(field)
        return None if at is None else at + _u32(self._data, at)

    def i64(self, field: int) -> int:
        at = self.place(field)
        return 0 if at is None else int(struct.unpack_from("<q", self._data, at)[0])


def _u16(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<H", data, at)[0])


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _i32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<i", data, at)[0])


def messages(path: Path) -> Iterator[Message]:
    """The whole record batches of a recording, in order; ends silently at the end mark or a torn message."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while (found := _next(file, size)) is not None:
            if found.rows >= 0:
                yield found
            file.seek(found.end)


def head(path: Path) -> bytes:
    """The bytes before the first record batch: the schema with its metadata."""
    with path.open("rb") as file:
        length = struct.unpack("<II", file.read(8))[1]
        file.seek(0)
        return file.read(8 + int(length))


def _next(file: BinaryIO, size: int) -> Message | None:
    """The message at the file's place; `rows` is -1 for what is no record batch."""
    offset = file.tell()
    prefix = file.read(8)
    if len(prefix) < 8:
        return None
    mark, length = struct.unpack("<II", prefix)
    if mark != _CONTINUATION or not 0 < length <= _LONGEST_HEAD:
        return None
    data = file.read(length)
    try:
        return _parse(data, offset, size) if len(data) == length else None
    except struct.error:  # offsets that lead out of the head: torn, or overwritten
        return None


def _parse(data: bytes, offset: int, size: int) -> Message | None:
    message = _Table(data, _u32(data, 0))
    end = offset + 8 + len(data) + message.i64(3)
    if end > size:
        return None
    kind, header = message.place(1), message.follow(2)
    if kind is None or header is None or data[kind] != _RECORD_BATCH:
        return Message(offset, end, -1, 0)
    batch = _Table(data, header)
    rows, nodes = batch.i64(0), batch.follow(1)
    if nodes is None:
        return Message(offset, end, rows, 0)
    nulls = struct.unpack_from("<q", data, nodes + 4 + 16 * _EVENT + 8)[0]
    return Message(offset, end, rows, rows - int(nulls))
