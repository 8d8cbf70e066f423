"""Sites and ages in a page's document, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.report.test_page import document_of
from tests.unit.report.test_sites import CODE, FOUR, MIB, WINDOWS, start, told
from tests.unit.snapshots import recorded
from udamon.cli.main import main
from udamon.model import Event
from udamon.report import sites
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal


def test_sites(tmp_path: Path) -> None:
    """Cold in the last half of four seconds; calls from the outermost on, and which of them names the site."""
    recording = recorded(tmp_path / "a", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")
    found = document_of(recording)["sites"]
    hot, cold, unnamed = found["sites"]
    calls = [[found["names"][call] for call in site["calls"]] for site in found["sites"]]
    assert calls == [
        ["main", "hot", "operator new(unsigned long)"],
        ["main", "cold"],
        ["code made at run time+0x5"],
    ]
    assert [site["own"] for site in found["sites"]] == [1, 1, 0]
    assert (hot["place"], unnamed["place"]) == ("/src/a.c:3", None)
    assert (hot["touched"], hot["cold"], cold["touched"], cold["cold"]) == (40 * MIB, 0, 0, 32 * MIB)
    assert (found["why"], found["left_out"], found["idle_seconds"]) == (None, 0, 2)


def test_a_place_without_a_line(tmp_path: Path) -> None:
    """The file of source is known of the hot site, and not the line in it."""
    known = [[16, [["hot", "/src/a.c", None]]], [32, [["main", None, None]]]]
    code = [CODE[0], Event(1, "symbols", {"module": 0, "symbols": known})]
    recording = recorded(tmp_path / "a", [start(), *code, told(*FOUR), *WINDOWS], via="pte")
    assert [site["place"] for site in document_of(recording)["sites"]["sites"]] == ["/src/a.c", None, None]
    with RecordingSource(recording) as source:
        assert "hot (a.c) < main" in sites.render(sites.measure(source), Terminal(), 5)


def test_no_sites(tmp_path: Path) -> None:
    """Not recorded; of no process seen; and where filters choose regions."""
    unseen = Event(1, "allocations_unseen", {"pid": 7, "comm": "a", "why": "it is a Go program"})
    assert document_of(recorded(tmp_path / "a", [start(), *WINDOWS], via="pte"))["sites"] is None
    told_why = document_of(recorded(tmp_path / "b", [start(), unseen, *WINDOWS], via="pte"))["sites"]
    assert "No allocation was seen in 7 (a): it is a Go program" in told_why["why"]
    some = recorded(tmp_path / "c", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")
    filtered = document_of(some, Filters(size=(1, None)))["sites"]
    assert "only --time and --target" in filtered["why"]
    assert filtered["sites"] == []


def test_ages(tmp_path: Path) -> None:
    """Of 72 MiB, 32 were not touched in the last second."""
    found = document_of(recorded(tmp_path / "a", [start(), *WINDOWS], via="pte"))["ages"]
    assert found["resident_bytes"] == 72 * MIB
    assert found["rows"][0] == ["1 s", 32 * MIB, 32 * MIB]
    assert len(found["rows"]) == 1


@pytest.mark.parametrize("kind", ["sites", "ages"])
def test_the_page_is_made_and_opens_there(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a"
    recorded(file, [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")
    assert main(["report", kind, str(file), "--html", str(tmp_path / "p.html")]) == 0
    page = (tmp_path / "p.html").read_text()
    assert f'"opens_at":"{kind}-title"' in page
    assert f'id="{kind}-title"' in page
    assert main(["report", "heatmap", str(file), "--html", str(tmp_path / "q.html")]) == 0
    assert '"opens_at":null' in (tmp_path / "q.html").read_text()


def test_where_there_is_nothing_to_open_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the text says; no page without the sites that were asked for."""
    recorded(tmp_path / "a", [start(), *WINDOWS], via="pte")
    said = []
    for more in ([], ["--html", str(tmp_path / "p.html")]):
        assert main(["report", "sites", str(tmp_path / "a"), *more]) == 1
        said.append(capsys.readouterr().err)
    assert "has no allocations" in said[0]
    assert said[1] == said[0]
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--idle", "1s", "--html", "p"), "--idle is for text"),
        (("--flame", "f", "--html", "p"), "--flame is a file of its own"),
        (("--force",), "give --html, --pprof or --flame"),
    ],
)
def test_flags_of_sites_beside_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    recorded(tmp_path / "a", [start(), *CODE, told(*FOUR), *WINDOWS], via="pte")
    assert main(["report", "sites", str(tmp_path / "a"), *words]) == 2
    assert sentence in capsys.readouterr().err
