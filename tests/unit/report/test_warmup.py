"""The start that record --warmup marked: left out by every report unless it is asked for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.report.test_wss import START, Region, snap
from tests.waiting import WAIT_LIMIT_S
from udamon.cli.main import main
from udamon.errors import RecordingError
from udamon.model import Event
from udamon.record.metadata import WARMUP, warmup_until
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import heatmap
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource

WINDOW = 100_000_000
PAGE = 4096
EARLY: list[Region] = [(0, 64 * PAGE, 20, 9, 64 * PAGE)]
LATE: list[Region] = [(0, 16 * PAGE, 20, 9, 16 * PAGE), (16 * PAGE, 64 * PAGE, 0, 9, 0)]


def written(path: Path, until: object, *, windows: int = 30, early: int = 10) -> Path:
    """All of the memory is touched in `early` windows, then a quarter of it."""
    with Writer(str(path), {WARMUP: until, "attrs": {"sample_us": 5000, "aggr_us": 100_000}}) as writer:
        mapped = {"target": 0, "add": [[0, 64 * PAGE, "rw-p", 0, 0, "[heap]"]], "remove": []}
        writer.event(Event(START, "mappings", mapped))
        for seq in range(windows):
            writer.snapshot(snap(seq, EARLY if seq < early else LATE))
    return path


KINDS = [
    ("wss",), ("wss", "--over-time"), ("wss", "--definition", "damo"), ("wss", "--by", "process"),
    ("heatmap",), ("access", "--whole", "--style", "temperature-sz-hist"), ("mappings",), ("right-size",), ("phases",),
    ("nr-regions",), ("times",), ("holistic",),
]  # fmt: skip


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    return written(tmp_path / "warm.udamon", START + 10 * WINDOW)


def document(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    assert main([str(word) for word in words]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_window_that_began_in_the_warm_up_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "mid.udamon", START + 9 * WINDOW + 1)
    with RecordingSource(Recording(path)) as source:
        assert source.query('SELECT min("begin"), count(DISTINCT seq) FROM regions') == [
            (START + 10 * WINDOW, 20)
        ]
        assert source.warmup_ns == 9 * WINDOW + 1
    with RecordingSource(Recording(path), Filters(include_warmup=True)) as source:
        assert source.query("SELECT count(DISTINCT seq) FROM regions") == [(30,)]
        assert source.warmup_ns == 0


def test_working_set_and_its_words(warm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = document(capsys, "report", "wss", warm, "--json")
    everything = document(capsys, "report", "wss", warm, "--json", "--include-warmup")
    assert (left["snapshots"], everything["snapshots"]) == (20, 30)
    assert (left["warmup_left_out_seconds"], everything["warmup_left_out_seconds"]) == (1.0, 0.0)
    assert main(["report", "wss", str(warm)]) == 0
    assert "Without the warm-up, the first 1 s (--include-warmup)." in capsys.readouterr().out


@pytest.mark.parametrize("words", KINDS, ids=" ".join)
def test_every_report_is_that_of_the_windows_after_it(
    words: tuple[str, ...], warm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as choosing them by time, of a recording without the mark."""
    plain = written(tmp_path / "plain.udamon", None)
    kind, *more = words
    found = document(capsys, "report", kind, warm, *more, "--json")
    assert found.pop("warmup_left_out_seconds") == 1.0
    chosen = document(capsys, "report", kind, plain, *more, "--json", "--time", "1001ms-")
    everything = document(capsys, "report", kind, plain, *more, "--json")
    assert chosen.pop("warmup_left_out_seconds") == everything.pop("warmup_left_out_seconds") == 0.0
    for one in (found, chosen, everything):
        one.pop("info", None)  # of holistic; it names the mark
    assert found == chosen
    assert found != everything, "the start makes a difference to this report"


@pytest.mark.parametrize("words", [(), ("--html",), ("--svg",)])
def test_the_heatmap_begins_after_it(warm: Path, words: tuple[str, ...], tmp_path: Path) -> None:
    with RecordingSource(Recording(warm)) as source:
        assert heatmap.span(source) == (START + 10 * WINDOW, START + 30 * WINDOW)
    if words:
        out = tmp_path / "out"
        assert main(["report", "heatmap", str(warm), *words, str(out)]) == 0
        assert out.stat().st_size > 0


def test_a_check_does_not_depend_on_the_start(warm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = ("--max-wss", "100KiB")
    assert main(["check", str(warm), *limit]) == 0
    assert main(["check", str(warm), *limit, "--include-warmup"]) == 1
    assert main(["check", str(warm), "--min-length", "2s", "--min-snapshots", "20"]) == 0
    assert main(["check", str(warm), "--min-snapshots", "21"]) == 1
    capsys.readouterr()


def test_a_difference_leaves_out_the_warm_up_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = written(tmp_path / "one.udamon", START + 10 * WINDOW)
    other = written(tmp_path / "other.udamon", START + 20 * WINDOW, early=20)
    found = document(capsys, "report", "diff", one, other, "--json")
    before, after = found["wss"]["before"], found["wss"]["after"]  # type: ignore[index]
    assert (before["max"], after["max"]) == (16 * PAGE, 16 * PAGE)


def test_info_is_about_all_of_it_and_names_it(warm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "report", "info", warm, "--json")
    assert (found["snapshots"], found["seconds"], found["warmup_seconds"]) == (30, 3.0, 1.0)
    assert main(["report", "info", str(warm)]) == 0
    assert "warm-up" in capsys.readouterr().out


def test_a_recording_that_is_all_warm_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "short.udamon", START + 60 * WINDOW)
    for words in (("wss",), ("heatmap",), ("right-size",), ("access",)):
        assert main(["report", words[0], str(path)]) == 1
        assert "no snapshot begins after its warm-up of 6 s; record longer" in capsys.readouterr().err
    assert main(["check", str(path), "--max-wss", "1GiB"]) == 3
    assert "no snapshot begins after its warm-up of 6 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("to", "marked"), [("arrow", True), ("csv", True), ("parquet", True), ("damo-json", False)]
)
def test_all_is_converted_and_it_is_said(
    warm: Path, to: str, marked: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["convert", str(warm), "-o", str(out), "--to", to]) == 0
    said = capsys.readouterr().err
    assert "the warm-up of" in said
    assert ("cannot mark it" in said) is not marked
    if to == "arrow":
        copied = Recording(out)
        assert warmup_until(copied.metadata, out) == START + 10 * WINDOW
        assert len(list(copied.snapshots())) == 30


@pytest.mark.parametrize("until", ["5s", 1.5, True, -1, 1 << 70, [1]])
def test_a_head_with_a_warm_up_that_is_no_time_is_refused(until: object, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.udamon", until, windows=2)
    with pytest.raises(RecordingError, match="is no time in ns"):
        RecordingSource(Recording(path))


@pytest.mark.needs("clear_refs")
def test_record_marks_it_from_the_start_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "o.udamon"
    words = [
        "record",
        "-o",
        str(path),
        "-q",
        "--via",
        "refs",
        "--aggr",
        "50ms",
        "--warmup",
        "300ms",
        "--anonymize",
    ]
    before = time.monotonic_ns()
    enough = tmp_path / "enough"

    def wait_for_windows() -> None:
        """The command runs until two windows after the warm-up are in the file, however long that takes here."""
        deadline = time.monotonic() + WAIT_LIMIT_S
        while time.monotonic() < deadline and not enough.exists():
            time.sleep(0.1)
            if path.exists():
                recording = Recording(path)
                until = warmup_until(recording.metadata, path)
                begins = {snapshot.begin_ns for snapshot in recording.snapshots()}
                if until is not None and sum(begin >= until for begin in begins) >= 2:
                    break
        enough.touch()

    waiting = Thread(target=wait_for_windows)
    waiting.start()
    try:
        assert main([*words, "--", "sh", "-c", 'until [ -e "$0" ]; do sleep 0.1; done', str(enough)]) == 0
    finally:
        enough.touch()
        waiting.join()
    recording = Recording(path)
    until = warmup_until(recording.metadata, path)
    assert until is not None
    # The recording opens when the command runs already, so its warm-up is no longer than was asked for.
    assert before + 300_000_000 <= until <= recording.metadata["monotonic_ns"] + 300_000_000
    with RecordingSource(recording) as source:
        left = source.query('SELECT min("begin"), count(DISTINCT seq) FROM regions')
    begins = [snapshot.begin_ns for snapshot in recording.snapshots()]
    assert left == [
        (min(begin for begin in begins if begin >= until), sum(begin >= until for begin in begins))
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--warmup", "0s"), "--warmup 0s is no time at all"),
        (("--warmup", "soon"), "soon"),
        (("--warmup", "2s", "--duration", "2s"), "--warmup 2s leaves nothing of --duration 2 s"),
    ],
)
def test_a_warm_up_that_makes_no_sense(
    words: tuple[str, ...], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.udamon"
    assert main(["record", "-o", str(out), *words, "--", "touch", str(tmp_path / "ran")]) == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
