"""Every command that reads a recording says what of it is damaged, also where it cannot do what it was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.snapshots import recorded, snap
from tests.unit.test_hostile_names import HARMLESS, REPORTS, recording_of
from udamon.cli.main import main
from udamon.record.reader import Recording
from udamon.record.writer import Writer

KINDS = [kind for kind, flags in REPORTS.items() if flags and kind not in ("diff", "sites")]


def damaged(path: Path, which: Sequence[int]) -> None:
    """Flip a byte in the body of some of the record batches."""
    places = [message for _, message in Recording(path).messages() if message.rows]
    data = bytearray(path.read_bytes())
    for at in which:
        data[places[at].end - 1] ^= 1
    path.write_bytes(data)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six flushes of a window each, of which the third is damaged."""
    path = tmp_path / "file"
    with Writer(path, {"via": "sim"}) as writer:
        for seq in range(6):
            writer.snapshot(snap(seq, [(0, 1 << 20, 1, 0)]))
            writer.flush()
    damaged(path, [2])
    return path


WORDS = "is damaged at byte"


@pytest.mark.parametrize("kind", KINDS)
def test_reports(kind: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", kind, str(file)]) == 0
    assert capsys.readouterr().err.count(f"{WORDS} ") == 1
    assert main(["report", kind, str(file), "--json"]) == 0
    found = capsys.readouterr()
    assert found.err.count(WORDS) == 1
    (one,) = json.loads(found.out)["damaged"]
    assert (one["first_snapshot"], one["last_snapshot"]) == (2, 2)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["size"], 0), (["check", "--max-wss", "1GiB"], 3), (["convert", "--to", "csv", "-o", "-"], 0),
        (["report", "wss", "--time", "100s-"], 1), (["report", "sites"], 1), (["report", "wss", "--html", "-"], 0),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)  # fmt: skip
def test_others(words: Sequence[str], status: int, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = 2 if words[0] == "report" else 1
    assert main([*words[:at], str(file), *words[at:]]) == status
    assert capsys.readouterr().err.count(WORDS) == 1


def test_where_nothing_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That it has no snapshot is not all that is to be said of it."""
    path = tmp_path / "file"
    recorded(path, [snap(0, [(0, 1 << 20, 1, 0)])])
    damaged(path, [0])
    for words in (["report", "wss"], ["size"], ["report", "heatmap"]):
        assert main([*words, str(path)]) == 1
        first, second = capsys.readouterr().err.splitlines()
        assert WORDS in first
        assert "no snapshot" in second
    for words in (
        ["check", str(path), "--max-wss", "1GiB"],
        ["convert", str(path), "--to", "damo-json", "-o", "-"],
    ):
        main(words)
        assert WORDS in capsys.readouterr().err


def test_files_say_it_themselves(file: Path, tmp_path: Path) -> None:
    """Standard error has gone when somebody looks at them."""
    whole = tmp_path / "whole"
    recorded(whole, [snap(seq, [(0, 1 << 20, 1, 0)]) for seq in range(6)])
    out = tmp_path / "out"
    for words in (
        ["report", "heatmap", str(file), "--svg"], ["report", "wss", str(file), "--html"],
        ["report", "diff", str(file), str(whole), "--html"], ["report", "diff", str(whole), str(file), "--html"],
    ):  # fmt: skip
        assert main([*words, str(out), "--force"]) == 0
        assert WORDS in out.read_text()


def test_a_flame_graph_says_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    recording_of(path, HARMLESS)
    data = path.read_bytes()
    path.write_bytes(
        data[:-8] + b"\0" * 4 + data[-8:]
    )  # before the end mark: nothing is missing, but it is not whole
    assert main(["report", "sites", str(path), "--flame", str(tmp_path / "out")]) == 0
    assert WORDS in (tmp_path / "out").read_text()
