"""On a terminal, and where COLUMNS is set, no line of a result is longer than that; elsewhere a sentence stays one
line."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.integration.forking import UDAMON
from tests.integration.recorder import forked_udamon, held_until, udamon
from tests.waiting import WAIT_LIMIT_S
from udamon.text import Shown, width


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a process with a long command line, whose mappings have long names."""
    file = tmp_path_factory.mktemp("wide") / "a.udamon"
    how: list[str | Path] = ["--via", "refs", "--aggr", "50ms", "-q", "-o", file]
    with held_until(file, 10) as (pipe,):
        command = ["sh", "-c", f"read line < {pipe}; true", *(f"0.00{number}" for number in range(40))]
        done = udamon("record", *how, "--", *command)
    assert done.status == 0, done.stderr
    return file


def on_terminal(*words: str | Path, columns: int) -> str:
    """What a command shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(columns), "NO_COLOR": ""}
    process = subprocess.Popen(
        [*UDAMON, *map(str, words)], stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # nobody has the other end
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(WAIT_LIMIT_S) == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("kind", ["info", "size", "access", "doctor"])
def test_lines_end_where_the_terminal_does(recording: Path, kind: str, columns: int) -> None:
    words = ["doctor"] if kind == "doctor" else ["report", kind, recording]
    lines = on_terminal(*words, columns=columns).split("\n")
    assert len(lines) > 5
    assert [line for line in lines if width(Shown(line)) > columns and " " in line.strip()] == []


def test_a_document_is_one_line(recording: Path) -> None:
    assert on_terminal("report", "info", recording, "--json", columns=60).count("\n") == 1


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("kind", ["wss", "info", "size"])
def test_lines_end_where_columns_says_it_in_a_pipe(recording: Path, kind: str, columns: int) -> None:
    lines = forked_udamon("report", kind, recording, COLUMNS=str(columns)).stdout.split("\n")
    assert len(lines) > 5
    assert [line for line in lines if width(Shown(line)) > columns and " " in line.strip()] == []


def test_lines_of_stat_end_there_too(tmp_path: Path) -> None:
    (tmp_path / "a.masim").write_text("a, 16777216\n\np\n1000\na, 1, 64, 1\n")
    words = ["stat", "--sim", str(tmp_path / "a.masim"), "--duration", "500ms"]
    lines = forked_udamon(*words, COLUMNS="40").stdout.split("\n")
    assert len(lines) > 5
    assert [line for line in lines if width(Shown(line)) > 40 and " " in line.strip()] == []


def test_elsewhere_a_sentence_is_one_line(recording: Path) -> None:
    done = forked_udamon("report", "info", recording, COLUMNS="")
    assert any(
        line.startswith("Grain: mappings.") and line.endswith("not which pages.")
        for line in done.stdout.split("\n")
    )
