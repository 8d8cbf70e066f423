"""The query of a report on an engine that a fleet may have: the same results as on DuckDB, through SQLGlot."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_wss import record, snap
from udamon.cli.main import main
from udamon.report import wss
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.translate import translate

sqlglot = pytest.importorskip("sqlglot", reason="SQLGlot is not installed; pip install 'udamon[engines]'")

KIB, BASE = 1 << 10, 1 << 46


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two targets, one of which comes later, snapshots without regions, and addresses in the upper half."""
    random = Random(5)
    shots = []
    for seq in range(50):
        for target in range(1 if seq < 20 else 2):
            edges = sorted({random.randrange(0, 1 << 36, 4 * KIB) for _ in range(random.choice([0, 2, 9]))})
            regions = [
                (
                    BASE + low,
                    BASE + high,
                    random.randrange(21),
                    random.randrange(99),
                    random.randrange(high - low),
                )
                for low, high in zip(edges[::2], edges[1::2], strict=False)
            ]
            shots.append(snap(seq, regions, target))
    record(tmp_path / "a.udamon", [*shots])
    return tmp_path / "a.udamon"


FILTERS = (
    Filters(),
    Filters.parse(
        time="1s-4s", rate="10%-", age="200ms-", address="0x400080000000-0x400d00000000", targets=(0, 1)
    ),
)


@pytest.mark.parametrize("definition", ["touched", "damo", "regions"])
@pytest.mark.parametrize("filters", FILTERS)
def test_as_one_query(file: Path, definition: str, filters: Filters) -> None:
    """The report's steps in one query give what the steps give, on DuckDB."""
    from udamon.record.reader import Recording

    with RecordingSource(Recording(file), filters) as source:
        report = wss.measure(source, definition)
        rows = source.query(wss.portable(definition))
    found = {row[0]: [round(value) for value in row[2:]] for row in rows}
    assert found == {one.target: list(one.bytes.values()) for one in (report.total, *report.targets)}


@pytest.mark.parametrize("dialect", ["spark", "trino", "postgres", "snowflake", "bigquery"])
def test_translates_without_approximation(dialect: str) -> None:
    """Other dialects parse what comes out, and nothing in it has become approximate."""
    text = translate(wss.portable(), dialect)
    assert "approx" not in text.lower()
    assert sqlglot.parse_one(text, read=dialect)


@pytest.mark.slow
@pytest.mark.needs("spark")
def test_spark_finds_the_same(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet that convert wrote, the filters' view and the query, all translated, in Spark's local mode."""
    from pyspark.sql import SparkSession

    from udamon.record.reader import Recording

    parquet = tmp_path / "a.parquet"
    assert main(["convert", str(file), "-o", str(parquet), "--to", "parquet"]) == 0
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.warehouse.dir", str(tmp_path / "warehouse"))
        .getOrCreate()
    )
    try:
        spark.read.parquet(str(parquet)).createOrReplaceTempView("recording")
        for filters in FILTERS:
            with RecordingSource(Recording(file), filters) as source:
                view = filters.view(source.start_ns)
                expected = {name: source.query(wss.portable(name)) for name in ("touched", "damo")}
            spark.sql(translate(view, "spark")).createOrReplaceTempView("regions")
            for name, rows in expected.items():
                found = [tuple(row) for row in spark.sql(translate(wss.portable(name), "spark")).collect()]
                assert [row[:2] for row in found] == [row[:2] for row in rows]
                for row, right in zip(found, rows, strict=True):
                    assert row[2:] == pytest.approx(right[2:], rel=1e-12)
    finally:
        spark.stop()
