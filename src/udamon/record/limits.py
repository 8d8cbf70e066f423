"""How much memory and time a file may take to read: a few KiB can unpack to any size, nest to any depth, count without
end."""

from __future__ import annotations

from dataclasses import dataclass

from udamon.errors import RecordingError, UsageError

MIB = 1 << 20
BYTES_A_ROW = 148
"""A row of a recording in memory: 136 bytes of numbers, what says which are null, offsets of two texts."""

MOST_MEMORY = 1 << 50
"""Bytes that a limit may be; DuckDB takes no more than 63 bits."""
JSON_ITEM = 80
"""An object, a list or a long number of JSON as Python keeps it, with the place that leads to it."""


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading may take: `memory` in bytes, rows of a recording (None: see `rows_of`), nesting of JSON, bytes of
    the `copy` that is made of what comes through a pipe.

    Three quarters of the memory are for queries, a quarter for one piece of a file once it is unpacked: a record
    batch, a snapshot of another tool's file, a JSON document.
    """

    memory: int = 400 * MIB
    rows: int | None = None
    depth: int = 32
    copy: int = 1024 * MIB

    def __post_init__(self) -> None:
        if self.memory < 64 * MIB:
            raise UsageError(
                f"--max-memory {self.memory} is too little to read anything; give at least 64MiB."
            )
        if self.memory > MOST_MEMORY:
            raise UsageError(
                f"--max-memory {self.memory:.3g} is more than any machine has; give at most 1024TiB."
            )
        if self.depth < 8 or self.depth > 500:
            raise UsageError(f"--max-depth {self.depth} is no depth of a recording; give 8 to 500.")
        if self.rows is not None and self.rows < 1:
            raise UsageError(f"--max-rows {self.rows} leaves nothing to read; give at least 1.")

    @property
    def piece(self) -> int:
        """Bytes of one piece of a file in memory."""
        return self.memory // 4

    @property
    def piece_rows(self) -> int:
        """Rows of one record batch, regions of one snapshot."""
        return self.piece // BYTES_A_ROW

    @property
    def query(self) -> int:
        """Bytes that queries may use before they spill to disk."""
        return self.memory // 4 * 3

    def rows_of(self, size: int) -> int:
        """Rows of a file of `size` bytes: by default 20 million, or 16 a byte where that is more, which no file that
        was measured comes near."""
        return max(20_000_000, 16 * size) if self.rows is None else self.rows

    def check_rows(self, rows: int, size: int, what: object) -> None:
        """Raises RecordingError beyond `rows_of`."""
        if rows > self.rows_of(size):
            raise RecordingError(
                f"{what} has more than {self.rows_of(size):,} rows in {size:,} bytes; if that is as it should be, "
                "read it with a higher --max-rows."
            )


DEFAULT = ReadLimits()


def check_size(text: str, limits: ReadLimits) -> None:
    """Raise ValueError for JSON that would take more memory to read than is allowed."""
    items = text.count("{") + text.count("[") + text.count(",")
    if len(text) + JSON_ITEM * items > limits.piece:
        raise ValueError("a JSON document in it is larger than --max-memory allows")
