"""The made-up fleet is what its description says: its truth is that of its rows, and its oddities are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest

pytest.importorskip("numpy", reason="the extra `test` is not installed")

from bench.fleet.__main__ import main
from bench.fleet.model import DAY_WINDOWS, Fleet
from udamon.fleet.tables import VERSION


def make(place: Path, *words: str) -> dict[str, Any]:
    truth = place / "truth.json"
    numbers = ["--nodes", "40", "--services", "15", "--days", "2", "--seed", "7", *words]
    assert main([*numbers, "-o", str(place / "fleet"), "--truth", str(truth)]) == 0
    found: dict[str, Any] = json.loads(truth.read_text())
    return found


class MadeFleet(NamedTuple):
    """`tables` has `every`, all rows of all objects of services, and `once`, each row once; they are read here, for to
    open the objects takes far longer than to look at their rows."""

    files: list[str]
    truth: dict[str, Any]
    tables: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeFleet]:
    place = tmp_path_factory.mktemp("fleet")
    truth = make(place)
    files = [str(path) for path in (place / "fleet").glob("services/v1/date=*/*.parquet")]
    with duckdb.connect() as tables:
        tables.execute(f"CREATE TABLE every AS SELECT * FROM read_parquet({files}, union_by_name = true)")
        tables.execute(
            """CREATE TABLE once AS SELECT * FROM every
            QUALIFY ROW_NUMBER() OVER (PARTITION BY namespace, workload, service, host, window_begin) = 1"""
        )
        yield MadeFleet(files, truth, tables)


def test_the_truth_is_that_of_the_rows(fleet: MadeFleet) -> None:
    """Means of what hosts have, each row counted once; noise of 5 % leaves less than 1 % of a service's mean."""
    rows = fleet.tables.execute(
        """SELECT service, AVG(resident), AVG(cold) FROM (
            SELECT service, window_begin, SUM(resident_bytes) AS resident, SUM(cold_bytes[4]) AS cold
            FROM once GROUP BY ALL) GROUP BY ALL"""
    ).fetchall()
    services = fleet.truth["services"]
    assert {row[0] for row in rows} == services.keys()
    for service, resident, cold in rows:
        assert resident == pytest.approx(services[service]["resident_bytes"], rel=0.01)
        assert cold == pytest.approx(services[service]["cold_bytes"], rel=0.01)


def test_rows_come_twice_and_objects_are_of_two_versions(fleet: MadeFleet) -> None:
    truth = fleet.truth
    assert len(fleet.files) == truth["objects"] + truth["repeated_objects"]
    every, once = fleet.tables.execute(
        "SELECT (SELECT COUNT(*) FROM every), (SELECT COUNT(*) FROM once)"
    ).fetchall()[0]
    assert truth["repeated_rows"] > 0
    assert (every, once) == (truth["rows"] + truth["repeated_rows"], truth["rows"])
    kinds = fleet.tables.execute(f"SELECT DISTINCT value FROM parquet_kv_metadata({fleet.files})").fetchall()
    assert sorted(json.loads(value)["version"] for (value,) in kinds) == [1, VERSION]


def test_young_hosts_know_no_long_ages(fleet: MadeFleet) -> None:
    rows = fleet.tables.execute(
        """SELECT EPOCH(window_begin - MIN(window_begin) OVER ()) + seconds, cold_bytes, promoted_bytes
        FROM once"""
    ).fetchall()
    ages = (1, 10, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 28800)
    null = [row for row in rows if None in row[1]]
    assert null
    for watched, cold, promoted in null:
        assert [value is not None for value in cold] == [age <= watched for age in ages]
        assert [value is None for value in promoted] == [value is None for value in cold]


def test_the_same_seed_gives_the_same_objects(tmp_path: Path) -> None:
    small = ["--nodes", "3", "--services", "2", "--days", "1"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, *small)
    found = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("a", "b")
    ]
    assert len(found[0]) > 72
    assert found[0] == found[1]


def test_noise_that_hosts_share_changes_no_other_draw() -> None:
    """A seed means the same fleet with it; days have one factor each, on all hosts alike."""
    how: dict[str, Any] = {"density": 1.0, "deploys": 2, "effect": 0.05}
    plain, shared = (Fleet.draw(5, 20, 4, 7, **how, shared=spread) for spread in (0.0, 0.01))
    assert (plain.base == shared.base).all()
    assert (plain.factor == shared.factor).all()
    assert plain.deploys == shared.deploys
    ratio = shared.level(0, 4 * DAY_WINDOWS) / plain.level(0, 4 * DAY_WINDOWS)
    days = ratio.reshape(20, 4, DAY_WINDOWS)
    assert abs(days - days[:, :, :1]).max() < 1e-12
    assert 0.007 < days[:, :, 0].std() < 0.013
