"""Of a census that measures no rates: a rate is the share that was touched, not rounded up to a tick, at most where
others may have touched it, and called what it is."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_size import MIB, census
from tests.unit.snapshots import recorded
from udamon.cli.main import main
from udamon.cli.report_kinds import KINDS
from udamon.live.grid import Grid, hottest
from udamon.live.screens import _about
from udamon.live.state import Detail
from udamon.model import Event
from udamon.record.reader import Recording
from udamon.report import access, access_groups, diff, heatmap, hot_cold, phases, size
from udamon.report.catalog import Catalog
from udamon.report.charts import bars
from udamon.report.charts import heatmap as heatmap_chart
from udamon.report.charts.shapes import Label
from udamon.report.common import common_lines
from udamon.report.filters import Filters
from udamon.report.mappings import MappingTable
from udamon.report.page import cells, comparison, curves
from udamon.report.page import document as page
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal
from udamon.units import format_share

MAPPED = Event(0, "mappings", {"target": 0, "remove": [], "add": [
    [100 * MIB, 200 * MIB, "rw-p", 0, 0, "[heap]"], [300 * MIB, 400 * MIB, "r--p", 0, 7, "/data"],
]})  # fmt: skip
WINDOW = census(0, [(100, 100, 1), (300, 100, 2)])
"""1 of 100 MiB of the heap was touched, and 2 of 100 of a file; nr_accesses is 1 tick of 20, which is 5 %."""


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return recorded(tmp_path / "a", [MAPPED, WINDOW], via="refs")


def test_mappings_and_regions(recording: Recording) -> None:
    with RecordingSource(recording) as source:
        mappings, regions = hot_cold.measure(source), access.measure(source)
    assert [(one.owner.label, one.use.rate) for one in mappings.lines] == [("data", 0.02), ("heap", 0.01)]
    assert [one.rate for one in regions.lines] == [0.01, 0.02]
    catalog = Catalog(recording)
    text = hot_cold.render(mappings, catalog, Terminal(80, 0, False))
    assert text.splitlines()[1].split() == ["mapping", "resident", "touched", "share", "idle"]
    assert [row.split()[1:6] for row in text.splitlines()[2:4]] == [
        ["100.0", "MiB", "≤2.0", "MiB", "≤2%"], ["100.0", "MiB", "1.0", "MiB", "1%"],
    ]  # fmt: skip
    head, _, columns, heap, data, _, note = access.render(regions, catalog).splitlines()
    assert "at most 3.0 MiB touched" in head
    assert columns.split()[2] == "share"
    assert ("1%" in heap.split(), "≤2%" in data.split(), "≤2.0" in data.split()) == (True, True, True)
    assert note.startswith("≤ at most")


def test_sums_and_boxes_of_a_moment(recording: Recording) -> None:
    """The same bounds as those of the single regions; of a process, too, that has some of such memory."""
    catalog, terminal = Catalog(recording), Terminal(80, 0, False)
    with RecordingSource(recording) as source:
        regions = access.measure(source)
    for by, expected in (
        ("mapping", [("data", True, "≤2.0", "≤2%"), ("heap", False, "1.0", "1%")]),
        ("process", [("target", True, "≤3.0", "≤2%")]),
    ):
        found = access_groups.groups(regions, catalog, by)
        text = access_groups.render(regions, found, catalog, terminal).splitlines()
        assert text[2].split() == ["regions", "size", "touched", "share", "age"]
        for line, row, (name, bound, touched, rate) in zip(found, text[3:], expected, strict=False):
            assert (line.label.split()[0], line.upper_bound) == (name, bound)
            assert {touched, rate} <= set(row.split())
        assert text[-1].startswith("≤ at most")
        bounds = [one["upper_bound"] for one in access_groups.document(regions, found)["groups"]]
        assert bounds == [bound for _, bound, _, _ in expected]
    heap, data, *_, note = access.boxes(regions, terminal, catalog.rate_of).splitlines()[2:]
    assert (heap.split()[2], data.split()[2]) == ("1%", "≤2%")
    assert note.startswith("≤ at most")


def test_figures_without_what_others_touched_have_no_sign(tmp_path: Path) -> None:
    """Of the file nothing was touched, so what the process touched is its own; and no note explains a sign."""
    own = recorded(tmp_path / "b", [MAPPED, census(0, [(100, 100, 1), (300, 100, 0)])], via="refs")
    catalog, terminal = Catalog(own), Terminal(80, 0, False)
    with RecordingSource(own) as source:
        mappings, regions = hot_cold.measure(source), access.measure(source)
    (process,) = access_groups.groups(regions, catalog, "process")
    assert (process.touched, process.upper_bound) == (MIB, False)
    for text in (
        access_groups.render(regions, [process], catalog, terminal), hot_cold.render(mappings, catalog, terminal)
    ):  # fmt: skip
        assert "≤" not in text


def test_documents_have_bounds_where_others_may_have_touched(recording: Recording) -> None:
    """Of what is exact there are none; of a process with both kinds the exact part is the lower one."""
    catalog = Catalog(recording)
    with RecordingSource(recording) as source:
        regions = access.measure(source)
        mappings = hot_cold.document(hot_cold.measure(source), catalog)["mappings"]
    file = {"low": 0, "high": 2 * MIB}
    assert [one["bounds"] for one in access.document(regions)["regions"]] == [None, file]
    assert {one["label"].split()[0]: one["bounds"] for one in mappings} == {"heap": None, "data": file}
    (process,) = access_groups.document(regions, access_groups.groups(regions, catalog, "process"))["groups"]
    assert process["bounds"] == {"low": MIB, "high": 3 * MIB}


def test_memory_of_no_known_mapping(tmp_path: Path) -> None:
    """It may be a file's."""
    unknown = recorded(tmp_path / "b", [WINDOW], via="refs")
    with RecordingSource(unknown) as source:
        regions = access.measure(source)
        (owner,) = size.document(size.measure(source), Catalog(unknown), size.NextStep("command", ""))[
            "mappings"
        ]
    assert [(line.touched, line.upper_bound) for line in regions.lines] == [(MIB, True), (2 * MIB, True)]
    assert "at most 3.0 MiB touched" in access.render(regions, Catalog(unknown))
    assert owner["upper_bound"] is True
    (line,) = hottest(Detail(0, 1, "a", "a", None, (WINDOW,), (), 1, None, "refs"))
    assert (line.label, line.at_most) == ("memory", True)


@pytest.mark.parametrize("filters", [Filters(), Filters.parse(size="1MiB-")])
def test_heatmap(recording: Recording, filters: Filters) -> None:
    """By both ways to its cells."""
    with RecordingSource(recording, filters) as source:
        found = heatmap.measure(source, 2, 1)
    assert found.cells == [[pytest.approx(0.01)], [pytest.approx(0.02)]]
    assert heatmap.render(found, Catalog(recording), Terminal(80, 0, False)).startswith(
        "share touched of 200.0 MiB"
    )


@pytest.mark.parametrize("ascii_only", [False, True])
def test_rows_of_pictures_have_the_sign(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, ascii_only: bool
) -> None:
    """Those of the file alone: in the picture, in words, in JSON, in the drawing, on the page."""
    monkeypatch.setattr("udamon.text.ascii_only", lambda *_: ascii_only)
    mark, catalog = "<=" if ascii_only else "≤", Catalog(recording)
    with RecordingSource(recording) as source:
        found = heatmap.measure(source, 2, 4)
        drawing = heatmap_chart.drawing(cells.measure(source, 2, 4), catalog)
        rows = page.document(page.measure(source, 2, 4))["picture"]["rows"]
    text = heatmap.render(found, catalog, Terminal(80, 0, blocks=not ascii_only)).splitlines()
    assert [line.split()[1:] for line in text[2:4]] == [["heap", "::::"], ["data", f"{mark}::::"]]
    assert len({line.index("::::") for line in text[2:4]}) == 1
    assert text[-1].startswith(f"{mark} at most")
    heap, data, _, note = heatmap.render(found, catalog, Terminal(plain=True)).splitlines()[2:]
    assert heap.endswith("mean 1%, highest 1% at 0 s")
    assert data.endswith(f"mean {mark}2%, highest {mark}2% at 0 s")
    assert note.startswith(f"{mark} at most")
    for made in (heatmap.document(found, catalog)["rows"], rows):
        assert [(one["label"], one["upper_bound"]) for one in made] == [("heap", False), ("data", True)]
    words = [shape.text for shape in drawing.shapes if isinstance(shape, Label)]
    assert {"heap", f"{mark} data"} <= set(words)
    assert any(word.startswith(f"{mark} at most") for word in words)


def test_rows_without_an_access_have_no_sign(tmp_path: Path) -> None:
    quiet = recorded(tmp_path / "b", [MAPPED, census(0, [(100, 100, 1), (300, 100, 0)])], via="refs")
    catalog = Catalog(quiet)
    with RecordingSource(quiet) as source:
        text = heatmap.render(heatmap.measure(source, 2, 4), catalog, Terminal(80, 0, False))
        drawing = heatmap_chart.drawing(cells.measure(source, 2, 4), catalog)
    assert "≤" not in text
    assert not any("≤" in shape.text for shape in drawing.shapes if isinstance(shape, Label))


def test_rows_of_no_known_mapping_are_upper_bounds(tmp_path: Path) -> None:
    unknown = recorded(tmp_path / "b", [WINDOW], via="refs")
    catalog = Catalog(unknown)
    with RecordingSource(unknown) as source:
        found, moved = heatmap.measure(source, 2, 1), phases.measure(source)
    assert all(row["upper_bound"] for row in heatmap.document(found, catalog)["rows"])
    (phase,) = phases.document(moved, catalog)["phases"]
    assert all(row["upper_bound"] for row in phase["hot"])


def test_two_recordings(recording: Recording, tmp_path: Path) -> None:
    """Bounds are of each; the change of what is a bound on one side may be of others."""
    more = census(0, [(100, 100, 1), (300, 100, 50)])
    after = recorded(tmp_path / "b", [MAPPED, more], via="idle")
    again = recorded(tmp_path / "c", [MAPPED, more], via="refs")
    for other, word, bounds, figures in (
        (after, "rate", [True, False], ["≤2.0", "50.0", "≤2%"]),
        (again, "share", [True, True], ["≤2.0", "≤50.0", "≤2%", "≤50%"]),
    ):
        with RecordingSource(recording) as one, RecordingSource(other) as two:
            found = diff.measure(one, two)
            page = comparison.document(found, (one, two))
        data = next(each for each in diff.document(found)["mappings"] if each["label"] == "data")
        assert [data[side]["upper_bound"] for side in ("before", "after")] == bounds
        text = diff.render(found, Terminal(80, 0, False))
        row = next(line.split() for line in text.splitlines() if line.split()[:1] == ["data"])
        assert set(figures) <= set(row)
        assert next(each for each in page["moved"] if each["label"] == "data")["upper_bounds"] == tuple(
            bounds
        )
        assert next(line.split()[-1] for line in text.splitlines() if "what moved" in line) == word
        assert text.splitlines()[-2].startswith("≤ at most")


def test_two_recordings_fit_in_a_terminal(tmp_path: Path) -> None:
    """With the longest figures: names have what is left."""
    name = f"/usr/lib/{'x' * 40}.so"
    add = [[at * 200 * MIB, (at * 200 + 100) * MIB, "r--p", 0, 7, name] for at in range(1, 11)]
    mapped = Event(0, "mappings", {"target": 0, "remove": [], "add": add})
    windows = [
        census(0, [(at * 200, 100, least if at == 1 else 100) for at in range(1, 11)]) for least in (100, 99)
    ]
    both = [recorded(tmp_path / str(at), [mapped, window], via="refs") for at, window in enumerate(windows)]
    with RecordingSource(both[0]) as one, RecordingSource(both[1]) as two:
        text = diff.render(diff.measure(one, two), Terminal(80, 0, False))
    assert "≤1000.0 MiB  ≤999.0 MiB" in text
    assert max(map(len, text.splitlines())) <= 80


def test_part_of_a_mapping(recording: Recording, tmp_path: Path) -> None:
    """Which of its pages were touched is not known, so what is said of a part is no bound, and that is said."""
    part = Filters.parse(address=f"{100 * MIB:#x}-{150 * MIB:#x}")
    for told, filters, said in (
        (recording, part, True),
        (recording, Filters(), False),
        (recorded(tmp_path / "pages", [MAPPED, WINDOW], via="idle"), part, False),
    ):
        with RecordingSource(told, filters) as source:
            assert any("are estimates, and no bounds" in line for line in common_lines(source)) == said
    with RecordingSource(recording, part) as source:
        assert ": 1 region, 50.0 MiB, " in access.render(access.measure(source), Catalog(recording))


def test_less_than_a_percent_has_no_second_sign() -> None:
    assert [format_share(share, "≤") for share in (0.0, 0.004, 0.02)] == ["≤0%", "<1%", "≤2%"]


@pytest.mark.parametrize(("via", "title"), [("refs", "share touched"), ("idle", "access rate")])
def test_titles_of_drawings(tmp_path: Path, via: str, title: str) -> None:
    told = recorded(tmp_path / "a", [MAPPED, WINDOW], via=via)
    catalog = Catalog(told)
    with RecordingSource(told) as source:
        picture, histograms = cells.measure(source, 2, 1), curves.histograms(source)
    assert heatmap_chart.drawing(picture, catalog).title.startswith(f"{title.capitalize()} of ")
    drawing = bars.drawing(histograms, "x", catalog)
    assert drawing.title.startswith(f"Memory of x by {title} and by age")
    words = {shape.text for shape in drawing.shapes if isinstance(shape, Label)}
    assert ("share of resident bytes touched" in words, "access rate, share of ticks accessed" in words) == (
        via == "refs", via == "idle",
    )  # fmt: skip


@pytest.mark.parametrize("via", ["refs", "softdirty"])
@pytest.mark.parametrize("kind", sorted(KINDS - {"sites"}))
def test_no_text_calls_a_share_a_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, via: str
) -> None:
    """Columns are called share, and so notes below them have no other word."""
    windows = [census(at, [(100, 100, 1 if at < 10 else 90), (300, 100, 2)]) for at in range(20)]
    recorded(tmp_path / "a", [MAPPED, *windows], via=via)
    files = [str(tmp_path / "a")] * (2 if kind == "diff" else 1)
    assert main(["report", kind, *files]) == 0
    text = capsys.readouterr().out
    assert ("which share of its resident bytes" in text) == (via == "refs")
    assert re.search(r"\brates?\b", text) is None


def test_filter_by_rate(recording: Recording) -> None:
    """It goes by what is shown."""
    with RecordingSource(recording, Filters.parse(rate="2%-3%")) as source:
        assert [one.start for one in access.measure(source).lines] == [300 * MIB]


def test_live() -> None:
    known = MappingTable()
    known.apply(MAPPED.data)
    detail = Detail(0, 1, "a", "a", None, (WINDOW,), tuple(known), 1, None, "refs")
    assert [(one.label, one.rate, one.at_most) for one in hottest(detail)] == [
        ("data", 0.02, True), ("heap", 0.01, False),
    ]  # fmt: skip
    assert Grid().columns(detail, 2, 1) == [(0.01, 0.02)]
    assert "at most 3.0 MiB of 200.0 MiB resident touched" in _about(detail, hottest(detail))
    own = census(0, [(100, 100, 1), (300, 100, 0)])
    alone = replace(detail, snapshots=(own,))
    assert " 1.0 MiB of 200.0 MiB resident touched" in _about(alone, hottest(alone))
