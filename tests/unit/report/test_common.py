"""What every report says of a recording: who cleared the same bits beside it, and why it was looked so."""

from __future__ import annotations

import json
import sys
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.snapshots import recorded, snap
from udamon.availability.others import RECLAIM
from udamon.cli.main import main
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


@pytest.fixture
def unlike(tmp_path: Path) -> tuple[str, str]:
    """Samples in windows of 100 ms, and a census in windows of 1 s with a warm-up; one page is accessed in both."""
    page = [(0, 4096, 1, 0)]
    before = recorded(tmp_path / "before", [snap(n, page) for n in range(20)], via="sim", policy="damon")
    shots = [replace(snap(n, page, window=10**9), resident=array("Q", [4096])) for n in range(25)]
    after = recorded(tmp_path / "after", shots, via="refs", warmup_until_ns=2 * 10**9)
    return str(before.path), str(after.path)


def test_what_both_recordings_of_a_comparison_are(
    unlike: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each what is said of it alone: its grain, its warm-up, the length of its windows."""
    assert main(["report", "diff", *unlike]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "A window has 100 ms before and 1 s after: in a longer one more is touched." in said
    assert "Rates are shares of ticks accessed before, of resident bytes touched after." in said
    assert "Before: Grain: pages, of which samples were checked: figures are estimates." in said
    assert any(line.startswith("After: Grain: mappings.") for line in said)
    assert "After: Without the warm-up, the first 2 s (--include-warmup)." in said
    assert main(["report", "diff", *unlike, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["window_seconds"] == {"before": 0.1, "after": 1.0}
    assert (found["grain"], found["after"]["grain"]) == ("page", "mapping")
    assert (found["warmup_left_out_seconds"], found["after"]["warmup_left_out_seconds"]) == (0.0, 2.0)


@pytest.mark.parametrize(
    ("lengths", "said"),
    [([100] * 20, False), ([100] * 15 + [400] * 15, True), ([573, *[500] * 28, 20], False)],
)
def test_windows_of_unlike_lengths(
    tmp_path: Path, lengths: list[int], said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A budget changes them meanwhile; that one of them is longer or shorter says nothing."""
    begins = [sum(lengths[:n]) * 10**6 for n in range(len(lengths))]
    shots = [
        snap(n, [(0, 4096, 1, 0)], begin=begin, window=length * 10**6)
        for n, (begin, length) in enumerate(zip(begins, lengths, strict=True))
    ]
    path = str(recorded(tmp_path / "a", shots, via="sim").path)
    for words, tells in (("wss",), True), (("wss", "--definition", "damo"), True), (("footprint",), False):
        assert main(["report", *words, path]) == 0
        told = "in a longer one more is touched" in capsys.readouterr().out
        assert told == (said and tells)
    assert main(["report", "wss", path, "--json"]) == 0
    windows = json.loads(capsys.readouterr().out)["window_seconds"]
    assert windows == {"min": min(lengths) / 1000, "max": max(lengths) / 1000}


def test_a_comparison_of_like_recordings_says_each_thing_once(
    unlike: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "diff", unlike[0], unlike[0]]) == 0
    out = capsys.readouterr().out
    assert "Grain: pages, of which samples were checked: figures are estimates." in out.splitlines()
    assert not any(words in out for words in ("A window has", "Rates are", "Before: ", "After: "))


def test_footprints_that_are_compared_are_of_one_kind(
    unlike: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One recording does not know what was resident: what was monitored is compared."""
    assert main(["report", "diff", *unlike, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["footprint"]["what"] == "monitored"
    assert main(["report", "diff", *reversed(unlike), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["footprint"]["what"] == "monitored"


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
