"""`udamon report` as a command: JSON alone on stdout, sentences for errors, pipes that close, few imports."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.report.test_wss import one, record, snap
from udamon.cli import report, report_kinds
from udamon.cli.report import STYLES
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Snapshot


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser)
    return report.run(parser.parse_args([str(word) for word in argv]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    steps: list[Snapshot | Event] = [one(seq, seq * 1000) for seq in range(20)]
    record(tmp_path / "a.udamon", [*steps, snap(20, [])])
    return tmp_path / "a.udamon"


KINDS = sorted(report_kinds.KINDS - {"diff", "sites"})
"""What can be made of any one recording."""


@pytest.mark.parametrize("kind", KINDS)
def test_json_is_one_document(file: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly one JSON document, without NaN, with its schema; and text without --json."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert run(kind, file, "--json") == 0
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["schema"] == 1
    assert run(kind, file) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "flags", [("--time", "0s-2s"), ("--whole",), ("--at", "1s", "--weights", "1,2,3", "--definition", "damo")]
)
def test_styles_of_access(
    file: Path, style: str, flags: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each way to show regions, of a moment and (histograms and percentiles) of the whole recording."""
    whole = "--whole" in flags
    if whole and not style.startswith(("temperature", "recency")):
        with pytest.raises(UsageError, match="--whole goes with"):
            run("access", file, "--style", style, *flags)
        return
    assert run("access", file, "--style", style, "--json", *flags) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert run("access", file, "--style", style, *flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


def test_a_moment_without_regions(file: Path) -> None:
    """The last snapshot has no region: nothing to make a histogram of, and a sentence that says so."""
    with pytest.raises(RecordingError, match="no region is left at that moment"):
        run("access", file, "--style", "recency-sz-hist")


def test_diff_of_two(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files: the same one twice differs in nothing."""
    assert run("diff", file, file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["wss"]["change"].values()) == {0}
    assert run("diff", file, file) == 0
    assert "before" in capsys.readouterr().out


def test_numbers_of_regions(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A region a snapshot, none in the last; they are not called bytes."""
    assert run("nr-regions", file, "--json", "--over-time") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["regions"]["min"], found["regions"]["max"]) == (0, 1)
    assert [moment["regions"] for moment in found["over_time"]] == [1] * 20 + [0]
    assert "bytes" not in found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_80_columns_without_a_terminal(
    file: Path, kind: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a pipe: no escape codes, at most 80 columns (what info says of the machine is as long as it is)."""
    pipe = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", pipe)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(file.parent)  # its name is in what `size` says
    assert run(kind, file.name) == 0
    text = pipe.buffer.getvalue().decode(encoding)
    assert text.strip()
    assert "\x1b" not in text
    if kind not in ("info", "holistic"):
        assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "argv",
    [
        ("heatmap", "--resol", "wide"), ("heatmap", "--resol", "0x5"), ("access", "--top", "0"),
        ("access", "--at", "5"), ("wss", "--rate", "2-3"), ("access", "--weights", "1,2"), ("mappings", "--top", "0"),
        ("access", "--style", "recency-sz-hist", "--whole", "--at", "1s"), ("right-size", "--serve", "0"),
        ("wss", "--mapping", "nothing"), ("wss", "--mapping", ""),
    ],
)  # fmt: skip
def test_wrong_usage(file: Path, argv: tuple[str, ...]) -> None:
    """Numbers that make no sense are usage errors."""
    with pytest.raises(UsageError):
        run(argv[0], file, *argv[1:])


_COMMAND = """
import argparse, sys
from udamon.cli import report
from udamon.cli.report import STYLES
parser = argparse.ArgumentParser()
report.configure(parser)
sys.exit(report.run(parser.parse_args()))
"""


def test_closed_pipe(file: Path) -> None:
    """A reader that goes away (| head) leaves no traceback and nothing on stderr."""
    script = f'"{sys.executable}" -c "$0" access "$1" --json | head -c 1 >/dev/null; true'
    for kind in ("access", "heatmap --resol 500x500"):
        shell = script.replace("access", kind)
        done = subprocess.run(["sh", "-c", shell, _COMMAND, file], capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_writer_and_command_line_import_no_heavy_library() -> None:
    """Recording needs arro3 only; building the parser needs none of it."""
    code = "import sys, {0}; print([m for m in ('arro3', 'duckdb', 'numpy', 'pyarrow') if m in sys.modules])"
    for module, found in (("udamon.record.writer", "['arro3']"), ("udamon.cli.report", "[]")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["report", "a file"], ["report", "size", "a file"]),
        (["report", "--json", "a file"], ["report", "size", "--json", "a file"]),
        (["report", "-", "--time", "1s-"], ["report", "size", "-", "--time", "1s-"]),
        (["report", "wss", "a file"], ["report", "wss", "a file"]),
        (["report", "wsss", "a file"], ["report", "wsss", "a file"]),
        (["report", "--json", "wss", "a file"], ["report", "wss", "--json", "a file"]),
        (
            ["report", "--time", "1s-2s", "--html=o", "heatmap", "a file", "--plain"],
            ["report", "heatmap", "--time", "1s-2s", "--html=o", "a file", "--plain"],
        ),
        (["report", "--mapping", "size", "a file"], ["report", "--mapping", "size", "a file"]),
        (["report", "--help"], ["report", "--help"]),
    ],
)
def test_a_file_without_a_kind(words: list[str], found: list[str]) -> None:
    """The kind is `size`; a kind that is written wrong is not taken for a file."""
    assert report.with_kind(words) == found
