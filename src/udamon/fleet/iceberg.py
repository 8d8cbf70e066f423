"""Closed days of the tables into Iceberg tables, by pyiceberg (extra `iceberg`).

A day is written by one commit, which takes away what the table has of that day and adds the day's rows: it happens
whole or not at all, and to do it again changes nothing. The snapshots of the commit say which objects the rows are of,
so that a day that has not changed since is passed over; where they have expired, or the table was rolled back, the day
is written again. A run that was killed leaves data files that no snapshot names.

The catalog is one that pyiceberg is configured for (PYICEBERG_CATALOG__NAME__URI, ~/.pyiceberg.yaml).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from udamon import extras
from udamon.errors import CannotError, UdamonError, is_defect
from udamon.fleet.compaction import closed_days
from udamon.fleet.damage import read_through, sound
from udamon.fleet.listing import DamagedObject, Day, ListedObjects
from udamon.fleet.store import Store
from udamon.fleet.tables import Table

DATE, OBJECTS = "udamon.date", "udamon.objects"
"""Properties of snapshots: the date that was written, and a digest of the names of the objects it was read from."""

NAMESPACE = "udamon"

Read = Callable[[Table, ListedObjects], Any]
"""Rows of objects, each fact once and in the table's order, as a stream of Arrow (with __arrow_c_stream__)."""


@dataclass(slots=True)
class TableChange:
    """What was done to one table. `unchanged` days were there already. `damaged` are objects, by path, that cannot be
    read, or not all of them."""

    days: int = 0
    rows: int = 0
    unchanged: int = 0
    damaged: dict[str, DamagedObject] = field(default_factory=dict)


class IcebergCatalog:
    """A catalog's tables. `catalog` is NAME or NAME.NAMESPACE. Raises MissingExtra, CannotError."""

    def __init__(self, catalog: str) -> None:
        try:
            import pyarrow  # noqa: F401
            from pyiceberg.catalog import load_catalog
        except ImportError:
            raise extras.missing("--iceberg", "iceberg") from None
        name, _, namespace = catalog.partition(".")
        self._name, self._namespace = catalog, namespace or NAMESPACE
        with _told(catalog, "opened"):
            self._catalog = load_catalog(name)
            self._catalog.create_namespace_if_not_exists(self._namespace)

    def write(
        self,
        store: Store,
        table: Table,
        read: Read,
        *,
        now: float,
        closed_s: float,
        damaged: Collection[DamagedObject] = (),
    ) -> TableChange:
        """Each closed day that the table has not, or has of other objects. `now` is seconds since 1970, `damaged` are
        objects that are known not to be read to their end.

        A day that the table has stays as it is while objects of it are damaged."""
        done = TableChange()
        with _told(self._name, "written"):
            target = self._table(table)
            there = _written(target)
            for day in closed_days(store, table, now, closed_s):
                day = sound(store, table, day).without(damaged)
                while not self._tried(store, target, table, day, there.get(day.date), read, done):
                    day = day.without(read_through(store, table, day.objects().stored))
        return done

    def _tried(
        self,
        store: Store,
        target: Any,
        table: Table,
        day: Day,
        there: str | None,
        read: Read,
        done: TableChange,
    ) -> bool:
        """Write a day, unless the table has it; `there` is the digest of what it was written from. False where an
        object turned out to be damaged inside."""
        objects = day.objects()
        done.damaged |= {each.object: each for each in objects.damaged}
        digest = sha256("\n".join(sorted(objects.all)).encode()).hexdigest()[:16]
        if not objects.all:
            return True
        # The rows of what cannot be read any more are in the table: to write the day again would lose them.
        kept = there is not None and (day.unknown or any(each.left_out for each in objects.damaged))
        if kept or there == digest:
            done.unchanged += 1
            return True
        try:
            rows = self._write_day(target, table, day.date, digest, read(table, objects))
        except Exception as error:  # of DuckDB, through a stream of Arrow, or of the catalog
            if is_defect(error) or not read_through(store, table, objects.stored):
                raise
            return False
        done.rows += rows
        done.days += 1
        return True

    def _table(self, table: Table) -> Any:
        import pyarrow

        schema = pyarrow.schema(table.schema)
        target = self._catalog.create_table_if_not_exists(
            f"{self._namespace}.{table.name}", schema, properties={"write.parquet.compression-codec": "zstd"}
        )
        if not set(schema.names) <= set(target.schema().column_names):  # columns of a newer version
            with target.update_schema() as update:
                update.union_by_name(schema)
        return target

    def _write_day(self, target: Any, table: Table, date: str, digest: str, rows: Any) -> int:
        from pyarrow import RecordBatchReader, schema

        begin = datetime.fromisoformat(date).replace(tzinfo=UTC)
        end = begin + timedelta(days=1)
        count = 0
        fields = schema(table.schema)

        def counted() -> Iterator[Any]:
            nonlocal count
            for batch in RecordBatchReader.from_stream(rows):
                count += len(batch)
                yield batch.cast(fields)

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Delete operation did not match")  # a day that was not there
            target.overwrite(
                RecordBatchReader.from_batches(fields, counted()),
                f"{table.time} >= '{begin.isoformat()}' and {table.time} < '{end.isoformat()}'",
                snapshot_properties={DATE: date, OBJECTS: digest},
            )
        return count


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """Errors of pyiceberg, of its catalogs and of what they use, which have no common base, as one sentence."""
    from pyiceberg.exceptions import CommitFailedException, ValidationException

    try:
        yield
    except UdamonError:
        raise
    except (CommitFailedException, ValidationException) as error:
        raise CannotError(
            f"the Iceberg tables of {name} are written by somebody else at this moment; nothing is lost, "
            "run it again later."
        ) from error
    except Exception as error:
        if is_defect(error):
            raise
        said = (str(error) or type(error).__name__).split("\n")[0][:300].rstrip(".")
        raise CannotError(
            f"the Iceberg tables of {name} cannot be {what}: {said}; check the catalog's configuration, "
            "and what it says of these tables."
        ) from error


def _written(target: Any) -> dict[str, str]:
    """Of each date that a snapshot tells of, from the current one backwards: the digest of its objects."""
    from pyiceberg.table.snapshots import ancestors_of

    found: dict[str, str] = {}
    for snapshot in ancestors_of(target.current_snapshot(), target.metadata):
        told = snapshot.summary.additional_properties if snapshot.summary is not None else {}
        if DATE in told:
            found.setdefault(told[DATE], told.get(OBJECTS, ""))
    return found
