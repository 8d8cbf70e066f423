"""The heads of messages: a schema must be that of a recording, and a batch is checked and its head made anew.

No FlatBuffer of a file is handed to the Arrow library. What the head of a batch says (rows, nulls, buffers) is read
with bounds, compared with what the columns need and the body has, and written into a head of our own. The layout is
that of Arrow's specification (Message.fbs, Schema.fbs; "Encapsulated message format").
"""

from __future__ import annotations

import struct
from functools import cache
from typing import NamedTuple

from arro3.core import Array, DataType, RecordBatch

from udamon.record.flatbuffer import FlatTable, Malformed, root
from udamon.record.schema import COLUMNS, METADATA_KEY, TYPES, WIDTHS, schema_of
from udamon.record.seal import PREFIX
from udamon.record.stream import whole_stream

MARKER = 0xFFFF_FFFF
LONGEST_SCHEMA, LONGEST_HEAD = 4 << 20, 1 << 14
"""Bytes of metadata: a schema has command lines in it, the head of a batch only counts."""

_SCHEMA, _BATCH = 1, 3
_INT, _FLOAT, _UTF8 = 2, 3, 5
_DOUBLE = 2  # precision of a number with a fraction
_EVENT = COLUMNS.index("event")
_SIGNED = (DataType.int64(), DataType.int32())


def _number(kind: DataType) -> tuple[int, int | None] | None:
    if kind == DataType.float64():
        return 64, None
    return None if kind.bit_width is None else (kind.bit_width, int(kind in _SIGNED))


_NUMBERS = [_number(TYPES[name]) for name in COLUMNS]
"""Bits and sign (None: with a fraction) of each column of numbers, None for text."""


def _buffers(columns: int) -> int:
    """Buffers of a batch with so many columns."""
    return sum(3 if kind is None else 2 for kind in _NUMBERS[:columns])


_SLACK = 256
"""A buffer may be so much longer than its values, for writers that pad."""


class Head(NamedTuple):
    """What the head of a batch says: rows, nulls of each column, (offset, length) of buffers, bytes of the body."""

    rows: int
    nulls: tuple[int, ...]
    buffers: tuple[tuple[int, int], ...]
    body: int
    compressed: bool

    @property
    def events(self) -> int:
        return self.rows - self.nulls[_EVENT]


def kind_and_body(metadata: bytes) -> tuple[int, FlatTable, int]:
    """Of any message: what it is, its header, and the length of its body. Raises Malformed."""
    message = root(metadata)
    version, kind, body = message.scalar(0, "<h"), message.scalar(1, "<B"), message.scalar(3, "<q")
    if version not in (3, 4) or body < 0 or body % 8:
        raise Malformed("the head of a message is not Arrow's")
    return kind, message.table(2), body


def metadata_text(metadata: bytes) -> tuple[bytes | None, int]:
    """The JSON in the metadata of a schema, None where it is a schema of something else; and how many columns it has.
    Raises Malformed."""
    kind, schema, body = kind_and_body(metadata)
    if kind != _SCHEMA or body or schema.scalar(0, "<h"):
        raise Malformed("the first message is no schema")
    _, count = schema.vector(1, 4, 1 << 12)
    if count not in WIDTHS:
        return None, count
    fields = zip(schema.tables(1, count), COLUMNS[:count], _NUMBERS[:count], strict=True)
    if any(not _is(field, name, number) for field, name, number in fields):
        return None, count
    for pair in schema.tables(2, 64):
        if pair.text(0) == METADATA_KEY:
            return pair.text(1), count
    return None, count


def _is(field: FlatTable, name: str, kind: tuple[int, int | None] | None) -> bool:
    """Whether a column is the one that a recording has there."""
    if field.text(0) != name.encode() or field.place(4) is not None or field.vector(5, 4, 1)[1]:
        return False
    if kind is None:
        return field.scalar(2, "<B") == _UTF8
    about = field.table(3)
    if kind[1] is None:
        return (field.scalar(2, "<B"), about.scalar(0, "<h")) == (_FLOAT, _DOUBLE)
    return (field.scalar(2, "<B"), about.scalar(0, "<i"), about.scalar(1, "<B")) == (_INT, *kind)


def batch_head(metadata: bytes) -> Head | None:
    """The head of a record batch, None for any other message. Raises Malformed for one that no recording has."""
    kind, batch, body = kind_and_body(metadata)
    if kind != _BATCH:
        return None
    rows = batch.scalar(0, "<q")
    nodes, node_count = batch.vector(1, 16, len(COLUMNS))
    buffers, buffer_count = batch.vector(2, 16, _buffers(len(COLUMNS)))
    if node_count not in WIDTHS or buffer_count != _buffers(node_count) or batch.vector(4, 8, 1)[1]:
        raise Malformed("a batch has other columns than a recording")
    lengths = struct.unpack_from(f"<{2 * node_count}q", metadata, nodes)
    places = struct.unpack_from(f"<{2 * buffer_count}q", metadata, buffers)
    nulls = lengths[1::2]
    if rows < 0 or any(length != rows for length in lengths[::2]) or not all(0 <= n <= rows for n in nulls):
        raise Malformed("the columns of a batch are not of one length")
    pairs = tuple(zip(places[::2], places[1::2], strict=True))
    if any(offset < 0 or offset % 8 or length < 0 or offset + length > body for offset, length in pairs):
        raise Malformed("a column of a batch lies outside of it")
    return Head(rows, nulls, pairs, body, _compressed(batch))


def _compressed(batch: FlatTable) -> bool:
    if batch.place(3) is None:
        return False
    about = batch.table(3)
    if (about.scalar(0, "<b"), about.scalar(1, "<b")) != (1, 0):
        raise Malformed("a batch is compressed by something else than zstd")
    return True


def check_body(head: Head, body: memoryview, most: int) -> None:
    """Compare the declared lengths of all columns with what they need. Raises Malformed, beyond `most` bytes, too."""
    total, at = 0, 0
    for column, kind in enumerate(_NUMBERS[: len(head.nulls)]):
        needed = [(-(-head.rows // 8) if head.nulls[column] else 0, 1)]
        if kind is None:
            needed += [(4 * (head.rows + 1) if head.rows else 0, 4), (0, 1)]
        else:
            needed.append((kind[0] // 8 * head.rows, kind[0] // 8))
        for number, (least, width) in enumerate(needed):
            length = _unpacked(head, body, at)
            total += length
            at += 1
            # A text column has any number of letters; every other buffer follows from the rows. Of a value that is
            # there in part the Arrow library panics.
            if length < least or length % width or (number < 2 and length > 8 * head.rows + _SLACK):
                raise Malformed("a column of a batch is not as long as its rows")
    if total > most:
        raise Malformed(f"a batch takes {total:,} bytes when it is unpacked, more than --max-memory allows")


def _unpacked(head: Head, body: memoryview, number: int) -> int:
    """Bytes of a buffer when it is unpacked."""
    offset, length = head.buffers[number]
    if not head.compressed or length == 0:
        return length
    if length < 8:
        raise Malformed("a compressed column has no length")
    declared = int(struct.unpack_from("<q", body, offset)[0])
    if declared == -1:
        return length - 8
    if declared < 0:
        raise Malformed("a compressed column has no length")
    return declared


class _Template(NamedTuple):
    """A message for one batch as the Arrow library itself writes it, and the places of what differs."""

    data: bytes
    body: int
    rows: int
    nodes: int
    buffers: int


@cache
def _template(columns: int, compressed: bool) -> _Template:
    schema = schema_of(columns)
    arrays = [Array([None if name != "time" else 0], TYPES[name]) for name in schema.names]
    stream = whole_stream(schema, [RecordBatch.from_arrays(arrays, schema=schema)], compressed=compressed)
    begin = PREFIX.size + PREFIX.unpack_from(stream)[1]
    end = begin + PREFIX.size + PREFIX.unpack_from(stream, begin)[1]
    data = stream[begin + PREFIX.size : end]
    message = root(data)
    header = message.table(2)
    body, rows = message.place(3), header.place(0)
    assert body is not None
    assert rows is not None
    places = header.vector(1, 16, columns), header.vector(2, 16, _buffers(columns))
    assert (places[0][1], places[1][1]) == (columns, _buffers(columns))
    return _Template(data, body, rows, places[0][0], places[1][0])


def remade(head: Head) -> bytes:
    """The beginning of a message, up to its body, that says what `head` says and nothing else."""
    template = _template(len(head.nulls), head.compressed)
    data = bytearray(template.data)
    struct.pack_into("<q", data, template.body, head.body)
    struct.pack_into("<q", data, template.rows, head.rows)
    nodes = [value for nulls in head.nulls for value in (head.rows, nulls)]
    struct.pack_into(f"<{len(nodes)}q", data, template.nodes, *nodes)
    places = [value for pair in head.buffers for value in pair]
    struct.pack_into(f"<{len(places)}q", data, template.buffers, *places)
    return PREFIX.pack(MARKER, len(data)) + bytes(data)
