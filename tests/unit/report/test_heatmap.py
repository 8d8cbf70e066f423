"""The heatmap: rates of cells by hand, gaps left out, names beside bands, colours only where wanted."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_wss import START, record, snap
from udamon.model import Event, Range
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import heatmap
from udamon.report import source as source_module
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.layout import bands_of, memory, rows_of
from udamon.report.mappings import NamedMapping
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20
HEAP, ANON = 0x5500_0000_0000, 0x7F00_0000_0000


def measured(recording: Recording, rows: int, columns: int) -> heatmap.Heatmap:
    with RecordingSource(recording) as source:
        return heatmap.measure(source, rows, columns)


def two_bands(path: Path) -> Recording:
    """A heap hot in the first window, anonymous memory at half rate in the second, terabytes apart."""
    rows = [[HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"], [ANON, ANON + 3 * MIB, "rw-p", 0, 0, ""]]
    return record(
        path,
        [
            Event(START, "target_start", {"target": 0, "pid": 7, "comm": "redis"}),
            Event(START, "mappings", {"target": 0, "add": rows, "remove": []}),
            snap(0, [(HEAP, HEAP + MIB, 20, 0, MIB), (ANON, ANON + 3 * MIB, 0, 0, 0)]),
            snap(1, [(HEAP, HEAP + MIB, 0, 0, 0), (ANON, ANON + 3 * MIB, 10, 0, MIB)]),
        ],
    )


def test_cells_and_squeezed_gaps(tmp_path: Path) -> None:
    """Four rows of 1 MiB: the gap of terabytes has none, and rates are nr_accesses / ticks."""
    report = measured(two_bands(tmp_path / "a"), 4, 2)
    assert [row.range for row in report.rows] == [
        Range(HEAP, HEAP + MIB), *(Range(ANON + n * MIB, ANON + (n + 1) * MIB) for n in range(3))
    ]  # fmt: skip
    assert report.cells == [[1.0, 0.0], *[[0.0, 0.5]] * 3]
    assert [row.band.label for row in report.rows] == ["heap", *["anonymous"] * 3]
    assert (report.begin_ns, report.end_ns) == (START, START + 200_000_000)


def test_a_later_mapping_inside_an_earlier_one_has_its_name(tmp_path: Path) -> None:
    """4 MiB of one file, of which another file's mapping takes the second MiB: each row has its file's name."""
    old = [ANON, ANON + 4 * MIB, "rw-p", 0, 0, "/old"]
    new = [ANON + MIB, ANON + 2 * MIB, "rw-p", 0, 0, "/new"]
    recording = record(
        tmp_path / "a",
        [
            Event(START, "mappings", {"target": 0, "add": [old], "remove": []}),
            snap(0, [(ANON, ANON + 4 * MIB, 20, 0, MIB)]),
            Event(START + 1, "mappings", {"target": 0, "add": [new], "remove": [ANON]}),
            snap(1, [(ANON, ANON + 4 * MIB, 20, 0, MIB)]),
        ],
    )
    assert [row.band.label for row in measured(recording, 4, 1).rows] == ["old", "new", "old", "old"]


def test_cells_are_means_by_bytes_and_time(tmp_path: Path) -> None:
    """One cell over everything: (1 MiB x 1.0 + 3 MiB x 0.5) / 8 MiB over both windows."""
    report = measured(two_bands(tmp_path / "a"), 1, 1)
    # Heap keeps its own band, so there are two rows for the one that was asked for.
    assert report.cells == [[0.5], [0.25]]


def test_more_columns_than_snapshots(tmp_path: Path) -> None:
    """A window wider than a column fills all of its columns."""
    assert measured(two_bands(tmp_path / "a"), 4, 4).cells[0] == [1.0, 1.0, 0.0, 0.0]


def test_memory_that_is_not_there_yet(tmp_path: Path) -> None:
    """A cell without memory at its time is None, not cold; without mappings the regions are the memory."""
    shots = [snap(0, [(0, MIB, 20, 0, 0)]), snap(1, [(0, MIB, 20, 0, 0), (MIB, 2 * MIB, 0, 0, 0)])]
    report = measured(record(tmp_path / "a", [*shots]), 2, 2)
    assert report.cells == [[1.0, 1.0], [None, 0.0]]


def test_targets_are_kept_apart(tmp_path: Path) -> None:
    """Two processes at the same addresses have rows of their own."""
    shots = [snap(0, [(0, MIB, 20, 0, 0)]), snap(0, [(0, MIB, 5, 0, 0)], target=1)]
    recording = record(tmp_path / "a", [*shots])
    report = measured(recording, 2, 1)
    assert [(row.band.target, cells) for row, cells in zip(report.rows, report.cells, strict=True)] == [
        (0, [1.0]), (1, [0.25])
    ]  # fmt: skip


def test_memory_is_where_ranges_and_mappings_meet() -> None:
    """Reservations that nobody may access are left out, and mappings are cut to the monitored ranges."""
    mappings = [
        NamedMapping(0, 10, "rw-p", "a"),
        NamedMapping(10, 20, "---p", ""),
        NamedMapping(20, 40, "r--p", "b"),
    ]
    areas = memory([Range(5, 25), Range(30, 50)], mappings)
    assert list(areas) == [(Range(5, 10), "a"), (Range(20, 25), "b"), (Range(30, 40), "b")]


def test_memory_of_which_no_mapping_is_known() -> None:
    """Of a program that executed another, the mappings of the former are known; what is there is shown all the same."""
    former = [NamedMapping(0x1000, 0x2000, "rw-p", "[heap]")]
    assert list(memory([Range(0x9000, 0xA000)], former)) == [(Range(0x9000, 0xA000), "[memory]")]


def test_small_bands_are_joined_and_heap_is_not() -> None:
    """A hundred small libraries share rows; heap and stack stay visible; rows cover all bytes once."""
    names = ["[heap]", *(f"/lib/l{n}.so" for n in range(100)), "", "[stack]"]
    sizes = [MIB // 64, *[MIB // 16] * 100, 200 * MIB, MIB // 16]
    areas, at = [], 1 << 40
    for name, size in zip(names, sizes, strict=True):
        areas.append((Range(at, at + size), name))
        at += size + (1 << 30)
    rows = rows_of(bands_of(0, areas), 20)
    labels = [row.band.label for row in rows if row.first]
    assert labels[0] == "heap"
    assert labels[-1] == "stack"
    assert len(rows) <= 25
    assert rows[0].pieces == [areas[0][0]]
    assert [row.range.start for row in rows] == sorted(row.range.start for row in rows)
    assert rows[-1].range.end == areas[-1][0].end
    assert all(len(row.pieces) <= 8 for row in rows)


def test_rows_reach_to_the_end_of_memory() -> None:
    """Whatever part of a byte rounding makes of sums of what is there: no page of a band is in no row."""
    random = Random(1)
    for _ in range(300):
        count = random.randint(1, 30)
        areas = [(Range(n * MIB, n * MIB + 4096 * random.choice([1, 3, 16, 100])), "") for n in range(count)]
        there = [area.size * random.choice([1.0, 1 / 3, 0.7]) for area, _ in areas]
        rows = rows_of(bands_of(0, areas, there), random.randint(1, 60))
        assert (rows[0].range.start, rows[-1].range.end) == (0, areas[-1][0].end)


def test_many_small_mappings_cost_in_proportion() -> None:
    """Files of a page each beside a large mapping, and pieces of one band: twice as many take twice as many calls."""

    def calls(many: int) -> int:
        files = [(Range(MIB * n, MIB * n + 4096), f"/f{n}") for n in range(1, many)]
        pieces = [(Range((1 << 50) + 8192 * n, (1 << 50) + 8192 * n + 4096), "") for n in range(many)]
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        sys.setprofile(count)
        try:
            rows_of(bands_of(0, [*files, (Range(1 << 45, 1 << 46), "/large"), *pieces]), 64)
            rows_of(bands_of(0, pieces), 64)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(800) < 2.5 * calls(400)


def test_text_fits_and_is_plain(tmp_path: Path) -> None:
    """80 columns, no escape codes, ASCII, with the names and the process."""
    recording = two_bands(tmp_path / "a")
    text = heatmap.render(measured(recording, 20, 52), Catalog(recording), Terminal(80, 0, True))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert text.isascii()
    for word in ("heap", "anonymous", "pid 7 redis", "4.0 MiB"):
        assert word in text


@pytest.mark.parametrize(("colours", "code"), [(256, r"48;5;\d+m"), (1 << 24, r"48;2;\d+;\d+;\d+m")])
def test_colours(colours: int, code: str) -> None:
    """Colour goes on once a run, memory that is not there has none, and every line switches it off."""
    line = Terminal(80, colours).heat([0.0, 0.0, 1.0, None])
    assert len(re.findall(code, line)) == 2
    assert re.sub(r"\x1b\[[0-9;]*m", "", line) == "    "
    assert line.endswith("\x1b[0m")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: colour, not with NO_COLOR or TERM=dumb; --color always wins over both."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert Terminal.of_stdout().colours == 256
    monkeypatch.setenv("NO_COLOR", "1")
    assert Terminal.of_stdout().colours == 0
    assert Terminal.of_stdout("always").colours == 256
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Terminal.of_stdout().colours == 0


def test_document(tmp_path: Path) -> None:
    """With --json: the matrix, its rows and its columns."""
    recording = two_bands(tmp_path / "a")
    found = heatmap.document(measured(recording, 4, 2), Catalog(recording))
    assert found["schema"] == 1
    assert found["cells"][0] == [1.0, 0.0]
    assert found["column_seconds"] == 0.1
    assert found["rows"][0] == {
        "target": 0, "start": HEAP, "end": HEAP + MIB, "bytes": MIB, "mapping": "[heap]", "kind": "heap",
        "label": "heap", "upper_bound": False,
    }  # fmt: skip


@pytest.mark.parametrize("time", ["0-200000d", "min-9999999999999999d"])
def test_times_beyond_any_clock(tmp_path: Path, time: str) -> None:
    """A span that ends after 2**63 ns has all windows, as one without an end."""
    recording = two_bands(tmp_path / "a")
    with RecordingSource(recording, Filters.parse(time=time)) as source:
        assert heatmap.measure(source, 4, 2).cells == measured(recording, 4, 2).cells


def test_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQL sums a long recording up part by part; columns that several parts reach into are as in one."""
    path = tmp_path / "long.udamon"
    with Writer(path, {"via": "sim"}) as writer:
        for seq in range(30):
            middle = ANON + MIB * (1 + seq % 5)
            regions = [(ANON, middle, seq % 21, 0, 0), (middle, ANON + 8 * MIB, (7 * seq) % 21, 0, 0)]
            writer.snapshot(snap(seq, regions))
            if seq % 4 == 3:
                writer.flush()
    whole = measured(Recording(path), 5, 7)
    monkeypatch.setattr(source_module, "PART_ROWS", 16)
    with RecordingSource(Recording(path), Filters.parse(size="0-")) as source:
        parts = heatmap.measure(source, 5, 7)
        assert len(list(source.in_parts("SELECT count(*) FROM regions"))) == 4
        assert source.query("SELECT count(*) FROM regions") == [(60,)]
    assert [cell for row in parts.cells for cell in row] == pytest.approx(
        [cell for row in whole.cells for cell in row], rel=1e-12
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters.parse(time="3.05s-3.15s"), [30]),
        (Filters.parse(targets=(1,)), [100]),
        (Filters.parse(address="0x3100000-0x3200000"), [49]),
    ],
)
def test_memory_that_is_in_few_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filters: Filters, expected: list[int]
) -> None:
    """Rows are made from a few snapshots of a long recording, but never miss what filters ask for."""
    monkeypatch.setattr("udamon.report.source.SOME_ROWS", 3)
    with Writer(tmp_path / "a", {"via": "sim"}) as writer:
        for seq in range(60):  # at every moment another MiB
            writer.snapshot(snap(seq, [(seq * MIB, (seq + 1) * MIB, 20, 0, 0)]))
            if seq == 40:
                writer.snapshot(snap(seq, [(100 * MIB, 101 * MIB, 20, 0, 0)], target=1))
            writer.flush()
    with RecordingSource(Recording(tmp_path / "a"), filters) as source:
        rows = heatmap.measure(source, 4, 4).rows
    assert {row.range.start // MIB for row in rows} == set(expected)
