"""Heads of batches that lie about the lengths of their columns."""

from __future__ import annotations

import pytest
from arro3.core import Array, DataType, RecordBatch

from udamon.record.flatbuffer import Malformed
from udamon.record.heads import Head, batch_head, check_body
from udamon.record.schema import COLUMNS, TYPES, schema_of
from udamon.record.seal import PREFIX
from udamon.record.stream import whole_stream

ROWS = 3


def batch() -> tuple[Head, memoryview]:
    """The head and the body of a batch of numbers and texts, not compressed."""
    schema = schema_of(len(COLUMNS))
    arrays = [
        Array(["ab" if TYPES[name] == DataType.utf8() else 1] * ROWS, TYPES[name]) for name in schema.names
    ]
    stream = whole_stream(schema, [RecordBatch.from_arrays(arrays, schema=schema)], compressed=False)
    begin = PREFIX.size + PREFIX.unpack_from(stream)[1]
    end = begin + PREFIX.size + PREFIX.unpack_from(stream, begin)[1]
    head = batch_head(stream[begin + PREFIX.size : end])
    assert head is not None
    return head, memoryview(stream)[end:]


def test_a_value_that_is_there_in_part_is_refused() -> None:
    """The Arrow library takes a column for values of one size, and ends the process where a part of one is left."""
    head, body = batch()
    check_body(head, body, 1 << 20)
    at = 0
    for name in COLUMNS:
        width = TYPES[name].bit_width
        for size in (None, 4, None) if width is None else (None, width // 8):
            offset, length = head.buffers[at]
            for more in range(1, 8):
                buffers = (*head.buffers[:at], (offset, length + more), *head.buffers[at + 1 :])
                if size is None or (length + more) % size == 0:
                    check_body(head._replace(buffers=buffers), body, 1 << 20)
                else:
                    with pytest.raises(Malformed, match="not as long as its rows"):
                        check_body(head._replace(buffers=buffers), body, 1 << 20)
            at += 1
    assert at == len(head.buffers)
