"""What every report says of a recording: who cleared the same bits beside it, and why it was looked so."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.snapshots import recorded, snap
from udamon.availability.others import RECLAIM
from udamon.fleet.store import Directory
from udamon.model import ASKED_FOR, Event
from udamon.report import info
from udamon.report.catalog import Catalog
from udamon.report.common import common_keys, common_lines
from udamon.report.filters import Filters
from udamon.report.fleet.engines import DuckEngine
from udamon.report.source import RecordingSource

DAMON = "in-kernel DAMON (the module damon_stat is enabled)"


@pytest.mark.parametrize(
    ("metadata", "pages", "told"),
    [
        ({}, None, None),
        ({"taken_by_others": []}, None, []),
        ({"taken_by_others": []}, 0, []),
        ({"taken_by_others": [DAMON]}, 0, [DAMON]),
        ({"taken_by_others": [DAMON]}, 7, [DAMON, RECLAIM]),
    ],
)
def test_who_cleared_the_same_bits(
    tmp_path: Path, metadata: dict[str, object], pages: int | None, told: list[str] | None
) -> None:
    """Of reclaim the last costs tell; an older recording says nothing."""
    counted = {} if pages is None else {"reclaim_pages": pages}
    events = [Event(1, "cost", {"cpu_ns": 1}), Event(2, "cost", {"cpu_ns": 2, **counted})]
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)]), *events], via="pte", **metadata)
    with RecordingSource(recording) as source:
        assert common_keys(source)["taken_by_others"] == told
        lines = [line for line in common_lines(source) if "more may have been accessed" in line]
    assert len(lines) == bool(told)
    assert all(who in lines[0] for who in told or ())


@pytest.mark.parametrize(
    ("metadata", "estimated"),
    [
        ({"via": "idle", "policy": "adaptive"}, True),
        ({"via": "kernel", "policy": "damon"}, True),
        ({"via": "pte", "policy": "damon"}, True),
        ({"via": "pte"}, False),
        ({"via": "refs"}, False),
        ({"via": "kernel", "policy": "damon", "read_from": "damo json"}, False),
    ],
)
def test_samples_are_told_as_such(tmp_path: Path, metadata: dict[str, object], estimated: bool) -> None:
    """A census is none, and of another tool's file the note on its regions says more."""
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], **metadata)
    with RecordingSource(recording) as source:
        lines = common_lines(source)
    said = "Grain: pages, of which samples were checked: figures are estimates."
    assert (said in lines) == estimated


@pytest.mark.parametrize("why", [None, ASKED_FOR, "pte is not allowed"])
def test_why_it_was_looked_so(tmp_path: Path, why: str | None) -> None:
    metadata = {} if why is None else {"why": why}
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])], via="refs", **metadata)
    with RecordingSource(recording) as source:
        found = info.measure(source, Catalog(recording))
    assert info.document(found)["why"] == why
    assert (["because", why] in info.facts(found)) == (why == "pte is not allowed")


def test_standard_output_has_no_progress_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB draws one where the main module has no file: a notebook, python -c."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    asked = "SELECT current_setting('enable_progress_bar') AS drawn"
    with RecordingSource(recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])])) as source:
        assert source.query(asked) == [(False,)]
    with DuckEngine(Directory(tmp_path)) as engine:
        assert engine.rows(asked) == [{"drawn": False}]


def test_a_source_beside_another_has_its_settings_and_its_own_tables(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "a", [snap(0, [(0, 4096, 1, 0)])])
    settings = "SELECT name, value FROM duckdb_settings() ORDER BY name"
    with RecordingSource(recording) as source:
        with RecordingSource(recording, Filters(targets=(9,)), source) as other:
            assert other.query(settings) == source.query(settings)
            source.keep("kept", "SELECT 1 AS of")
            other.keep("kept", "SELECT 2 AS of")
            assert other.query("SELECT count(*) FROM regions") == [(0,)]
        assert source.query("SELECT of FROM kept") == [(1,)]
        assert source.query("SELECT count(*) FROM regions") == [(1,)]
