"""Tables of a fleet for the reports: rows that are made up, as a node writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from udamon.fleet.objects import ObjectName, by_hour, parquet
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


def report(place: Path, kind: str, **asked: Any) -> Report:
    with DuckEngine(Directory(place)) as engine:
        return measure(Asked(kind, **asked), Directory(place), engine)
