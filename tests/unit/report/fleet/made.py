"""Tables of a fleet for the reports: rows that are made up, as a node writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from udamon.fleet.listing import Manifest, manifest_path
from udamon.fleet.objects import ObjectName, by_hour, compacted_path, digest_of, parquet
from udamon.fleet.store import Directory
from udamon.fleet.tables import TABLES, VERSION
from udamon.report.fleet.engines import DuckEngine
from udamon.report.fleet.reports import Asked, Report, measure


def put(place: Path, table: str, rows: Iterable[Mapping[str, Any]], version: int = VERSION) -> None:
    """As objects of their hosts and hours; what is there of them stays."""
    kind, store = TABLES[table], Directory(place)
    for host, of_host in groupby(
        sorted(rows, key=lambda row: str(row["host"])), key=lambda row: str(row["host"])
    ):
        for begin, found in by_hour(kind, of_host):
            batch = kind.batch(found).select(kind.schema_of(version).names)
            data = parquet(kind, batch, version)
            store.create(ObjectName.of(kind, host or "all", begin, data).path, data)


def put_days(place: Path, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """As compaction leaves them: an object of each day, named by a manifest. Weeks of hours of many hosts would be
    thousands of objects, and to open them takes far longer than what a test is about."""
    kind, store = TABLES[table], Directory(place)

    def date(row: Mapping[str, Any]) -> str:
        return datetime.fromtimestamp(row[kind.time] // 1_000_000, UTC).date().isoformat()

    for day, found in groupby(sorted(rows, key=date), key=date):
        data = parquet(kind, kind.batch(found))
        path = compacted_path(kind, day, digest_of(data))
        assert store.create(path, data)
        assert store.create(manifest_path(kind, day, 1), Manifest(day, 1, (path,)).data)


def report(place: Path, kind: str, **asked: Any) -> Report:
    with DuckEngine(Directory(place)) as engine:
        return measure(Asked(kind, **asked), Directory(place), engine)
