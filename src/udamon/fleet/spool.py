"""A node's own objects on disk, until they are uploaded: a ring of bounded size that watching never waits for.

Rows come window by window and are kept as they come (`_open/`), so that a node that is killed loses none but those
still in the queue. Once an hour is over, its rows become one object of the table, under the path that it has in the
fleet's location: the directory of a spool is a location itself, and reports read it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from queue import Full, Queue
from typing import Any

from udamon.errors import UdamonError
from udamon.fleet.damage import footers_of
from udamon.fleet.objects import (
    HOUR_US,
    ObjectName,
    UnreadableParquet,
    batches,
    by_hour,
    digest_of,
    directory,
    parquet,
)
from udamon.fleet.store import Directory, ObjectUnreadable, Stored
from udamon.fleet.tables import TABLES, Table, Type
from udamon.units import format_size

OPEN = "_open"
"""The directory of hours that are not over. Others that read a location pass over names with a _."""

MOST_BYTES = 256 << 20
"""Of all objects that wait: some weeks of 300 services."""

MOST_DAMAGED = 100

_PART = re.compile(r"(?P<table>[a-z]+)\.(?P<begin>\d+)\.[0-9a-f]{12}\.parquet")

Rows = list[Mapping[str, Any]]


class Spool:
    """Takes rows of tables and writes them on a thread of its own.

    `add` returns at once. What cannot be kept is dropped, and its rows are counted (`dropped_rows`): the newest where
    the disk is slow or full, the oldest objects where the ring is. Rows that a killed process left are taken over.
    """

    def __init__(
        self, place: str | os.PathLike[str], host: str, *, most_bytes: int = MOST_BYTES, queue: int = 64
    ) -> None:
        self.dropped_rows = 0
        self.failure: str | None = None
        """What went wrong last, as a sentence."""
        self.damaged: dict[str, str] = {}
        """Files of the spool that could not be read, by path: a clause that continues it. The first MOST_DAMAGED."""
        self._host, self._most = host, most_bytes
        self._store = Directory(place)
        self._lock = threading.Lock()
        self._queue: Queue[tuple[Table, Rows] | None] = Queue(queue)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def add(self, table: str, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Rows of one window (see Table.batch); False where there was no room for them."""
        found = list(rows)
        try:
            self._queue.put_nowait((TABLES[table], found))
        except Full:
            self._drop(len(found))
            return False
        return True

    def close(self) -> None:
        """Write all that was added, the hours that are not over too, and end. Idempotent."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        self._tried(self._check)
        while (item := self._queue.get()) is not None:
            table, rows = item
            if not self._tried(self._keep, table, rows):
                self._drop(len(rows))
            newest = max((int(row[table.time]) // HOUR_US for row in rows if table.time in row), default=0)
            self._tried(self._seal, newest * HOUR_US)
        self._tried(self._seal, None)

    def _tried(self, work: Callable[..., None], *args: Any) -> bool:
        """Watching goes on whatever becomes of the spool: what fails is told in `failure`."""
        try:
            work(*args)
        except (UdamonError, OSError) as error:
            self.failure = str(error)
            return False
        except Exception as error:
            self.failure = f"the spool {self._store.location} failed: {type(error).__name__}: {error}"
            return False
        return True

    def _drop(self, rows: int) -> None:
        with self._lock:
            self.dropped_rows += rows

    def _check(self) -> None:
        """Look for objects that an earlier run left and that cannot be read: uploading leaves them here."""
        waiting = list(objects(self._store))
        for table in TABLES.values():
            own = [each for each in waiting if each.path.startswith(f"{directory(table)}/")]
            for found in footers_of(self._store, table, own):
                self._name(found.object, found.why)

    def _name(self, path: str, why: str) -> None:
        if len(self.damaged) < MOST_DAMAGED:
            self.damaged[path] = why
        self.failure = f"{path} of the spool {self._store.location} {why}."

    def _keep(self, table: Table, rows: Rows) -> None:
        """The rows as files of the open hours: one for each hour they belong to."""
        for begin, found in by_hour(table, rows):
            data = parquet(table, table.batch(found))
            self._store.create(f"{OPEN}/{table.name}.{begin}.{digest_of(data)}.parquet", data)

    def _seal(self, before_us: int | None) -> None:
        """Make objects of the hours before a moment (of all: None), then keep the ring within its size."""
        parts: dict[tuple[str, int], list[str]] = {}
        for stored in self._store.list(OPEN):
            found = _PART.fullmatch(Path(stored.path).name)
            if found and found["table"] in TABLES and (before_us is None or int(found["begin"]) < before_us):
                parts.setdefault((found["table"], int(found["begin"])), []).append(stored.path)
        for (name, begin), paths in sorted(parts.items()):
            self._tried(
                self._seal_hour, TABLES[name], begin, paths
            )  # one that fails keeps no other from its object
        self._shrink()

    def _seal_hour(self, table: Table, begin: int, paths: Sequence[str]) -> None:
        read = {path: rows for path in paths if (rows := self._read(path, table)) is not None}
        once = {
            tuple(row.get(name) for name in table.identity): row for row in chain.from_iterable(read.values())
        }
        if once:
            data = parquet(table, table.batch(once.values()))
            self._store.create(ObjectName.of(table, self._host, begin, data).path, data)
        for path in read:
            self._store.delete(path)

    def _read(self, path: str, table: Table) -> Rows | None:
        """The rows of a file; none, which is told, of one that is damaged, as by a loss of power. None where it is gone
        or may not be read: then its rows are not lost."""
        try:
            data = self._store.read(path)
        except FileNotFoundError:
            return None
        except ObjectUnreadable as error:
            self._name(path, error.why)
            return None
        try:
            # All names end in the digest. Of damaged bytes the library that reads them may abort the process.
            if path.split(".")[-2:-1] != [digest_of(data)]:
                raise UnreadableParquet("its bytes are not those that it was named after")
            rows = _rows(data, table)
            if rows and not rows[0].keys() >= set(table.key):
                raise UnreadableParquet(f"it has not all columns of {table.name}")
            return rows
        except UnreadableParquet as error:
            self._name(path, f"is damaged, and its rows are lost: {error}")
            return []

    def _shrink(self) -> None:
        waiting = list(objects(self._store))
        size = sum(each.size for each in waiting)
        for each in waiting:
            if size <= self._most:
                return
            size -= each.size
            rows = self._read(each.path, TABLES[each.path.partition("/")[0]])
            if rows is None and not self._there(each.path):
                continue  # it was uploaded meanwhile
            self._drop(len(rows or ()))
            self._store.delete(each.path)
            self.damaged.pop(each.path, None)
            self.failure = (
                f"the spool {self._store.location} holds {format_size(self._most)}, which is all that it may: its "
                "oldest rows are dropped; see why udamon fleet upload does not take them away."
            )

    def _there(self, path: str) -> bool:
        return os.path.lexists(self._store.root / path)


def objects(store: Directory) -> Iterable[Stored]:
    """The objects of a spool that wait to be uploaded, the oldest hour first."""
    found = [
        (name, stored)
        for table in TABLES
        for stored in store.list(table)
        if (name := ObjectName.parse(stored.path)) is not None
    ]
    return [stored for _, stored in sorted(found, key=lambda pair: (pair[0].hour, pair[0]))]


def _rows(data: bytes, table: Table) -> Rows:
    """The rows of a file of the spool, as Table.batch takes them. Raises UnreadableParquet."""
    found: Rows = []
    for batch in batches(data):
        columns = {}
        for each in table.columns:
            if each.name in batch.schema.names:
                column = batch[each.name]
                columns[each.name] = (
                    column.cast(Type.INT64.arrow) if each.type is Type.TIME else column
                ).to_pylist()
        found += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return found
