"""Parquet and CSV: the rows and columns of a recording as they are, for other engines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import takewhile
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from arro3.core import Array, DataType, RecordBatch, RecordBatchReader
from arro3.io import write_csv, write_parquet

from udamon import plain_json
from udamon.errors import interruptible
from udamon.record.reader import Recording
from udamon.record.schema import COLUMNS, METADATA_KEY, SCHEMA, TYPES, schema_with

if TYPE_CHECKING:
    from typing_extensions import Buffer

ROW_GROUP = 1 << 17
"""Rows of a row group: what the writer keeps in memory, and what a reader may skip by its statistics."""

FORMULA = frozenset("=+-@\t\r")
"""A text that begins with one of these is a formula for spreadsheets."""


def parquet(recording: Recording, file: BinaryIO) -> None:
    """All rows, compressed with zstd. The metadata is the file's own, under `udamon`, and Arrow's."""
    schema = schema_with(recording.metadata)
    output = _ParquetOutput(file)
    with interruptible():
        write_parquet(
            RecordBatchReader.from_batches(schema, output.until_it_fails(recording.batches())),
            cast(IO[bytes], output),
            compression="zstd(3)",
            max_row_group_size=ROW_GROUP,
            key_value_metadata={METADATA_KEY.decode(): plain_json.written(recording.metadata)},
        )
    output.check()


class _ParquetOutput(io.RawIOBase):
    """Keeps what went wrong with a file from arro3's Parquet writer, which would abort."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failure: OSError | None = None

    def until_it_fails(self, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        """The batches, or no more of them where they could not be written."""
        return takewhile(lambda _: self._failure is None, batches)

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        try:
            if self._failure is None:
                self._file.write(data)
        except OSError as error:
            self._failure = error
        return memoryview(data).nbytes

    def check(self) -> None:
        """Raise what went wrong: OSError."""
        if self._failure is not None:
            raise self._failure


def csv(recording: Recording, file: BinaryIO, *, raw: bool = False) -> None:
    """All rows under one line of names; null is nothing. The first row is an event `metadata`.

    Cells of text that a spreadsheet would take for a formula begin with an apostrophe, unless `raw`.
    """
    batches = _with_metadata(recording)
    batches = batches if raw else map(_without_formulas, batches)
    with interruptible():
        write_csv(RecordBatchReader.from_batches(SCHEMA, batches), file, header=True)


def _without_formulas(batch: RecordBatch) -> RecordBatch:
    """The batch with an apostrophe before each text that begins as formulas do; numbers stay as they are."""
    columns = list(batch.columns)
    for at, name in enumerate(batch.schema.names):
        if TYPES.get(name) != DataType.utf8() or columns[at].null_count == batch.num_rows:
            continue
        cells = columns[at].to_pylist()
        if any(cell and cell[0] in FORMULA for cell in cells):
            marked = [f"'{cell}" if cell and cell[0] in FORMULA else cell for cell in cells]
            columns[at] = Array(marked, DataType.utf8())
    return RecordBatch.from_arrays(columns, schema=batch.schema)


def _with_metadata(recording: Recording) -> Iterator[RecordBatch]:
    row = {
        "time": recording.metadata.get("monotonic_ns") or 0,
        "event": "metadata",
        "data": plain_json.written(recording.metadata),
    }
    yield RecordBatch.from_arrays([Array([row.get(name)], TYPES[name]) for name in COLUMNS], schema=SCHEMA)
    yield from recording.batches()
