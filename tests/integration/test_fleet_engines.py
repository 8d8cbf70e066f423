"""Every report over a fleet on DuckDB and on Spark: the same rows, to the order in which doubles are added up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from udamon.fleet.compaction import compact
from udamon.fleet.store import Directory, open_store
from udamon.fleet.tables import SERVICES, TABLES
from udamon.report.fleet.engines import DuckEngine, open_engine
from udamon.report.fleet.queries import known, view
from udamon.report.fleet.reports import REPORTS, Asked, measure, sql_of
from udamon.report.translate import translate

sqlglot = pytest.importorskip("sqlglot", reason="SQLGlot is not installed; pip install 'udamon[fleet]'")

TOLERANCE = 1e-9


@pytest.mark.parametrize("dialect", ["spark", "trino"])
@pytest.mark.parametrize("kind", REPORTS)
def test_other_engines_read_the_queries(kind: str, dialect: str) -> None:
    for sql in [sql_of(Asked(kind, deploy="d1")), known(), *map(view, TABLES.values())]:
        text = translate(sql, dialect)
        assert sqlglot.parse_one(text, read=dialect)
        assert not {"approx", "decimal", "quantile"} & set(text.lower().replace("(", " ").split())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hosts that are young or write the version before, objects that come twice, and two days that were compacted."""
    pytest.importorskip("numpy", reason="the extra `test` is not installed")
    from bench.fleet.__main__ import main as make

    place = tmp_path_factory.mktemp("fleet")
    words = [
        "--nodes",
        "6",
        "--services",
        "4",
        "--days",
        "4",
        "--deploys",
        "1",
        "--density",
        "100%",
        "--seed",
        "5",
    ]
    assert make([*words, "-o", str(place / "fleet"), "--truth", str(place / "truth")]) == 0
    assert json.loads((place / "truth").read_text())["repeated_objects"]
    store, work = Directory(place / "fleet"), place / "work"
    work.mkdir()
    with DuckEngine(store) as engine:
        compact(
            store, SERVICES, lambda objects, to: engine.merge(SERVICES, objects, to, 1 << 30), work,
            now=datetime(2026, 11, 3, tzinfo=UTC).timestamp(), closed_s=0.0,
        )  # fmt: skip
    return place / "fleet"


def answers(engine: Any, location: str) -> dict[str, Any]:
    store = open_store(location)
    asked = {kind: Asked(kind, deploy="deploy-00", days=2) for kind in REPORTS}
    asked["cold at 8 h"] = Asked("cold", age_seconds=28800, price=3.0, dates=("2026-11-01", "2026-11-02"))
    return {name: measure(each, store, engine).document() for name, each in asked.items()}


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            yield from differences(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list) and isinstance(other, list):
        assert len(one) == len(other), where
        for at, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{where}[{at}]")
    elif isinstance(one, float) and isinstance(other, float):
        if abs(one - other) > TOLERANCE * max(abs(one), abs(other)):
            yield f"{where}: {one} and {other}"
    elif one != other and not where.endswith(".engine"):
        yield f"{where}: {one} and {other}"


@contextmanager
def cluster(place: Path) -> Iterator[str]:
    """A standalone master and two workers on loopback, as processes of their own; its URL."""
    import pyspark

    home = Path(pyspark.__file__).parent
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str, *words: str) -> None:
        log = (place / f"{kind}{len(started)}.log").open("wb")
        name = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        command = [str(home / "bin" / "spark-class"), name, "--host", "127.0.0.1", *words]
        started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=place))
        log.close()

    url = f"spark://127.0.0.1:{port}"
    try:
        start("Master", "--port", str(port), "--webui-port", "0")
        for number in range(2):
            start(
                "Worker",
                url,
                "--cores",
                "1",
                "--memory",
                "1g",
                "--webui-port",
                "0",
                "--work-dir",
                f"work{number}",
            )
        while (place / "Master0.log").read_text(errors="replace").count("Registering worker") < 2:
            assert all(each.poll() is None for each in started), (place / "Master0.log").read_text()
            time.sleep(0.2)
        yield url
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait()


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["local", "cluster"])
def test_spark_answers_the_same(
    where: str, fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    with open_engine("duckdb", open_store(str(fleet))) as engine:
        expected = answers(engine, str(fleet))
    assert any(row["changed"] for row in expected["after"]["rows"])
    assert expected["cold"]["objects"]["repeated"]
    if where == "local":
        with open_engine("spark", open_store(str(fleet)), master="local[2]") as engine:
            found = answers(engine, str(fleet))
    else:
        with cluster(tmp_path) as url, open_engine("spark", open_store(str(fleet)), master=url) as engine:
            found = answers(engine, str(fleet))
    assert not list(differences(expected, found))


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_submitted_to_spark(fleet: Path, tmp_path: Path) -> None:
    """By spark-submit, with what the wheel brings."""
    import pyspark

    import udamon

    home = Path(pyspark.__file__).parent
    submit = [str(home / "bin" / "spark-submit"), "--master", "local[2]", "--conf", "spark.ui.enabled=false"]
    words = ["fleet", "report", "cold", str(fleet), "--engine", "spark", "--json"]
    done = subprocess.run(
        [*submit, str(Path(udamon.__file__).with_name("__main__.py")), *words],
        env={**os.environ, "SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        cwd=tmp_path, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    with open_engine("duckdb", open_store(str(fleet))) as engine:
        expected = measure(Asked("cold"), open_store(str(fleet)), engine).document()
    assert not list(differences(expected, json.loads(done.stdout)))
