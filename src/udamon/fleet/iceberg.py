"""Closed days of the tables into Iceberg tables, by pyiceberg (extra `iceberg`).

A day is written by one commit, which takes away what the table has of that day and adds the day's rows: it happens
whole or not at all, and to do it again changes nothing. The snapshots of the commit say which objects the rows are of,
so that a day that has not changed since is passed over; where they have expired, or the table was rolled back, the day
is written again. A run that was killed leaves data files that no snapshot names.

The catalog is one that pyiceberg is configured for (PYICEBERG_CATALOG__NAME__URI, ~/.pyiceberg.yaml).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from udamon import extras
from udamon.errors import CannotError, UdamonError, is_defect
from udamon.fleet.compaction import closed_days
from udamon.fleet.damage import sound
from udamon.fleet.listing import DamagedObject, ListedObjects
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

        A day that the table has stays where objects of it have become damaged: its rows are in the table."""
        done = TableChange()
        with _told(self._name, "written"):
            target = self._table(table)
            there = _written(target)
            for day in closed_days(store, table, now, closed_s):
                objects = sound(store, table, day).without(damaged).objects()
                done.damaged |= {each.object: each for each in objects.damaged}
                digest = _digest(objects.all)
                # As if nothing were damaged: then the table has rows that cannot be read any more.
                known = (digest, _digest({*objects.all, *(each.object for each in objects.damaged)}))
                if not objects.all:
                    continue
                if there.get(day.date) in known:
                    done.unchanged += 1
                    continue
                done.rows += self._write_day(target, table, day.date, digest, read(table, objects))
                done.days += 1
        return done

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


def _digest(paths: Iterable[str]) -> str:
    return sha256("\n".join(sorted(paths)).encode()).hexdigest()[:16]


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
