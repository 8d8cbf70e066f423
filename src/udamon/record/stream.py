"""An Arrow IPC stream in pieces: a header, messages that may be appended one by one, an end mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO

from arro3.core import RecordBatch, RecordBatchReader, Schema
from arro3.io import write_ipc_stream

from udamon.record.schema import SCHEMA, schema_with

END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The stream's end mark: a continuation marker and a message of length 0."""


def _whole(schema: Schema, batches: Sequence[RecordBatch]) -> bytes:
    out = BytesIO()
    write_ipc_stream(RecordBatchReader.from_batches(schema, batches), out, compression="zstd")
    return out.getvalue()


def header(metadata: Mapping[str, object]) -> bytes:
    """What a file starts with: the schema and its metadata."""
    return _whole(schema_with(metadata), [])[: -len(END)]


# A message does not depend on the schema's metadata, so a bare stream's header is the part to cut off.
_BARE = len(_whole(SCHEMA, [])) - len(END)


def messages(batches: Sequence[RecordBatch]) -> bytes:
    """The batches as bytes that can be appended to a file that starts with `header`."""
    return _whole(SCHEMA, batches)[_BARE : -len(END)]
