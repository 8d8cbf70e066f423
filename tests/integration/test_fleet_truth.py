"""What the reports say of a made-up fleet against its truth: the small version of the figures of docs/fleet.md."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="the extra `test` is not installed")

from bench.fleet.__main__ import main as make
from bench.fleet.judging import main as judge
from udamon.fleet.store import open_store
from udamon.fleet.tables import TABLES


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fleet")
    words = [
        "--nodes",
        "8",
        "--services",
        "25",
        "--days",
        "6",
        "--deploys",
        "2",
        "--density",
        "100%",
        "--seed",
        "9",
    ]
    assert make([*words, "-o", str(place / "fleet"), "--truth", str(place / "truth")]) == 0
    return place


def test_answers_are_true(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert judge([str(fleet / "fleet"), str(fleet / "truth"), "--days", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert abs(found["cold"]["worst_error"]) < 0.01
    assert found["can-shrink"]["precision"] >= 0.95
    assert found["can-shrink"]["recall"] >= 0.95
    assert found["after"]["found"] == 2
    assert found["after"]["found_wrongly"] == 0
    assert found["after"]["services_tested"] > 40


@pytest.mark.parametrize(
    "library",
    [
        pytest.param("pandas", marks=pytest.mark.needs("pandas", "pyarrow")),
        pytest.param("polars", marks=pytest.mark.needs("polars")),
    ],
)
def test_other_libraries_read_the_objects(fleet: Path, library: str) -> None:
    """With types that mean what the tables say."""
    path = next(iter(open_store(str(fleet / "fleet")).list("services"))).path
    frame = importlib.import_module(library).read_parquet(str(fleet / "fleet" / path))
    assert [name for name in TABLES["services"].names if name in frame.columns] == list(frame.columns)
    assert str(frame["window_begin"].dtype).replace(" ", "").lower() in (
        "datetime64[us,utc]",
        "datetime(time_unit='us',time_zone='utc')",
    )
    assert len(frame["cold_bytes"][0]) == 11
