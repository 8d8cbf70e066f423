"""An Arrow IPC stream in pieces: a head, messages that may be appended one by one, an end mark. Each is sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import NamedTuple

from arro3.core import Array, RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream

from udamon.record.buffer import PendingRows
from udamon.record.schema import COLUMNS, SCHEMA, TYPES, schema_of, schema_with
from udamon.record.seal import SIZE as SEAL_SIZE
from udamon.record.seal import sealed

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The stream's end mark: a continuation marker and a message of length 0."""


def whole_stream(schema: Schema, batches: Sequence[RecordBatch], *, compressed: bool = True) -> bytes:
    """A stream from its schema to its end mark, as the Arrow library writes it."""
    out = BytesIO()
    reader = RecordBatchReader.from_batches(schema, batches)
    write_ipc_stream(reader, out, compression="zstd" if compressed else None)
    return out.getvalue()


@cache
def bare_head(columns: int) -> bytes:
    """The schema of a recording with so many columns, without metadata, as a message."""
    return whole_stream(schema_of(columns), [])[: -len(END)]


# A message does not depend on the schema's metadata, so a bare stream's head is the part to cut off.
BARE_HEAD = bare_head(len(COLUMNS))


class EncodedBatch(NamedTuple):
    """A message as the Arrow library writes it, and how many snapshots are in it."""

    data: bytes
    snapshots: int

    @property
    def size(self) -> int:
        """Its bytes with a seal."""
        return len(self.data) + SEAL_SIZE


class Stream:
    """The messages of one part of a recording; numbers them, and the snapshots in them.

    `snapshots` is the number of the next snapshot, 0 for the first part of a recording. `head` comes first, then
    any number of `flush`, then `end`; a message that is made must be written.
    """

    def __init__(self, snapshots: int = 0) -> None:
        self.snapshots = snapshots
        self._sequence = 0

    def head(self, metadata: Mapping[str, object]) -> bytes:
        """What a file starts with: the schema and its metadata."""
        return self.sealed([EncodedBatch(whole_stream(schema_with(metadata), [])[: -len(END)], 0)])

    def messages(self, rows: PendingRows) -> list[EncodedBatch]:
        """The rows as messages that are not numbered yet. The rows must not be used again."""
        count, batches = rows.snapshots, rows.batches()
        # Events come before snapshots, in a batch of their own.
        return [EncodedBatch(_bare(batch), count if batch is batches[-1] else 0) for batch in batches]

    def sealed(self, messages: Sequence[EncodedBatch]) -> bytes:
        """Messages as bytes to append."""
        found = []
        for message in messages:
            found.append(sealed(message.data, self._sequence, message.snapshots, self.snapshots))
            self._sequence += 1
            self.snapshots += message.snapshots
        return b"".join(found)

    def flush(self, rows: PendingRows) -> bytes:
        """The rows as bytes to append; see `messages`."""
        return self.sealed(self.messages(rows))

    def batch(self, batch: RecordBatch, snapshots: int) -> bytes:
        """A record batch with so many snapshots as bytes to append."""
        return self.sealed([EncodedBatch(_bare(batch), snapshots)])

    def end(self) -> bytes:
        """What a file ends with: a batch of no rows, whose number tells how many snapshots there are, and the mark."""
        return self.batch(_NO_ROWS, 0) + END


def _bare(batch: RecordBatch) -> bytes:
    return whole_stream(SCHEMA, [batch])[len(BARE_HEAD) : -len(END)]


_NO_ROWS = RecordBatch.from_arrays([Array([], TYPES[name]) for name in COLUMNS], schema=SCHEMA)
END_SIZE = len(Stream().end())
"""Bytes that a file needs for its end."""
