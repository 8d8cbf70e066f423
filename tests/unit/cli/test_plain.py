"""What screen readers, terminals without colours and light ones get to see."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from tests.unit.test_hostile_names import REPORTS
from tests.unit.test_json_schemas import told
from udamon import console
from udamon.cli.main import main
from udamon.cli.progress_line import ProgressLine
from udamon.report.terminal import Terminal, colour_of

DRAWN = re.compile(r"[\u2500-\u259f]|##|\x1b|\r|[:=+*#%@.-]{12}|[ \t]$", re.MULTILINE)
"""Boxes, blocks, bars, pictures of signs, sequences of a terminal, and what is left of a bar: blanks at an end."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plain") / "a.udamon"
    how = ["--sim", "demo", "--sample", "5ms", "--aggr", "50ms", "--duration", "2s"]
    assert main(["record", *how, "-o", str(file), "-q"]) == 0
    return file


@pytest.mark.parametrize("kind", sorted({*REPORTS} - {"footprints", "nr_regions", "sites"}))
def test_plain_reports_are_words_and_figures(
    kind: str, recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    after = [str(recording)] if kind == "diff" else []
    assert main(["report", kind, str(recording), *after, "--plain"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") > 1
    assert DRAWN.findall(shown) == []


@pytest.mark.parametrize(
    "words",
    [("access", "--style", "simple-boxes"), ("access", "--style", "recency-sz-hist"), ("wss", "--over-time")],
    ids=" ".join,
)
def test_plain_styles(words: tuple[str, ...], recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", words[0], str(recording), *words[1:], "--plain"]) == 0
    assert DRAWN.findall(capsys.readouterr().out) == []


def test_the_search_itself(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --plain there is something to find."""
    for kind in ("heatmap", "wss", "mappings", "right-size"):
        assert main(["report", kind, str(recording)]) == 0
        assert DRAWN.findall(capsys.readouterr().out)


def test_a_plain_heatmap_tells_the_rates(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "heatmap", str(recording), "--resol", "4x10", "--plain"]) == 0
    rows = [
        line for line in capsys.readouterr().out.splitlines() if "mean" in line or "never accessed" in line
    ]
    document = told(capsys, "report", "heatmap", recording, "--resol", "4x10", "--json")
    assert len(rows) == len(document["rows"])
    for row, cells in zip(rows, document["cells"], strict=True):
        known = [rate for rate in cells if rate is not None]
        highest = f"{max(known):.0%}" if max(known) >= 0.005 else "<1%"
        assert (f"highest {highest} at" if max(known) else "never accessed") in row


def test_plain_is_for_one_command(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "info", str(recording), "--plain"]) == 0
    assert main(["report", "heatmap", str(recording), "--color", "always"]) == 0
    assert "\x1b" in capsys.readouterr().out


def test_a_picture_takes_no_notice(recording: Path, tmp_path: Path) -> None:
    assert main(["report", "heatmap", str(recording), "--plain", "--html", str(tmp_path / "a.html")]) == 0


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_plain_terminal_has_no_line_that_is_written_again() -> None:
    now = iter([0.0, 2.0, 4.0, 9.0, 9.0])
    console.set_plain(True)
    try:
        stream = _Tty()
        ProgressLine(stream, terminal_only=True, every=0).show(lambda: "half")
        line = ProgressLine(stream, now=lambda: next(now))
        for _ in range(3):
            line.show(lambda: "half")
        line.clear()
        assert stream.getvalue() == "half\n"  # every five seconds
    finally:
        console.set_plain(False)


def test_the_time_that_is_left_is_estimated() -> None:
    """From what a step has taken so far; a step that begins anew forgets it."""
    clock = [0.0]
    shown: list[str] = []
    line = ProgressLine.of_work(_Tty(), now=lambda: clock[0])
    line.show = lambda text: shown.append(text())  # type: ignore[method-assign, assignment]
    step = line.step("reading")
    for now, share in ((0.5, 0.5), (10.0, 0.25), (30.0, 0.75), (40.0, 1.0), (41.0, 0.1), (43.0, 0.2)):
        clock[0] = now
        step(share)
    assert shown == [
        "reading 50%",  # too early to tell
        "reading 25%",  # a step that begins now
        "reading 75%, about 7 s more",
        "reading 100%",
        "reading 10%",
        "reading 20%, about 8 s more",
    ]


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_what_is_hot_does_not_vanish_on_white() -> None:
    assert 1.05 / (luminance(colour_of(1.0)) + 0.05) > 1.5
    steps = [luminance(colour_of(share / 20)) for share in range(21)]
    assert steps == sorted(steps)


def test_bars_are_nothing_in_plain_text() -> None:
    assert Terminal(plain=True).bar(0.5, 8) == ""
