"""Closed days in Iceberg tables: each row once, whatever is run twice, at once, or killed; in a directory and on S3."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.integration.s3_server import BUCKET, environment, server
from tests.unit.fleet import damages
from tests.unit.fleet.rows import NOON, WINDOW_US, service
from tests.unit.report.fleet.made import put
from udamon.cli.main import main
from udamon.errors import CannotError
from udamon.fleet.iceberg import DATE, IcebergCatalog
from udamon.fleet.listing import ListedObjects
from udamon.fleet.store import Directory
from udamon.fleet.tables import SERVICES, Table
from udamon.report.fleet.engines import DuckEngine

pytest.importorskip("duckdb", reason="the extra `report` is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed; pip install 'udamon[iceberg]'")
pyiceberg = pytest.importorskip("pyiceberg.catalog", reason="pip install 'udamon[iceberg]'")

pytestmark = pytest.mark.needs("iceberg")  # of the stage `engines`

LATER = NOON / 1e6 + 7 * 86400
WINDOWS = (-864, -576, -575, -376)
"""Of three days, all long closed."""


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, URI=f"sqlite:///{tmp_path}/catalog.db", WAREHOUSE=f"file://{tmp_path}/warehouse")


def configure(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    """Of the catalog `lake`, for processes and for this one, where pyiceberg has read the environment already."""
    for name, value in settings.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    monkeypatch.setattr(pyiceberg, "_ENV_CONFIG", pyiceberg.Config())


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
    return pyiceberg.load_catalog("lake").load_table("udamon.services")


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
    assert "services: 1 day written (8 rows), 2 unchanged" in capsys.readouterr().out
    assert rows() == expected(("late", -575))


def test_rows_of_objects_that_become_damaged_stay(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where others come late for that day; all are written when the object is whole again."""
    assert main(command(fleet)) == 0
    (day, *_) = {path.parent for path in fleet.rglob("date=*/compact.*") if "services" in path.parts}
    (file,) = day.glob("compact.*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    at = next(
        at
        for at in WINDOWS
        if datetime.fromtimestamp(NOON / 1e6 + at * 300, UTC).date().isoformat() in day.name
    )
    put(fleet, "services", [service(host="late", window=at), service(host="later", window=at)])
    capsys.readouterr()
    assert main(command(fleet)) == 0
    said = capsys.readouterr()
    assert "services: 0 days written (0 rows), 3 unchanged" in said.out
    assert f"{file.relative_to(fleet)} does not end as Parquet does" in said.err
    assert rows() == expected()
    file.write_bytes(whole)
    assert main(command(fleet)) == 0
    assert rows() == expected(("late", at), ("later", at))


def test_a_new_day_is_written_without_what_is_damaged(fleet: Path) -> None:
    damages.put_damaged(fleet)
    assert main(command(fleet)) == 0
    assert rows() == expected()


def test_one_that_is_damaged_inside_and_alone(fleet: Path) -> None:
    """No merge has met it: there is nothing to merge it with."""
    store = Directory(fleet)
    assert store.create(damages.name(0), damages.DAMAGES["torn"][0]())
    put(fleet, "services", [service(host="late", window=-864)])
    assert main(command(fleet)) == 0
    assert rows() == expected(("late", -864))


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
    times: dict[str, Any] = {"now": LATER, "closed_s": 0.0}
    with DuckEngine(store) as one, DuckEngine(store) as other:

        def read(wanted: Table, objects: ListedObjects) -> Any:
            IcebergCatalog("lake").write(store, SERVICES, other.stream, **times)
            return one.stream(wanted, objects)

        with pytest.raises(CannotError, match="written by somebody else"):
            IcebergCatalog("lake").write(store, SERVICES, read, **times)
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
