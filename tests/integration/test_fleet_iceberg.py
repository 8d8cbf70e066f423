"""Closed days in Iceberg tables: each row once, whatever is run twice, at once, or killed; in a directory and on S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.integration.s3_server import BUCKET, environment, server
from tests.unit.fleet.rows import NOON, WINDOW_US, service
from tests.unit.report.fleet.made import put
from udamon.cli.main import main
from udamon.errors import CannotError
from udamon.fleet.iceberg import DATE, IcebergCatalog
from udamon.fleet.listing import ListedObjects
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES, Table
from udamon.report.fleet.engines import DuckEngine

pytestmark = pytest.mark.needs("iceberg")

LATER = NOON / 1e6 + 7 * 86400
WINDOWS = (-864, -576, -575, -376)
"""Of three days, all long closed."""


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, URI=f"sqlite:///{tmp_path}/catalog.db", WAREHOUSE=f"file://{tmp_path}/warehouse")


def configure(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Of the catalog `lake`, for processes and for this one, where pyiceberg has read the environment already."""
    import pyiceberg.catalog

    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    monkeypatch.setattr(pyiceberg.catalog, "_ENV_CONFIG", pyiceberg.catalog.Config())


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three hosts, and an hour that came twice."""
    put(tmp_path / "fleet", "services", [service(host=host, window=at) for host in "abc" for at in WINDOWS])
    put(tmp_path / "fleet", "services", [service(host="a", window=at) for at in range(-576, -573)])
    return tmp_path / "fleet"


def expected(*more: tuple[str, int]) -> list[tuple[str, int]]:
    known = {(host, at) for host in "abc" for at in WINDOWS} | {("a", -574)} | set(more)
    return sorted((host, NOON + at * WINDOW_US) for host, at in known)


def table() -> Any:
    from pyiceberg.catalog import load_catalog

    return load_catalog("lake").load_table("udamon.services")


def rows() -> list[tuple[str, int]]:
    found = table().scan(selected_fields=("host", "window_begin")).to_arrow()
    times = found["window_begin"].cast("int64").to_pylist()
    return sorted(zip(found["host"].to_pylist(), times, strict=True))


def command(fleet: Path | str) -> list[str]:
    return ["fleet", "compact", str(fleet), "--iceberg", "lake", "--closed", "0s", "--grace", "0s"]


def test_every_row_once_and_days_that_changed_again(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(fleet)) == 0
    assert "services: 3 days written (13 rows), 0 unchanged" in capsys.readouterr().out
    assert rows() == expected()
    snapshots = len(table().snapshots())
    assert main(command(fleet)) == 0
    assert "services: 0 days written (0 rows), 3 unchanged" in capsys.readouterr().out
    assert len(table().snapshots()) == snapshots
    put(fleet, "services", [service(host="late", window=-575)])
    assert main(command(fleet)) == 0
    assert "services: 1 days written (8 rows), 2 unchanged" in capsys.readouterr().out
    assert rows() == expected(("late", -575))


def test_types_and_values(fleet: Path) -> None:
    assert main(command(fleet)) == 0
    found = table().scan(row_filter="host == 'b'").to_arrow().to_pylist()
    assert [row["cold_bytes"] for row in found] == [service()["cold_bytes"]] * len(WINDOWS)
    assert {(row["service"], row["coverage"], row["limit_bytes"]) for row in found} == {("web", 1.0, None)}


def test_days_are_written_again_where_no_snapshot_tells_of_them(fleet: Path) -> None:
    """As after snapshots have expired: the rows replace themselves."""
    assert main(command(fleet)) == 0
    held = table()
    with held.transaction() as transaction:
        transaction.append(held.scan().to_arrow().slice(0, 0))
    for snapshot in held.snapshots():
        if snapshot.snapshot_id != held.current_snapshot().snapshot_id:
            held.maintenance.expire_snapshots().by_id(snapshot.snapshot_id).commit()
    assert [DATE in snapshot.summary.additional_properties for snapshot in table().snapshots()] == [False]
    assert main(command(fleet)) == 0
    assert rows() == expected()


@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_of_two_at_once_one_says_so(before: bool, fleet: Path) -> None:
    """The other run writes the same day between the first one's reading and its commit."""
    if before:
        assert main(command(fleet)) == 0
        put(fleet, "services", [service(host="late", window=at) for at in WINDOWS])
    store = Directory(fleet)

    def write(read: Callable[[Table, ListedObjects], Any]) -> None:
        IcebergCatalog("lake").write(store, SERVICES, read, now=LATER, closed_s=0.0)

    with DuckEngine(store) as one, DuckEngine(store) as other:

        def read(wanted: Table, objects: ListedObjects) -> Any:
            write(other.stream)
            return one.stream(wanted, objects)

        with pytest.raises(CannotError, match="written by somebody else"):
            write(read)
    assert rows() == expected(*((("late", at) for at in WINDOWS) if before else ()))


def test_a_run_that_ends_while_it_reads_leaves_the_day_as_it_was(fleet: Path) -> None:
    assert main(command(fleet)) == 0
    before = rows()
    put(fleet, "services", [service(host="late", window=-575)])

    def read(wanted: Table, objects: ListedObjects) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        IcebergCatalog("lake").write(Directory(fleet), SERVICES, read, now=LATER, closed_s=0.0)
    assert rows() == before


def test_killed_at_any_moment(fleet: Path) -> None:
    """By SIGKILL, and run again: nothing is missing and nothing double."""
    draw = Random(5)
    for number in range(20 if "UDAMON_TEST_LONG" in os.environ else 3):
        put(fleet, "services", [service(host=f"h{number}", window=at) for at in WINDOWS])
        running = subprocess.Popen(
            [sys.executable, "-m", "udamon", *command(fleet)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            running.wait(draw.uniform(0.5, 6))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        running.wait()
    assert main(command(fleet)) == 0
    hosts = range(number + 1)
    assert rows() == expected(*((f"h{host}", at) for host in hosts for at in WINDOWS))


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("obstore", reason="the extra `fleet` is not installed")
    pytest.importorskip("moto.server", reason="moto is not installed; pip install 'moto[s3,server]'")
    with server() as url:
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)
        configure(monkeypatch, WAREHOUSE=f"s3://{BUCKET}/warehouse", S3__ENDPOINT=url)
        yield url


def test_on_s3(bucket: str, fleet: Path) -> None:
    assert main(command(fleet)) == 0
    assert main(command(fleet)) == 0
    assert table().location().startswith(f"s3://{BUCKET}/")
    assert rows() == expected()


def test_duckdb_reads_the_table(fleet: Path) -> None:
    import duckdb

    assert main(command(fleet)) == 0
    with duckdb.connect() as db:
        try:
            db.execute("INSTALL iceberg; LOAD iceberg")
        except duckdb.Error as error:
            pytest.skip(f"DuckDB's extension iceberg is not there: {str(error).splitlines()[0]}")
        found = db.execute(f"SELECT count(*) FROM iceberg_scan('{table().metadata_location}')").fetchone()
    assert found == (len(expected()),)


def test_a_catalog_that_is_not_configured(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command(fleet)
    words[words.index("lake")] = "nowhere"
    assert main(words) == 1
    assert "the Iceberg tables of nowhere cannot be opened" in capsys.readouterr().err


@pytest.mark.needs("polars")
def test_polars_reads_the_table(fleet: Path) -> None:
    """By its own reader of Iceberg, from the metadata alone."""
    import polars

    assert main(command(fleet)) == 0
    put(fleet, "services", [service(host="late", window=-575)])
    assert main(command(fleet)) == 0
    found = polars.scan_iceberg(table().metadata_location, reader_override="native").select(
        "host", "window_begin"
    )
    assert sorted(found.with_columns(polars.col("window_begin").dt.epoch("us")).collect().rows()) == expected(
        ("late", -575)
    )


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_spark_reads_the_files_of_the_newest_snapshot(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PySpark has no reader of Iceberg, and its jar is not among Python's packages. Days are written by replacing
    whole files, so that the files of a snapshot are the table."""
    from pyspark.sql import SparkSession

    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    assert main(command(fleet)) == 0
    put(fleet, "services", [service(host="late", window=-575)])
    assert main(command(fleet)) == 0
    tasks = list(table().scan().plan_files())
    assert not [task for task in tasks if task.delete_files]
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        found = spark.read.parquet(*(task.file.file_path for task in tasks))
        types = dict(found.dtypes)
        got = sorted(tuple(row) for row in found.selectExpr("host", "unix_micros(window_begin)").collect())
    finally:
        spark.stop()
    assert got == expected(("late", -575))
    assert (types["resident_bytes"], types["cold_bytes"]) == ("bigint", "array<bigint>")
    assert (types["window_begin"], types["coverage"]) == ("timestamp", "double")
