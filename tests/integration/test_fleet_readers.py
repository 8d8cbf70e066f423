"""Objects of a fleet, read by programs that know nothing of udamon: the rows that were written, with their types."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration import spark_cluster
from tests.unit.fleet.rows import MIB, NOON, WINDOW_US, service
from tests.unit.report.fleet.made import put
from udamon.fleet.compaction import compact
from udamon.fleet.store import Directory
from udamon.fleet.tables import AGES, SERVICES
from udamon.report.fleet.engines import DuckEngine

COLUMNS = (
    "host",
    "service",
    "window_begin",
    "seconds",
    "coverage",
    "limit_bytes",
    "cold_bytes",
    "needed_limit_bytes",
)
ODD = (1 << 53) + 1
"""Which a double has not."""

PANDAS = """
import pandas, pathlib
files = sorted(pathlib.Path(place).glob("date=*/*.parquet"))
found = pandas.concat([pandas.read_parquet(file, dtype_backend="pyarrow") for file in files])
types = {name: str(found[name].dtype) for name in columns}
found["window_begin"] = found["window_begin"].astype("int64[pyarrow]")
rows = [[plain(value) for value in row] for row in found[list(columns)].itertuples(index=False)]
"""
POLARS = """
import polars
newest = polars.scan_parquet(place + "/date=2026-11-29/*.parquet").collect_schema()
found = polars.scan_parquet(place + "/date=*/*.parquet", schema=newest, missing_columns="insert",
                            hive_partitioning=False).select(columns).collect()
types = {name: str(kind) for name, kind in found.schema.items()}
rows = found.with_columns(polars.col("window_begin").dt.epoch("us")).rows()
"""
DUCKDB = """
import duckdb
files = f"read_parquet('{place}/date=*/*.parquet', union_by_name = true)"
names = ", ".join(columns)
types = {row[0]: row[1] for row in duckdb.sql(f"DESCRIBE SELECT {names} FROM {files}").fetchall()}
names = names.replace("window_begin", "epoch_us(window_begin)")
rows = duckdb.sql(f"SELECT {names} FROM {files}").fetchall()
"""
SPARK = """
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
found = spark.read.option("mergeSchema", "true").parquet(place).select(*columns)
types = dict(found.dtypes)
rows = found.selectExpr(*(f"unix_micros({name})" if name == "window_begin" else name for name in columns)).collect()
"""
FRAME = """
import json, sys
place, columns, out = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
def plain(value):
    if value is None or str(value) in ("<NA>", "nan"):
        return None
    return [plain(each) for each in value] if hasattr(value, "__len__") and not isinstance(value, str) else \
        value.item() if hasattr(value, "item") else value
{reader}
assert not any(name.split(".")[0] == "udamon" for name in sys.modules)
with open(out, "w") as file:
    json.dump({{"types": types, "rows": [[plain(value) for value in row] for row in rows]}}, file)
"""
TYPES = {
    "pandas": ("string", "timestamp[us, tz=UTC][pyarrow]", "double[pyarrow]", "int64[pyarrow]", "list<"),
    "polars": ("String", "Datetime(time_unit='us', time_zone='UTC')", "Float64", "Int64", "List(Int64)"),
    "duckdb": ("VARCHAR", "TIMESTAMP WITH TIME ZONE", "DOUBLE", "BIGINT", "BIGINT[]"),
    "spark": ("string", "timestamp", "double", "bigint", "array<bigint>"),
}
"""Of text, times, doubles, integers and lists, as each names them."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day that was compacted, by DuckDB, one as a node wrote it, and one of a node that writes the version before."""
    place = tmp_path_factory.mktemp("readers")
    put(place / "fleet", "services", rows_of(-2))
    work = place / "work"
    work.mkdir()
    now = (NOON + 86400_000_000) / 1e6
    with DuckEngine(Directory(place / "fleet")) as engine:
        for _ in range(2):  # the second removes what was replaced
            compact(
                Directory(place / "fleet"), SERVICES,
                lambda objects, to: engine.merge(SERVICES, objects, to, 1 << 30), work,
                now=now, closed_s=0.0, grace_s=0.0,
            )  # fmt: skip
    put(place / "fleet", "services", rows_of(-1), version=1)
    put(place / "fleet", "services", rows_of(0))
    days = [path.name for path in (place / "fleet" / "services" / "v1").iterdir()]
    assert sorted(days) == ["_manifest", "date=2026-11-27", "date=2026-11-28", "date=2026-11-29"]
    assert len(list((place / "fleet").rglob("date=2026-11-27/compact.*.parquet"))) == 1
    return place / "fleet" / "services" / "v1"


def rows_of(day: int) -> list[dict[str, Any]]:
    """Two hosts, of which one does not know all ages."""
    at = day * 288
    newest: dict[str, Any] = {} if day == -1 else {"needed_limit_bytes": ODD + 2}
    return [
        service("web", "a", at, limit_bytes=ODD, **newest),
        service("web", "a", at + 1, coverage=0.1, **newest),
        service("dé'b", "b", at, cold=None, seconds=12.5),
        service("dé'b", "b", at + 1, cold_bytes=[4 * MIB] * 2 + [None] * (len(AGES) - 2)),
    ]


def expected() -> list[list[Any]]:
    rows = [row for day in (-2, -1, 0) for row in rows_of(day)]
    return sorted([[row.get(name) for name in COLUMNS] for row in rows], key=key)


def key(row: Sequence[Any]) -> tuple[str, int]:
    return row[0], row[2]


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        pytest.param("pandas", PANDAS, marks=pytest.mark.needs("pandas")),
        pytest.param("polars", POLARS, marks=pytest.mark.needs("polars")),
        ("duckdb", DUCKDB),
        pytest.param("spark", SPARK, marks=[pytest.mark.needs("spark"), pytest.mark.slow]),
    ],
)
@pytest.mark.timeout(900)
def test_read_without_udamon(name: str, reader: str, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    subprocess.run(
        [sys.executable, "-c", FRAME.format(reader=reader), str(place), ",".join(COLUMNS), str(out)],
        env=spark_cluster.environment() if name == "spark" else None, cwd=tmp_path, check=True,
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert sorted(found["rows"], key=key) == expected()
    text, time, double, integer, numbers = TYPES[name]
    assert [found["types"][column].startswith(kind) for column, kind in zip(
        COLUMNS, (text, text, time, double, double, integer, numbers, integer), strict=True
    )] == [True] * len(COLUMNS), found["types"]  # fmt: skip


def test_times_are_those_of_the_rows() -> None:
    """What is compared with is no figure of a reader."""
    first = min(row[2] for row in expected())
    assert datetime.fromtimestamp(first / 1e6, UTC).isoformat() == "2026-11-27T12:00:00+00:00"
    assert WINDOW_US == 300_000_000
