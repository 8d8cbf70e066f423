"""A recording as the library offers it: snapshots, events, and regions with the names of their mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from udamon import extras
from udamon.arguments import path_of
from udamon.files.ending import uninterrupted
from udamon.model import Event, Snapshot
from udamon.record.opening import open_recording
from udamon.record.schema import RATE_COLUMNS

if TYPE_CHECKING:
    import duckdb
    import pandas
    from arro3.core import RecordBatch, RecordBatchReader, Schema

    from udamon.report.mappings import MappingTable


class Region(NamedTuple):
    """One region of one snapshot.

    `time` is the end of its window and `window` the length, in seconds on CLOCK_MONOTONIC. `rate` is the fraction of
    samples in which it was accessed, `age` the number of aggregations for which the rate has been like that. `touched`
    and `resident` are bytes; `resident` is None if unknown. `mapping` is the name in /proc/PID/maps of the mapping that
    the region shares most bytes with ("" for anonymous memory), None if unknown. `access_rate` is the chance that a
    page is accessed within a sampling interval, not rounded; in at least 95 of 100 cases it is between `rate_low` and
    `rate_high`. All three are None if unknown (docs/rates.md).
    """

    time: float
    window: float
    seq: int
    target: int
    pid: int | None
    start: int
    end: int
    rate: float
    age: int
    touched: int
    resident: int | None
    mapping: str | None
    access_rate: float | None
    rate_low: float | None
    rate_high: float | None


_FLOATS, _WORDS, _INTS = (
    ("time", "window", "rate", *RATE_COLUMNS),
    ("mapping",),
    ("seq", "target", "pid", "age"),
)


class Recording:
    """A recording on disk, finished or still being written, as it was when it was opened.

    Reads files of other tools too (damo's JSON, text of perf script); `path` "-" is standard input. Every method reads
    from the beginning. Memory use does not grow with the length of the recording, except for `pandas`.

    Raises UsageError for what is no path, and RecordingError if the file is not a recording or cannot be read. Damaged
    parts are skipped, and `damaged` counts them.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        name = path_of("path", path)
        self._recording = open_recording(name)
        self.path = Path(name)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the start: via, ops, policy, grain, attrs (intervals in microseconds), host, …"""
        return dict(self._recording.metadata)

    @property
    def truncated(self) -> bool:
        """Whether the end mark is missing, because the recorder was killed or still runs."""
        return self._recording.truncated

    @property
    def damaged(self) -> int:
        """How many damaged parts were found so far."""
        return len(self._recording.damaged)

    def snapshots(self) -> Iterator[Snapshot]:
        """The snapshots, in the order they were written."""
        return self._recording.snapshots()

    def events(self) -> Iterator[Event]:
        """The events, in the order they were written: targets and mappings that come and go, attributes, costs, …"""
        return self._recording.events()

    def regions(self) -> Iterator[Region]:
        """Every region of every snapshot, with the name of its mapping."""
        return _regions(self._recording.snapshots(), self._recording.events())

    def arrow(self) -> RecordBatchReader:
        """The regions as a stream of Arrow record batches, for any library that reads the Arrow C stream interface:
        `pyarrow.table(recording.arrow())`, `polars.DataFrame(recording.arrow())`. It can be read once."""
        from arro3.core import RecordBatchReader

        return RecordBatchReader.from_batches(_schema(), self._batches())

    def pandas(self) -> pandas.DataFrame:
        """The regions as a pandas DataFrame. Raises MissingExtra without pandas."""
        try:
            import pandas
        except ImportError:
            raise extras.missing("a DataFrame", "pandas") from None
        columns: dict[str, list[object]] = {name: [] for name in Region._fields}
        for region in self.regions():
            for name, value in zip(Region._fields, region, strict=True):
                columns[name].append(value)
        return pandas.DataFrame(
            {name: pandas.array(values, dtype=_dtype(name)) for name, values in columns.items()}
        )

    def duckdb(self, connection: duckdb.DuckDBPyConnection | None = None) -> duckdb.DuckDBPyRelation:
        """The regions as a DuckDB relation, of `connection` or of a new database in memory. Each query streams the file
        anew."""
        with uninterrupted():
            import duckdb

        return (connection or duckdb.connect()).from_arrow(_Stream(self))

    def _batches(self) -> Iterator[RecordBatch]:
        rows: list[Region] = []
        for region in self.regions():
            rows.append(region)
            if len(rows) == _ROWS:
                yield _batch(rows)
                rows = []
        if rows:
            yield _batch(rows)


_ROWS = 1 << 14
"""Rows of a batch: a few MiB."""


class _Stream:
    """The Arrow stream protocol: each call reads the file anew, so a relation may be scanned more than once."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._recording.arrow().__arrow_c_stream__(requested_schema)


def _regions(snapshots: Iterator[Snapshot], events: Iterator[Event]) -> Iterator[Region]:
    from udamon.report.mappings import MappingTable

    tables: dict[object, MappingTable] = {}
    mapped = (event for event in events if event.name == "mappings")
    ahead = next(mapped, None)
    for snapshot in snapshots:
        # The mappings at the end of its window: what was known of the target by then.
        while ahead is not None and ahead.time_ns <= snapshot.end_ns:
            tables.setdefault(ahead.data.get("target"), MappingTable()).apply(ahead.data)
            ahead = next(mapped, None)
        yield from _of(snapshot, tables.get(snapshot.target))


def _of(snapshot: Snapshot, table: MappingTable | None) -> Iterator[Region]:
    time, window = snapshot.end_ns / 1e9, (snapshot.end_ns - snapshot.begin_ns) / 1e9
    for i in range(len(snapshot)):
        start, end = snapshot.starts[i], snapshot.ends[i]
        found = None if table is None else table.largest_overlap(start, end)
        yield Region(
            time, window, snapshot.seq, snapshot.target, snapshot.pid, start, end,
            min(1.0, snapshot.nr_accesses[i] / max(snapshot.ticks, 1)), snapshot.ages[i], snapshot.touched[i],
            None if snapshot.resident is None else snapshot.resident[i],
            None if found is None else found.name, *_rates(snapshot, i),
        )  # fmt: skip


def _rates(snapshot: Snapshot, at: int) -> tuple[float | None, float | None, float | None]:
    rates = snapshot.rates
    if rates is None or isnan(rates.rate[at]):
        return None, None, None
    return rates.rate[at], rates.low[at], rates.high[at]


def _schema() -> Schema:
    from arro3.core import DataType, Field, Schema

    def kind(name: str) -> DataType:
        if name in _FLOATS:
            return DataType.float64()
        if name in _WORDS:
            return DataType.utf8()
        return DataType.int64() if name in _INTS else DataType.uint64()

    return Schema([Field(name, kind(name), nullable=True) for name in Region._fields])


def _batch(rows: list[Region]) -> RecordBatch:
    from arro3.core import Array, RecordBatch

    schema = _schema()
    columns = zip(Region._fields, zip(*rows, strict=True), strict=True)
    return RecordBatch.from_arrays(
        [Array(list(values), schema.field(name).type) for name, values in columns], schema=schema
    )


def _dtype(name: str) -> str:
    if name in _FLOATS:
        return "float64"
    if name in _WORDS:
        return "string"
    return "Int64" if name in _INTS else "UInt64"
