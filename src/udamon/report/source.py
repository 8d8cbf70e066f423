"""Where reports take their rows from: DuckDB over the stream of a recording."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from typing import Any

from udamon.closing import Closing
from udamon.errors import CannotError, RecordingError, UsageError
from udamon.files.ending import uninterrupted
from udamon.files.temporary import TemporaryDirectory
from udamon.linux.address_limit import DUCKDB_ADDRESSES, address_limit, require_addresses
from udamon.linux.open_files import refuse_if_full
from udamon.record.metadata import warmup_until
from udamon.record.reader import Place, Recording
from udamon.report.filters import Filters, cut
from udamon.report.grain import is_sampled, rate_of
from udamon.report.mappings import pieces_of
from udamon.units import format_size, format_time

PART_ROWS = 3_000_000
"""Rows of a part, about at most (see RecordingSource.in_parts)."""

BYTES_A_RESULT = 400
"""Memory of one row of a result in Python, about at most."""

SOME_ROWS = 200_000
"""Rows of `some_regions`, about at most."""

SHORT_ROWS, SHORT_BYTES = 50_000, 16 << 20
"""A recording with no more rows than this, and no more bytes once unpacked, is read once and kept in memory."""
ALL_MOMENTS = 'SELECT count(DISTINCT seq), min("begin"), max(time) FROM recording WHERE "begin" IS NOT NULL'
"""Snapshots of the recording, whatever the filters leave, and the time that they are of."""

BOUNDED = "SELECT count(touched_high) FROM some_shared"
MOMENTS = "SELECT count(DISTINCT seq) FROM regions"
TARGETS = "SELECT DISTINCT target FROM regions ORDER BY target"

_number = count()


class NoSnapshots(RecordingError):
    """A recording can be read, and has no snapshot, or none that filters and warm-up leave."""


class _SampledBatches:
    """A few snapshots of the time that filters leave, for DuckDB to read; all of them when a target is chosen,
    which may have lived for a short time only."""

    def __init__(self, source: RecordingSource) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        recording = self._source.recording
        if self._source.filters.targets:
            return recording.__arrow_c_stream__(requested_schema)
        return recording.some(SOME_ROWS, *self._source.span_ns).__arrow_c_stream__(requested_schema)


class _BatchPart:
    """Some batches of a recording, for DuckDB to read."""

    def __init__(self, recording: Recording, part: Sequence[Place]) -> None:
        self._recording, self._part = recording, part

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._recording.only(self._part).__arrow_c_stream__(requested_schema)


def _not_started(error: Exception) -> CannotError:
    """Raises OutOfFiles."""
    said = str(error).split("\n")[0].rstrip(".")
    if said.endswith(os.strerror(errno.EMFILE)):  # it gives no number
        refuse_if_full(OSError(errno.EMFILE, ""))
    return CannotError(
        f"DuckDB, by which recordings are read, did not start: {said}; allow this process more."
    )


class RecordingSource(Closing):
    """A recording with filters, ready for queries over the view `regions` (udamon.report.filters).

    `shared_regions` is the same with what is known of others who have the same pages. Each query streams the file
    anew; a short recording is read once. `some_regions` and `some_shared` are the same views of a few snapshots, the
    first and the last among them: where memory is can be told from those.
    """

    def __init__(
        self, recording: Recording, filters: Filters | None = None, beside: RecordingSource | None = None
    ) -> None:
        """`beside`: the source whose DuckDB it uses, and with it the memory that this one is given; it must stay open
        for longer."""
        require_addresses(DUCKDB_ADDRESSES, "a report")
        with uninterrupted():
            import duckdb  # 60 MiB: only where a report is made

        self.recording, limits = recording, recording.limits
        self.recordings = [recording]
        """This one, and others that the same report is about."""
        self.compared: RecordingSource | None = None
        """What a report compares it with."""
        self.filters = (filters or Filters()).past_warmup(warmup_until(recording.metadata, recording.path))
        self._full = duckdb.OutOfMemoryException
        self._spill: TemporaryDirectory | None = None
        if beside is None:
            # Private, and not the working directory that DuckDB would spill to by itself.
            self._spill = TemporaryDirectory("report")
            config: dict[str, Any] = {"memory_limit": f"{limits.query}B", "threads": 2}
            try:
                self._db = duckdb.connect(config=config | {"temp_directory": str(self._spill.path)})
            except duckdb.Error as error:
                self._spill.close()
                raise _not_started(error) from error
            # A stream has no statistics, so the optimizer would build its hash tables from the wrong side: the
            # queries are written with the small table on the right, and that is kept.
            self._db.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            self._db.execute("SET preserve_insertion_order = false")
        else:
            self._db = beside._db.cursor()  # tables and views are its own
        self._db.execute("SET enable_progress_bar = false")  # on standard output, in notebooks and python -c
        try:
            self._open(recording, beside)
        except BaseException:
            self.close()
            raise

    def _open(self, recording: Recording, beside: RecordingSource | None) -> None:
        """Make the views. Raises as `query`, and UsageError for a mapping that is not there."""
        self._db.register("recording", recording)
        self._short = recording.keep(min(SHORT_ROWS, SOME_ROWS, PART_ROWS), SHORT_BYTES)
        self._rows = self._rows_of(recording, beside)
        self._kept = self._short
        self.start_ns = self._start()
        if self.filters.cuts:
            self.table("wanted_mappings", "target INTEGER, low UBIGINT, high UBIGINT", self._wanted())
        some = self._rows if self._short else "some_rows"
        rate = rate_of(recording.metadata)
        self._db.register("some_rows", _SampledBatches(self))
        for view, rows, sharing in (
            ("regions", self._rows, False), ("some_regions", some, False),
            ("shared_regions", self._rows, True), ("some_shared", some, True),
        ):  # fmt: skip
            shown = self.filters.view(self.start_ns, rows, sharing=sharing, rate=rate)
            if self.filters.cuts:
                shown = cut(shown, sharing=sharing)
            self._db.execute(f"CREATE TEMP VIEW {view} AS {shown}")

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query whose result is small. Raises CannotError when memory and disk do not do."""
        most = self.recording.limits.piece // BYTES_A_RESULT
        try:
            rows: list[tuple[Any, ...]] = self._db.execute(sql).fetchmany(most)
            if len(rows) < most or self._db.fetchone() is None:
                return rows
            needed = f"has more than {most:,} lines to tell of"
        except RuntimeError as error:
            if str(error) != "Query interrupted":
                raise
            raise KeyboardInterrupt from error  # what DuckDB makes of one
        except self._full:
            needed = "needs more memory than it is given, and the free disk,"
            if (addresses := address_limit()) is not None:
                needed += f" or than {format_size(addresses)} of addresses (ulimit -v),"
        raise CannotError(
            f"{self.recording.path} {needed} for this report; look at less of it with --time or --target, or give "
            "more with --max-memory."
        )

    def few(self, sql: str) -> list[tuple[Any, ...]]:
        """As `query`, of a query over `some_regions`: they are read once and kept, where they are few for sure."""
        if not self._kept and not self.filters.targets:
            self.keep("few_regions", "SELECT * FROM some_regions")
            self._db.execute("CREATE OR REPLACE TEMP VIEW some_regions AS SELECT * FROM few_regions")
            self._kept = True
        return self.query(sql)

    @cached_property
    def moments(self) -> int:
        """How many moments the filters leave."""
        return int(self.query(MOMENTS)[0][0])

    @cached_property
    def targets(self) -> list[int]:
        """The targets that have a snapshot which the filters leave, sorted."""
        return [target for (target,) in self.query(TARGETS)]

    @cached_property
    def bounded(self) -> bool:
        """Whether what was touched has bounds, as estimates may have."""
        return is_sampled(self.recording.metadata) and bool(self.query(BOUNDED)[0][0])

    def in_parts(self, sql: str, most_rows: int | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query over `regions`, for each part of the recording by itself: at most `most_rows` rows
        (default PART_ROWS), whole batches, so that what a query groups does not grow with the recording. A short
        recording is one part. Raises as `query`."""
        if self._short:
            yield self.query(sql)
            return
        most = PART_ROWS if most_rows is None else most_rows
        parts: list[list[Place]] = [[]]
        rows = 0
        for place in self.recording.messages():
            rows += place[1].rows
            if rows > most and parts[-1]:
                parts.append([])
                rows = place[1].rows
            parts[-1].append(place)
        if len(parts) == 1:
            yield self.query(sql)
            return
        try:
            for part in parts:
                self._db.register("recording", _BatchPart(self.recording, part))
                yield self.query(sql)
        finally:
            self._db.register("recording", self.recording)

    def table(self, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """A small table beside the view, for queries to join: `columns` as in CREATE TABLE, of whole numbers: times, or
        addresses from 0."""
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({columns})")
        if rows:
            from arro3.core import Array, DataType, RecordBatch

            whole, signed = DataType.uint64(), DataType.int64()
            parts = [
                Array(
                    list(column),
                    signed if any(value is not None and value < 0 for value in column) else whole,
                )
                for column in zip(*rows, strict=True)
            ]
            names = [f"c{number}" for number in range(len(parts))]
            self._db.register("rows_of_table", RecordBatch.from_arrays(parts, names=names))
            self._db.execute(f"INSERT INTO {name} SELECT * FROM rows_of_table")
            self._db.unregister("rows_of_table")

    def keep(self, name: str, sql: str) -> None:
        """Keep the rows of a query as a table, for several queries to start from. Raises as `query`."""
        self.query(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def nothing(self) -> NoSnapshots:
        """The error of a report that found no snapshot to speak about."""
        if self.warmup_ns and self.filters == Filters(since_ns=self.filters.since_ns):
            return NoSnapshots(
                f"{self.recording.path}: no snapshot begins after its warm-up of {format_time(self.warmup_ns / 1e9)}; "
                "record longer, or look at that with --include-warmup."
            )
        count, begin, end = self.query(ALL_MOMENTS)[0]
        damaged = [damage for recording in self.recordings for damage in recording.damaged]
        if damaged and not count:
            why = f"is left: {damaged[0].path.name} is damaged at byte {damaged[0].offset:,}; record it again"
        elif count:
            why = f"is left by the filters, of {count} in {format_time((end - begin) / 1e9)}; widen them"
        else:
            window_us = (self.recording.metadata.get("attrs") or {}).get("aggr_us")
            window = (
                f"before its first window of {format_time(window_us / 1e6)} was over"
                if window_us
                else "too soon"
            )
            how = "ended" if not self.recording.truncated else "ends, or its recorder still runs,"
            why = f"is in it: it {how} {window}; record longer, or with shorter windows (--aggr)"
        return NoSnapshots(f"{self.recording.path}: no snapshot {why}.")

    @property
    def span_ns(self) -> tuple[int | None, int | None]:
        """The time that filters and warm-up leave, ns on CLOCK_MONOTONIC; None is open on that side."""
        begin, end = (None if side is None else int(side) + self.start_ns for side in self.filters.time)
        since = self.filters.since_ns
        if since is not None:
            begin = since if begin is None else max(since, begin)
        return begin, end

    @property
    def warmup_ns(self) -> int:
        """How much of the recording's start is left out as warm-up, ns."""
        since = self.filters.since_ns
        return 0 if since is None else max(0, since - self.start_ns)

    def close(self) -> None:
        """Give DuckDB's memory and disk back."""
        self._db.close()
        if self._spill is not None:
            self._spill.close()

    def _wanted(self) -> Sequence[tuple[int, int, int]]:
        pattern = self.filters.mapping
        if self.filters.pieces or pattern is None:
            return self.filters.pieces
        if not (wanted := pieces_of(self.recording, pattern)):
            raise UsageError(
                f"no mapping of {self.recording.path} is called {pattern!r}; udamon report mappings "
                "lists them, and * stands for any letters."
            )
        return wanted

    def _rows_of(self, recording: Recording, beside: RecordingSource | None) -> str:
        """What the views are views of: the stream, or a table of all rows of a short recording."""
        if not self._short:
            return "recording"
        if beside is not None and beside.recording is recording:
            return beside._rows
        name = f"short_{next(_number)}"  # seen by all that use this DuckDB
        self.query(f"CREATE TABLE {name} AS SELECT * FROM recording WHERE event IS NULL")
        return name

    def _start(self) -> int:
        """When the recording began, ns on CLOCK_MONOTONIC: the begin of its first window."""
        for batch in self.recording.batches():
            begins = batch["begin"]
            if begins.null_count < len(begins):
                return int(begins.slice(0, 1).to_pylist()[0])
        return int(self.recording.metadata.get("monotonic_ns") or 0)


def double(value: float) -> str:
    """A literal of a double: without the exponent it would be a decimal, which is slow to compute with."""
    return f"{value:.17e}"
