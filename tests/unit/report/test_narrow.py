"""Reports end where the terminal does: names give way, then bars, then columns, which is said.

A sentence may be longer, since terminals show it in several lines. A row of a table may not: its figures would stand
below the wrong titles.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_size import MIB, census
from tests.unit.snapshots import recorded
from udamon.cli.main import main
from udamon.cli.report_kinds import KINDS
from udamon.model import Event
from udamon.text import width

NAMES = [f"/usr/lib/{'n' * 50}{at}.cpython-311-x86_64-linux-gnu.so" for at in range(4)]
WINDOWS = 24
ROW = re.compile(r"\S {2,}\S")
"""Two blanks between words: cells of a table."""

FORMS: list[tuple[str, ...]] = [
    *((kind,) for kind in sorted(KINDS - {"diff", "sites", "info", "holistic"})),
    ("diff",),
    ("access", "--by", "mapping"),
    ("access", "--by", "process"),
    ("access", "--style", "simple-boxes"),
    ("access", "--style", "hot"),
    ("access", "--style", "recency-sz-hist"),
    ("access", "--style", "temperature-percentiles"),
    ("wss", "--over-time"),
    ("wss", "--by", "mapping"),
    ("wss", "--definition", "damo"),
    ("footprint", "--by", "mapping"),
    ("times", "--every"),
]
"""`info` has lines of words alone (test_wrapping), of which `holistic` has some, beside other reports."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One process, and three, whose mappings and command lines have long names."""
    place = tmp_path_factory.mktemp("narrow")
    made = []
    for processes in (1, 3):
        items: list[object] = []
        for target in range(processes):
            about = {"target": target, "pid": 4_000_000 + target, "comm": "python3.11"}
            items += [
                Event(0, "target_start", about | {"cmdline": ["python3.11", "-m", "a.long.module", "x" * 40]}),
                Event(0, "mappings", {"target": target, "remove": [], "add": [
                    *([(at * 200 + 100) * MIB, (at * 200 + 200) * MIB, "r--p", 0, 7, name]
                      for at, name in enumerate(NAMES)),
                    [0x7F00_0000_0000, 0x7F00_0000_0000 + 100 * MIB, "rw-p", 0, 0, ""],
                ]}),
            ]  # fmt: skip
        for seq in range(WINDOWS):
            for target in range(processes):
                touched = [(99, 1)[(at + seq // 8) % 2] for at in range(5)]
                starts = [at * 200 + 100 for at in range(4)] + [0x7F00_0000_0000 // MIB]
                window = census(seq, [(start, 99, some) for start, some in zip(starts, touched, strict=True)])
                items.append(replace(window, target=target, pid=4_000_000 + target))
        path = place / f"{processes}.udamon"
        recorded(path, items, via="refs", wall_ns=1, monotonic_ns=0)  # type: ignore[arg-type]
        made.append(path)
    return made


@pytest.mark.parametrize("words", FORMS, ids=" ".join)
def test_rows_end_where_the_terminal_does(
    words: tuple[str, ...],
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, three = map(str, files)
    kind, *flags = words
    others = [one] if kind == "diff" else []
    for columns, locale, file, plain in (
        (60, "C.UTF-8", one, []),
        (60, "C", three, []),
        (80, "C", one, ["--plain"]),
        (80, "C.UTF-8", three, []),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LC_ALL", locale)
        assert main(["report", kind, file, *others, *flags, *plain]) == 0
        text = capsys.readouterr().out
        assert [line for line in text.split("\n") if width(line) > columns and ROW.search(line)] == []
        assert text.isascii() or locale != "C"
        assert re.search(r"\\u[0-9a-f]{4}", text) is None


@pytest.mark.parametrize(
    ("columns", "bar", "idle"), [(60, False, False), (80, False, True), (120, True, True)]
)
def test_what_mappings_leave_out(
    columns: int, bar: bool, idle: bool, files: list[Path],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Bars first; that of a column is said. Touched bytes and their share are always there."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["report", "mappings", str(files[1])]) == 0
    text = capsys.readouterr().out
    head = text.splitlines()[1].split()
    assert head == ["mapping", "target", "resident", "touched", "share", *(["idle"] if idle else [])]
    assert ("█" in text) == bar
    assert ("  left out, as the terminal is narrow: idle" in text) == (not idle)


@pytest.mark.parametrize("columns", [60, 200])
def test_what_changed_is_beside_a_phase_or_below_it(
    columns: int, files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each change has a line, with its pid and its figures."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["report", "phases", str(files[1])]) == 0
    text = capsys.readouterr().out
    changes = [line for line in text.splitlines() if "→" in line]
    assert text.startswith("3 phases")
    assert len(changes) == 2 * 2
    assert all(re.search(r"pid 400000\d .*  ≤?\d+%→≤?\d+%$", line) for line in changes)
    assert ("what changed\n" in text, "below a phase: what changed" in text) == (
        columns == 200,
        columns == 60,
    )


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_command_lines_are_beside_the_figures_or_below_them(
    columns: int, files: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command line is whole, in several lines where it is longer than one; figures stand below their titles."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["report", "info", str(files[1])]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    command = f"python3.11 -m a.long.module {'x' * 40}"
    beside = [line for line in lines if "pid 400000" in line]
    assert len(beside) == 3
    assert " ".join(text.split()).count(command) == 3
    assert [line.endswith(command) for line in beside] == [columns == 200] * 3
    assert max(map(width, beside)) <= columns
    head = next(line for line in lines if "snapshots" in line and "ended" in line)
    assert ("command" in head.split()) == (columns == 200)
    assert all(line[head.index("snapshots") : head.index("snapshots") + 9].strip() == "24" for line in beside)
