"""Where the queries run: DuckDB in this process, or Spark."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

from udamon import extras
from udamon.closing import Closing
from udamon.errors import CannotError, UdamonError, UsageError, is_defect
from udamon.files.ending import uninterrupted
from udamon.files.temporary import TemporaryDirectory
from udamon.fleet.damage import EngineFailed
from udamon.fleet.listing import ListedObjects
from udamon.fleet.store import BucketStore, Directory, ObjectUnreadable, Store
from udamon.fleet.tables import Table, Type
from udamon.linux.address_limit import DUCKDB_ADDRESSES, require_addresses
from udamon.report.fleet.queries import literal, view
from udamon.report.fleet.spark_submit import GATEWAY
from udamon.report.translate import translate
from udamon.text import is_text

ENGINES = ("duckdb", "spark")

Row = dict[str, Any]


class FleetEngine(Protocol):
    """Raises EngineFailed where an object cannot be read, CannotError where memory or disk do not do."""

    name: str

    def table(self, table: Table, objects: ListedObjects, shared: Sequence[str] | None = None) -> None:
        """Have the rows of these objects as a view of the table's name (queries.view), each fact once."""

    def rows(self, sql: str) -> list[Row]:
        """All rows of a query, which are few."""

    def close(self) -> None:
        """Idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_engine(
    name: str, store: Store, *, master: str | None = None, memory: str | None = None
) -> FleetEngine:
    """Raises UsageError, MissingExtra, CannotError. `memory`: what DuckDB may use, as it writes sizes."""
    if name == "duckdb":
        if master is not None:
            raise UsageError("--master is for Spark; give --engine spark too, or leave it out.")
        return DuckEngine(store, memory)
    if memory is not None:
        raise UsageError(
            "--max-memory is for DuckDB; Spark's memory is set by spark-submit or SPARK_DRIVER_MEMORY."
        )
    return SparkEngine(store, master)


def _no_pattern(path: str) -> str:
    """A path as DuckDB reads it: * ? [ would be patterns, by which it reads other files, or another location's."""
    return re.sub(r"[*?[]", r"[\g<0>]", path)


_SPARK_PATTERN = re.compile(r"[][{}*?\\]")


def no_pattern_of_spark(path: str) -> str:
    """A path of a directory as Spark reads it: Hadoop's globs, in which a backslash takes what follows it for itself.
    Raises UsageError where there is none: in a glob Hadoop takes what is before a colon for the scheme of a URL."""
    if ":" in path and _SPARK_PATTERN.search(path):
        raise UsageError(
            f"Spark cannot open {path}, which has a colon and one of []{{}}*?\\ in its name; give a link to the "
            "location with another name, or use --engine duckdb."
        )
    return _SPARK_PATTERN.sub(r"\\\g<0>", path)


def _refuse_bytes(store: Store, engine: str) -> None:
    if not is_text(store.location):
        raise UsageError(
            f"the name of {store.location} is not UTF-8, which {engine} needs; give a link to it with another name."
        )


class DuckEngine(Closing):
    """DuckDB. Objects of a bucket are read by obstore, the parts of them that a query needs."""

    name = "duckdb"

    def __init__(self, store: Store, memory: str | None = None) -> None:
        require_addresses(DUCKDB_ADDRESSES, "a query by DuckDB")
        with uninterrupted():
            import duckdb

        _refuse_bytes(store, "DuckDB")
        self._error, self._no_room = duckdb.Error, (duckdb.OutOfMemoryException, duckdb.InterruptException)
        self._spill = TemporaryDirectory("fleet")
        config: dict[str, Any] = {"temp_directory": str(self._spill.path)}
        self._db = duckdb.connect(config=config | ({"memory_limit": memory} if memory else {}))
        self._db.execute("SET preserve_insertion_order = false")
        self._db.execute("SET TimeZone = 'UTC'")
        self._db.execute("SET enable_progress_bar = false")  # on standard output, in notebooks and python -c
        self._root = f"{os.path.abspath(store.location)}/"
        if isinstance(store, BucketStore):
            self._root = f"{store.location}/"
            self._db.register_filesystem(store.filesystem())
        elif isinstance(store, Directory):
            self._root = f"{store.root}/"

    def table(self, table: Table, objects: ListedObjects, shared: Sequence[str] | None = None) -> None:
        empty = ", ".join(f"CAST(NULL AS {each.type.sql}) AS {each.name}" for each in table.columns)
        parts = []
        for kind, paths in (("once", objects.once), ("repeated", objects.repeated)):
            rows = f"SELECT {empty} WHERE FALSE"
            if paths:
                # By name: what a version lacks is null.
                files = ", ".join(literal(_no_pattern(f"{self._root}{path}")) for path in paths)
                rows += f" UNION ALL BY NAME SELECT * FROM read_parquet([{files}], union_by_name = true, "
                rows += "hive_partitioning = false)"
            parts.append(f"{table.name}_{kind} AS NOT MATERIALIZED (SELECT {table.casts()} FROM ({rows}))")
        # One view, not three: for each view that it makes DuckDB opens all objects.
        self._run(
            f"CREATE OR REPLACE TEMP VIEW {table.name} AS WITH {', '.join(parts)} SELECT * FROM ({view(table, shared)})"
        )

    def merge(self, table: Table, objects: ListedObjects, directory: Path, object_bytes: int) -> list[Path]:
        """Their rows, each fact once and in the table's order, as files of about `object_bytes`."""
        self.table(table, objects)
        key, value = next(iter(table.metadata().items()))
        self._run("SET preserve_insertion_order = true")  # or the order would be lost in writing
        try:
            self._run(
                f"COPY (SELECT {', '.join(table.names)} FROM {table.name} ORDER BY {_order(table)}) "
                f"TO {literal(str(directory / 'merged'))} (FORMAT parquet, COMPRESSION zstd, "
                f"FILE_SIZE_BYTES {object_bytes}, KV_METADATA {{{key}: {literal(value)}}})"
            )
        finally:
            self._run("SET preserve_insertion_order = false")
        return sorted((directory / "merged").iterdir())

    def stream(self, table: Table, objects: ListedObjects) -> Any:
        """Their rows, each fact once and in the table's order, as a stream of Arrow."""
        self.table(table, objects)
        sql = f"SELECT {', '.join(table.names)} FROM {table.name} ORDER BY {_order(table)}"
        try:
            return self._db.sql(sql)
        except self._error as error:
            raise self._failed(error) from error

    def rows(self, sql: str) -> list[Row]:
        found = self._run(sql)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in self._fetch(found)]

    def close(self) -> None:
        self._db.close()
        self._spill.close()

    def _run(self, sql: str) -> Any:
        try:
            return self._db.execute(sql)
        except self._error as error:
            raise self._failed(error) from error

    def _fetch(self, found: Any) -> list[Sequence[Any]]:
        try:
            rows: list[Sequence[Any]] = found.fetchall()
        except self._error as error:
            raise self._failed(error) from error
        return rows

    def _failed(self, error: Exception) -> CannotError:
        return _trouble("DuckDB", error, CannotError if isinstance(error, self._no_room) else EngineFailed)


class SparkEngine(Closing):
    """Spark, in this process (local), on a cluster, or as spark-submit started it.

    Files of a directory are read by Spark itself, which must find them under the same path on every worker. Objects of
    a bucket are read by udamon's Python data source, so that no jar is needed: workers need udamon[fleet,spark].
    """

    name = "spark"

    def __init__(self, store: Store, master: str | None = None) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise extras.missing("--engine spark", "spark") from None
        _refuse_bytes(store, "Spark")
        submitted = GATEWAY in os.environ
        if submitted and master is not None:
            raise UsageError("--master was given to spark-submit already; leave it out here.")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.appName("udamon fleet").config("spark.sql.session.timeZone", "UTC")
        self._spill = TemporaryDirectory("spark")
        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            # Many small files: list them in the driver, not by a task each, and read many in one task.
            "spark.sql.sources.parallelPartitionDiscovery.threshold": str(1 << 20),
            "spark.sql.files.openCostInBytes": str(1 << 16),
            "spark.log.level": "ERROR",
            "spark.sql.warehouse.dir": str(self._spill.path),
        }
        if not submitted:  # what spark-submit was told stands
            for key, value in settings.items():
                builder = builder.config(key, value)
            builder = builder.master(master or "local[*]")
        try:
            self._spark = builder.getOrCreate()
        except (
            Exception
        ) as error:  # Java is missing, or the master does not answer: py4j and PySpark raise many kinds
            self._spill.close()
            raise CannotError(
                f"Spark does not start: {_line(error)}; it needs Java 17 or newer, and a master that answers."
            ) from error
        self._store = store

    def table(self, table: Table, objects: ListedObjects, shared: Sequence[str] | None = None) -> None:
        try:
            for kind, paths in (("once", objects.once), ("repeated", objects.repeated)):
                rows = self._read(table, paths)
                rows.createOrReplaceTempView(f"{table.name}_{kind}")
            self._spark.sql(translate(view(table, shared), "spark")).createOrReplaceTempView(table.name)
        except Exception as error:  # py4j and PySpark raise many kinds, and those of workers, too
            _tell_of_spark(error)

    def rows(self, sql: str) -> list[Row]:
        try:
            return [row.asDict() for row in self._spark.sql(translate(sql, "spark")).collect()]
        except Exception as error:
            _tell_of_spark(error)

    def close(self) -> None:
        self._spark.stop()
        self._spill.close()

    def _read(self, table: Table, paths: Sequence[str]) -> Any:
        schema = ", ".join(f"{each.name} {_SPARK[each.type]}" for each in table.columns)
        if not paths:
            empty = ", ".join(f"CAST(NULL AS {_SPARK[each.type]}) AS {each.name}" for each in table.columns)
            return self._spark.sql(f"SELECT {empty} WHERE FALSE")
        if isinstance(self._store, BucketStore):
            from udamon.report.fleet import spark_source

            return spark_source.read(self._spark, self._store, table, schema, paths)
        root = self._store.root if isinstance(self._store, Directory) else Path(self._store.location)
        files = (f"file://{no_pattern_of_spark(f'{root}/{path}')}" for path in paths)
        return self._spark.read.schema(schema).parquet(*files)


_SPARK = {
    Type.INT64: "BIGINT",
    Type.DOUBLE: "DOUBLE",
    Type.TIME: "TIMESTAMP",
    Type.STRING: "STRING",
    Type.INT64_LIST: "ARRAY<BIGINT>",
}


def _order(table: Table) -> str:
    return ", ".join([*table.order, *(f"{name} NULLS FIRST" for name in table.apart)])


def _line(error: BaseException) -> str:
    """What an error says: its first line, or where it has a trace of a Python worker, what that ends with."""
    lines = [line for line in str(error).split("\n") if line.strip()] or [type(error).__name__]
    frames = [at for at, line in enumerate(lines) if line.startswith('  File "')]
    after = [line for line in lines[frames[-1] :] if not line.startswith("  ")] if frames else lines
    return (after or lines)[0][:300].rstrip(".;:")


_OF_WORKER = re.compile(r"\budamon\.(?:errors|fleet\.store)\.(\w+): ")
"""In the text of an exception of Spark: the class of an error that a worker raised on purpose."""


def _tell_of_spark(error: Exception) -> NoReturn:
    """Raise what it raised as one sentence, but for mistakes of our own."""
    if is_defect(error) or isinstance(error, UdamonError):
        raise error
    line = _line(error)
    if (own := _OF_WORKER.search(line)) is not None:  # which says itself what to do
        kind = EngineFailed if own[1] == ObjectUnreadable.__name__ else CannotError
        raise kind(f"Spark cannot answer: {line[own.end() :]}.") from error
    raise _trouble("Spark", error, EngineFailed) from error


def _trouble(engine: str, error: BaseException, kind: type[CannotError]) -> CannotError:
    return kind(
        f"{engine} cannot answer: {_line(error)}; check the objects, or give it more memory or fewer days."
    )
