"""`udamon convert` as a command: formats, refusals that change nothing, results that are whole or not there."""

from __future__ import annotations

import argparse
import csv
import json
import os
import stat
import zlib
from dataclasses import replace
from functools import partial
from io import StringIO
from math import ceil
from pathlib import Path

import pytest
from arro3.io import read_csv, read_parquet

from tests.unit.snapshots import damo_file, damo_record, damo_region, damo_snapshot, recorded, snap
from udamon.cli import convert
from udamon.cli.progress_line import ProgressLine
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Rates
from udamon.record.opening import open_recording
from udamon.record.reader import Recording
from udamon.record.schema import COLUMNS, SCHEMA
from udamon.record.writer import Writer
from udamon.report.source import RecordingSource


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    convert.configure(parser)
    return convert.run(parser.parse_args([str(word) for word in argv]))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    started = Event(0, "target_start", {"target": 0, "pid": 7, "comm": "a"})
    regions = [(4096, 8192, 5, 3), (1 << 20, 1 << 21, 0, 8)]
    return recorded(
        tmp_path / "own.udamon", [started, *(snap(seq, regions) for seq in range(4))], via="idle"
    ).path


def test_damo_json(own: Path, tmp_path: Path) -> None:
    """The keys and the spellings that damo writes."""
    assert run(own, "-o", tmp_path / "a", "--to", "damo-json") == 0
    (record,) = json.loads((tmp_path / "a").read_text())
    assert record.pop("snapshots")[1] == damo_snapshot(
        "100000000", "200000000",
        [damo_region("4,096", "8,192", 5, "3"), damo_region("1,048,576", "2,097,152", 0, "8")],
        total_bytes=str(4096 + (1 << 20)),
    )  # fmt: skip
    whole = damo_record([])
    del whole["snapshots"]
    assert record == whole
    assert run(own, "-o", tmp_path / "b", "--to", "damo-json", "--compress") == 0
    assert zlib.decompress((tmp_path / "b").read_bytes()) == (tmp_path / "a").read_bytes()


def test_rates_are_not_in_formats_of_whole_ticks(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is said where there are any; Parquet and CSV have them, not rounded."""
    rates = Rates.of([[1 / 3], [0.25], [0.5]])
    shots = [replace(snap(seq, [(4096, 8192, 7, 3)]), rates=rates) for seq in range(2)]
    rated = recorded(tmp_path / "rated", shots, via="pte").path
    for number, (file, to) in enumerate([(own, "damo-json"), (rated, "damo-json"), (rated, "csv")]):
        capsys.readouterr()
        assert run(file, "-o", tmp_path / f"out{number}", "--to", to) == 0
        assert ("whole ticks" in capsys.readouterr().err) == (number == 1)
    rows = list(csv.DictReader(StringIO((tmp_path / "out2").read_text())))
    assert [float(rows[1][name]) for name in ("access_rate", "rate_low", "rate_high")] == [1 / 3, 0.25, 0.5]


def test_perf_script(own: Path, tmp_path: Path) -> None:
    run(own, "-o", tmp_path / "a", "--to", "perf-script")
    assert (tmp_path / "a").read_text().splitlines()[:3] == [
        "kdamond.0     0 [000] 0.000000000: damon:damon_monitor_intervals_tune: sample_us=5000",
        "kdamond.0     0 [000] 0.100000000: damon:damon_aggregated: target_id=0 nr_regions=2 4096-8192: 5 3",
        "kdamond.0     0 [000] 0.100000000: damon:damon_aggregated: target_id=0 nr_regions=2 1048576-2097152: 0 8",
    ]


def test_tables(own: Path, tmp_path: Path) -> None:
    """The rows of the recording, column by column; what was known at the start is there, too."""
    rows = [row for batch in Recording(own).batches() for row in batch.to_struct_array().to_pylist()]
    run(own, "-o", tmp_path / "a", "--to", "parquet")
    reader = read_parquet(tmp_path / "a")
    assert json.loads(reader.schema.metadata[b"udamon"])["via"] == "idle"
    assert [row for batch in reader for row in batch.to_struct_array().to_pylist()] == rows
    run(own, "-o", tmp_path / "b", "--to", "csv")
    found = [
        row
        for batch in read_csv(tmp_path / "b", SCHEMA, has_header=True)
        for row in batch.to_struct_array().to_pylist()
    ]
    assert json.loads(found[0].pop("data"))["via"] == "idle"
    assert found[0].pop("event") == "metadata"
    assert found[1:] == rows
    assert (tmp_path / "b").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_no_formulas_in_csv(tmp_path: Path) -> None:
    """Text that a spreadsheet would run has an apostrophe before it; numbers and other text have none."""
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "note", " =1"]
    source = recorded(tmp_path / "own", [Event(-5, name, {}) for name in names]).path

    def written(*flags: str) -> list[dict[str, str]]:
        run(source, "-o", tmp_path / "out.csv", "--to", "csv", "--force", *flags)
        with (tmp_path / "out.csv").open(newline="") as file:
            return list(csv.DictReader(file))[1:]

    found = written()
    assert [row["event"] for row in found] == [*(f"'{name}" for name in names[:6]), *names[6:]]
    assert {(row["time"], row["data"]) for row in found} == {("-5", "{}")}
    assert [row["event"] for row in written("--raw")] == names
    with pytest.raises(UsageError, match="--raw is for csv"):
        run(source, "-o", tmp_path / "a", "--to", "parquet", "--raw")


def test_from_damo_to_a_recording(tmp_path: Path) -> None:
    """What comes out is a recording that is read without a copy, with the same snapshots."""
    source = damo_file(tmp_path / "damo", [damo_record([damo_snapshot(0, 10, [damo_region(0, 4096, 1)])])])
    run(source, "-o", tmp_path / "a", "--to", "arrow")
    assert list(Recording(tmp_path / "a").snapshots()) == list(open_recording(source).snapshots())
    assert list(Recording(tmp_path / "a").events()) == list(open_recording(source).events())
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_what_a_rotation_took_away_is_not_missing_in_a_copy(tmp_path: Path) -> None:
    source = tmp_path / "a.udamon"
    writer = Writer(source, {"via": "idle"}, max_size=1 << 16)
    regions = [(page << 12, (page + 1) << 12, page % 7, 3) for page in range(200)]
    for seq in range(100):
        writer.snapshot(snap(seq, regions))
        writer.flush()
    writer.close()
    kept = [shot.seq for shot in Recording(source).snapshots()]
    assert 0 < kept[0] < kept[-1] == 99
    assert run(source, "-o", tmp_path / "b.arrow") == 0
    copy = Recording(tmp_path / "b.arrow")
    assert [shot.seq for shot in copy.snapshots()] == kept
    assert (copy.damaged, copy.truncated) == ([], False)


@pytest.mark.parametrize("to", ["damo-json", "perf-script", "parquet", "csv", "arrow"])
@pytest.mark.parametrize("metadata", [{}, {"monotonic_ns": None}])
def test_of_nothing(to: str, metadata: dict[str, None], tmp_path: Path) -> None:
    """A recording without a snapshot is converted like any other, and so is one that does not know when it began."""
    own = recorded(tmp_path / "own", [], **metadata)
    run(own.path, "-o", tmp_path / "a", "--to", to)
    assert (tmp_path / "a").exists()
    with RecordingSource(own) as source:
        assert source.start_ns == 0


def test_refusals(own: Path, tmp_path: Path) -> None:
    """Nothing is changed by a request that cannot be."""
    there = tmp_path / "there"
    there.write_text("mine")
    with pytest.raises(RecordingError, match="exists already.*--force"):
        run(own, "-o", there, "--to", "csv")
    with pytest.raises(UsageError, match="--compress is for damo-json"):
        run(own, "-o", there, "--to", "csv", "--compress", "--force")
    with pytest.raises(UsageError, match="the file that is read"):
        run(own, "-o", own, "--to", "csv", "--force")
    with pytest.raises(RecordingError, match="No such file"):
        run(own, "-o", tmp_path / "no" / "a", "--to", "csv")
    with pytest.raises(RecordingError, match="is a directory"):
        run(own, "-o", tmp_path, "--to", "csv")
    with pytest.raises(RecordingError, match="No such file"):
        run(tmp_path / "none", "-o", tmp_path / "a", "--to", "csv")
    assert there.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["own.udamon", "there"]
    assert run(own, "-o", there, "--to", "csv", "--force") == 0
    assert there.read_text().startswith("time,")


@pytest.mark.parametrize(("to", "name"), [("parquet", "Parquet"), ("csv", "CSV")])
def test_what_is_only_written(own: Path, tmp_path: Path, to: str, name: str) -> None:
    """Tables for other engines are told from what is unknown, with the step that helps."""
    assert run(own, "-o", tmp_path / "table", "--to", to) == 0
    with pytest.raises(RecordingError, match=f"is {name}, which udamon writes.*; give the recording that it"):
        run(tmp_path / "table", "-o", tmp_path / "again", "--to", "arrow")


def test_a_bad_source_leaves_nothing(tmp_path: Path) -> None:
    good = damo_snapshot(0, 10, [damo_region(0, 4096)])
    source = damo_file(tmp_path / "bad", [damo_record([good, damo_snapshot(10, 20, [damo_region(4096, 0)])])])
    with pytest.raises(RecordingError, match="ends where it begins"):
        run(source, "-o", tmp_path / "a", "--to", "arrow")
    assert os.listdir(tmp_path) == ["bad"]


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_for_terminals() -> None:
    """A line after a second of work, at most ten times a second, and gone in the end; nothing elsewhere."""
    terminal, file = _Terminal(), StringIO()
    for stream in (terminal, file):
        now = [0.0]
        with ProgressLine.of_work(stream, partial(now.__getitem__, 0)) as line:
            told = line.step("copying")
            for share in range(100):
                now[0] = share / 32
                told(share / 100)
    assert file.getvalue() == ""
    lines = terminal.getvalue().split("\r")
    assert [line.strip() for line in lines[1:-2]] == [
        f"copying {share}%, about {ceil((100 - share) / 32)} s more" for share in range(32, 100, 4)
    ]
    assert not lines[-2].strip()
    assert not lines[-1]


@pytest.mark.parametrize(
    ("name", "to"),
    [("a.csv", "csv"), ("a.parquet", "parquet"), ("a.json", "damo-json"), ("a.txt", "perf-script")],
)
def test_the_name_says_the_format(own: Path, tmp_path: Path, name: str, to: str) -> None:
    assert run(own, "-o", tmp_path / name) == 0
    assert run(own, "-o", tmp_path / "b", "--to", to) == 0
    assert (tmp_path / name).read_bytes() == (tmp_path / "b").read_bytes()


def test_a_name_that_says_no_format(own: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --to damo-json, perf-script"):
        run(own, "-o", tmp_path / "a.xyz")
