"""Every report over a fleet on DuckDB and on Spark: the same rows, to the order in which doubles are added up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.spark_cluster import cluster, environment, home
from tests.unit.fleet import damages
from tests.unit.fleet.rows import MIB, service
from tests.unit.report.fleet.made import put
from udamon.fleet.compaction import compact
from udamon.fleet.store import Directory, open_store
from udamon.fleet.tables import AGES, SERVICES, TABLES
from udamon.report.fleet.engines import DuckEngine, open_engine
from udamon.report.fleet.queries import known, view
from udamon.report.fleet.reports import REPORTS, Asked, measure, sql_of
from udamon.report.translate import translate

sqlglot = pytest.importorskip("sqlglot", reason="SQLGlot is not installed; pip install 'udamon[fleet]'")

TOLERANCE = 1e-9
LARGE = (1 << 60) + (1 << 40)
"""Bytes, of which a double holds all digits."""
ODD_DAY, UNWATCHED_DAY = -27 * 288, -19 * 288
"""2026-11-02 and 2026-11-10, in windows from NOON on."""


@pytest.mark.parametrize("dialect", ["spark", "trino"])
@pytest.mark.parametrize("kind", REPORTS)
def test_other_engines_read_the_queries(kind: str, dialect: str) -> None:
    for sql in [sql_of(Asked(kind, deploy="d1")), known(), *map(view, TABLES.values())]:
        text = translate(sql, dialect)
        assert sqlglot.parse_one(text, read=dialect)
        assert "_bytes[" not in text  # which fails on lists that are too short
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
    put(place / "fleet", "services", odd_rows())
    store, work = Directory(place / "fleet"), place / "work"
    work.mkdir()
    with DuckEngine(store) as engine:
        compact(
            store, SERVICES, lambda objects, to: engine.merge(SERVICES, objects, to, 1 << 30), work,
            now=datetime(2026, 11, 3, tzinfo=UTC).timestamp(), closed_s=0.0,
        )  # fmt: skip
    # Late, for a day that is compacted: as twice as much, and again with less of the window watched.
    twice = [service("twice", window=ODD_DAY, resident=30)]
    put(place / "fleet", "services", twice)
    put(place / "fleet", "services", [row | {"seconds": 100.0, "resident_bytes": 90 * MIB} for row in twice])
    return place / "fleet"


def odd_rows() -> list[dict[str, Any]]:
    """Of one day, what the made-up fleet has not: what reports must take in the same way on every engine."""
    high = [8 * MIB] * len(AGES)
    rows = [
        service("bounds", window=ODD_DAY, cold_bytes_high=high, limit_bytes=40 * MIB),
        service("mappings", window=ODD_DAY, via="refs", grain="mapping", coverage=0.5, limit_bytes=40 * MIB),
        service("empty", window=ODD_DAY, resident=0, cold=0, limit_bytes=40 * MIB),
        service("empty", "h2", window=ODD_DAY, resident=0, cold=0, limit_bytes=0),
        service("no limit", window=ODD_DAY),
        service("unwatched", window=ODD_DAY, cold=None),
        service("unwatched", window=UNWATCHED_DAY, cold=None, coverage=None),
        service("Ünï 'co\"dé", window=ODD_DAY, namespace="", workload=""),
        service("large", window=ODD_DAY, resident_bytes=LARGE, limit_bytes=LARGE + 1),
        service("no number", window=ODD_DAY, coverage=float("nan"), cpu_seconds=float("inf")),
        service("few ages", window=ODD_DAY, cold_bytes=[4 * MIB] * 3, promoted_bytes=[]),
        service("some ages", window=ODD_DAY, cold_bytes=[4 * MIB] * 4 + [None] * (len(AGES) - 4)),
    ]  # fmt: skip
    return [*rows, *(service("spread", f"h{at}", ODD_DAY, resident=10 + at * at * at) for at in range(9))]


def cases() -> dict[str, Asked]:
    """What is asked of both engines, by name."""
    asked = {kind: Asked(kind, deploy="deploy-00", days=2) for kind in REPORTS}
    odd, unwatched = ("2026-11-02",) * 2, ("2026-11-10",) * 2
    for kind in ("cold", "can-shrink", "percentiles", "outliers", "coverage"):
        asked[f"{kind}, the odd day"] = Asked(kind, dates=odd)
    asked["cold at 8 h"] = Asked("cold", age_seconds=28800, price=3.0, dates=("2026-11-01", "2026-11-02"))
    asked["cold, no row tells"] = Asked("cold", dates=unwatched)
    asked["can-shrink, by any share"] = Asked("can-shrink", least=0.001)
    asked["after, at 1 s and any rate"] = Asked(
        "after", age_seconds=1, deploy="deploy-00", days=3, false_discoveries=0.5
    )
    return asked


def answers(engine: Any, location: str, asked: dict[str, Asked]) -> dict[str, Any]:
    store = open_store(location)
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


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["local", "cluster"])
def test_spark_answers_the_same(
    where: str, fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every report on a cluster of two workers; in one process, where tasks are the same, those that read most."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    asked = (
        cases()
        if where == "cluster"
        else {name: Asked(name, deploy="deploy-00", days=2) for name in ("cold", "after")}
    )
    with open_engine("duckdb", open_store(str(fleet))) as engine:
        expected = answers(engine, str(fleet), asked)
    assert any(row["changed"] for row in expected["after"]["rows"])
    assert expected["cold"]["objects"]["repeated"]
    if where == "local":
        with open_engine("spark", open_store(str(fleet)), master="local[2]") as engine:
            found = answers(engine, str(fleet), asked)
    else:
        with cluster(tmp_path) as url, open_engine("spark", open_store(str(fleet)), master=url) as engine:
            found = answers(engine, str(fleet), asked)
    assert not list(differences(expected, found))


def test_cases_have_something_to_differ_in(fleet: Path) -> None:
    """On DuckDB: rows of everything that is odd are in the answers."""
    with open_engine("duckdb", open_store(str(fleet))) as engine:
        found = answers(engine, str(fleet), cases())
    assert {each["report"] for each in found.values()} == set(REPORTS)
    odd = {row["service"]: row for row in found["cold, the odd day"]["rows"]}
    assert odd.keys() >= {
        "bounds",
        "mappings",
        "empty",
        "no limit",
        "Ünï 'co\"dé",
        "large",
        "twice",
        "no number",
    }
    assert odd["bounds"]["cold_bytes_high"] == 2 * odd["bounds"]["cold_bytes"]
    assert odd["twice"]["resident_bytes"] == 30 * MIB  # of which more of the window was watched
    assert odd["large"]["resident_bytes"] == LARGE
    assert found["cold, the odd day"]["grain"] == "mixed"
    assert found["cold, no row tells"]["why"]


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["f*", "f?", "[fg]", "f[1]", "f[", "{f,g}", "f\\x", "f\\", "a:b", "a#%41'"])
def test_a_location_is_no_pattern_of_spark(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside it lie others, with objects of the same names, that its name would choose as a pattern."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    for place in (name, "f1", "f", "g", "fx"):
        put(tmp_path / place, "services", [service(place if place == name else "other", host="a")])
    (found,) = (tmp_path / name).rglob("*.parquet")
    for place in ("f1", "f", "g", "fx"):
        (other,) = (tmp_path / place).rglob("*.parquet")
        other.rename(other.with_name(found.name))
    store = Directory(tmp_path / name)
    with open_engine("spark", store, master="local[1]") as engine:
        (row,) = measure(Asked("cold"), store, engine).rows
    assert (row["service"], row["hosts"], row["windows"]) == (name, 1, 1)


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_damaged_objects_on_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on DuckDB: each is named with its reason, also those that only the engine finds, and the others are read."""
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    put(tmp_path, "services", [service("web", host, window) for host in "ab" for window in (0, 12)])
    reasons = damages.put_damaged(tmp_path)
    for number, called in enumerate(("_a", ".a", "a:b", "a[1]"), len(reasons)):
        path = damages.name(number).rpartition("/")[0] + f"/{called}.parquet"
        (tmp_path / path).write_bytes(damages.GOOD)
        reasons[path] = "has a name that not every engine can open"
    manifest = tmp_path / "services/v1/_manifest/2026-11-29.000001.json"
    manifest.parent.mkdir()
    manifest.symlink_to(manifest.name)
    reasons["services/v1/_manifest/2026-11-29.000001.json"] = (
        "cannot be read: Too many levels of symbolic links"
    )
    store, documents = Directory(tmp_path), []
    for name in ("duckdb", "spark"):
        with open_engine(name, store, master="local[1]" if name == "spark" else None) as engine:
            documents.append(measure(Asked("cold"), store, engine).document())
    assert not list(differences(documents[0], documents[1]))
    (row,) = documents[1]["rows"]
    assert (row["hosts"], row["windows"]) == (2, 2)
    damaged = {each["object"]: each["why"] for each in documents[1]["damaged"]}
    assert damaged.keys() == reasons.keys()
    assert {path: why for path, why in damaged.items() if reasons[path] not in why} == {}


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_submitted_to_spark(fleet: Path, tmp_path: Path) -> None:
    """By spark-submit, with what the wheel brings: the document is all that stands on standard output."""
    done = submitted(["cold", str(fleet), "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    with open_engine("duckdb", open_store(str(fleet))) as engine:
        expected = measure(Asked("cold"), open_store(str(fleet)), engine).document()
    assert not list(differences(expected, json.loads(done.stdout)))


@pytest.mark.slow
@pytest.mark.needs("spark")
@pytest.mark.timeout(900)
def test_what_is_submitted_and_fails_says_so_on_standard_error(tmp_path: Path) -> None:
    """spark-submit joins the two streams of its Python process."""
    (tmp_path / "empty").mkdir()
    done = submitted(["cold", "empty", "--json"], tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "udamon: empty has no objects of services" in done.stderr


def submitted(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    import udamon

    submit = [
        str(home() / "bin" / "spark-submit"),
        "--master",
        "local[2]",
        "--conf",
        "spark.ui.enabled=false",
    ]
    program = str(Path(udamon.__file__).with_name("__main__.py"))
    return subprocess.run(
        [*submit, program, "fleet", "report", *words, "--engine", "spark"],
        env=environment(), cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
