"""`udamon report` as a command: JSON alone on stdout, sentences for errors, pipes that close, few imports."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_report_wss import one, record, snap
from udamon.cli import report
from udamon.errors import MissingExtra, UsageError
from udamon.model import Event, Snapshot

pytest.importorskip("duckdb", reason="the extra `report` is not installed")


def run(*argv: str | Path) -> int:
    parser = argparse.ArgumentParser()
    report.configure(parser)
    return report.run(parser.parse_args([str(word) for word in argv]))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    steps: list[Snapshot | Event] = [one(seq, seq * 1000) for seq in range(20)]
    record(tmp_path / "a.udamon", [*steps, snap(20, [])])
    return tmp_path / "a.udamon"


@pytest.mark.parametrize("kind", ["wss", "heatmap", "access", "info"])
def test_json_is_one_document(file: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly one JSON document, without NaN, with its schema; and text without --json."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert run(kind, file, "--json") == 0
    assert json.loads(capsys.readouterr().out, parse_constant=refuse)["schema"] == 1
    assert run(kind, file) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    "argv",
    [
        ("heatmap", "--resol", "wide"), ("heatmap", "--resol", "0x5"), ("access", "--top", "0"),
        ("access", "--at", "5"), ("wss", "--rate", "2-3"),
    ],
)  # fmt: skip
def test_wrong_usage(file: Path, argv: tuple[str, ...]) -> None:
    """Numbers that make no sense are usage errors."""
    with pytest.raises(UsageError):
        run(argv[0], file, *argv[1:])


def test_without_duckdb(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that says what to install."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtra, match=r"pip install 'udamon\[report\]'"):
        run("wss", file)


_COMMAND = """
import argparse, sys
from udamon.cli import report
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
