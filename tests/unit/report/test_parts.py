"""Reports divided by process and by mapping: each part is what the filters for it would give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_report import run
from tests.unit.report.test_wss import START, record, snap
from udamon.errors import RecordingError, UsageError
from udamon.model import Event

MIB = 1 << 20
HEAP, LIB, ANON = 0x5500_0000_0000, 0x7E00_0000_0000, 0x7F00_0000_0000

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One process with a hot heap in two neighbouring mappings and a library of which half is used; another one,
    half as long, whose only memory is idle."""
    rows = [
        [HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"], [HEAP + MIB, HEAP + 2 * MIB, "rw-p", 0, 0, "[heap]"],
        [LIB, LIB + 2 * MIB, "r-xp", 0, 9, "/lib/b.so"],
    ]  # fmt: skip
    other = [[ANON, ANON + MIB, "rw-p", 0, 0, ""]]
    steps: list[Any] = [
        Event(START, "target_start", {"target": 0, "pid": 100, "comm": "a"}),
        Event(START, "mappings", {"target": 0, "add": rows, "remove": []}),
        Event(START, "target_start", {"target": 1, "pid": 101, "comm": "b"}),
        Event(START, "mappings", {"target": 1, "add": other, "remove": []}),
    ]
    for seq in range(8):
        heap = (HEAP, HEAP + 2 * MIB, 20, seq, 2 * MIB)
        lib = [(LIB, LIB + MIB, 5, seq, 4096), (LIB + MIB, LIB + 2 * MIB, 0, seq, 0)]
        steps.append(snap(seq, [heap, *lib]))
        if seq < 4:
            steps.append(snap(seq, [(ANON, ANON + MIB, 0, seq, 0)], target=1))
    record(tmp_path / "a.udamon", steps)
    return tmp_path / "a.udamon"


@pytest.fixture
def ask(file: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    def asked(kind: str, *flags: str) -> dict[str, Any]:
        assert run(kind, file, *flags, "--json") == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return asked


def without_why(document: dict[str, Any]) -> dict[str, Any]:
    beside = (
        "sees",
        "coverage",
        "grain",
        "damaged",
        "marked_by_others",
        "taken_by_others",
        "warmup_left_out_seconds",
    )
    return {key: value for key, value in document.items() if key not in beside}


@pytest.mark.parametrize(
    "kind",
    [
        ("heatmap", "--resol", "4x4"), ("times",), ("phases",), ("mappings",), ("holistic",), ("access", "--top", "1"),
        ("access", "--style", "temperature-sz-hist", "--whole"), ("access", "--style", "recency-percentiles"),
        ("access", "--style", "simple-boxes"),
    ],
)  # fmt: skip
def test_by_process_is_as_one_target_after_the_other(ask: Ask, kind: tuple[str, ...]) -> None:
    found = ask(*kind, "--by", "process")
    assert (found["schema"], found["by"], found["sees"]) == (1, "process", None)
    assert [(part["target"], part["pid"], part["label"]) for part in found["parts"]] == [
        (0, 100, "pid 100 a"), (1, 101, "pid 101 b")
    ]  # fmt: skip
    for target, part in enumerate(found["parts"]):
        assert part["report"] == without_why(ask(*kind, "--target", str(target)))


@pytest.mark.parametrize(
    "kind",
    [
        ("heatmap", "--resol", "4x4"), ("nr-regions",), ("phases",), ("access", "--sort", "hot", "--top", "9"),
        ("access", "--style", "temperature-percentiles", "--whole"),
    ],
)  # fmt: skip
def test_by_mapping_is_as_one_mapping_after_the_other(ask: Ask, kind: tuple[str, ...]) -> None:
    """The hottest first; of the heap's two mappings the region that lies in both is one."""
    found = ask(*kind, "--by", "mapping")
    assert [(part["label"], part["mapping"], part["pid"]) for part in found["parts"]] == [
        ("heap", "[heap]", 100), ("b.so", "/lib/b.so", 100), ("anonymous", "[anon]", 101)
    ]  # fmt: skip
    for part in found["parts"]:
        flags = ("--target", str(part["target"]), "--mapping", part["label"])
        assert part["report"] == without_why(ask(*kind, *flags))


def test_the_time_and_the_number_of_mappings(ask: Ask) -> None:
    """Filters hold for all parts, and only the hottest mappings are asked for."""
    found = ask("nr-regions", "--by", "mapping", "--by-top", "2", "--time", "0s-410ms")
    assert [(part["label"], part["report"]["regions"]["max"]) for part in found["parts"]] == [
        ("heap", 1), ("b.so", 2)
    ]  # fmt: skip
    assert {part["report"]["snapshots"] for part in found["parts"]} == {4}
    # of the library's two regions there is one each in the filtered addresses
    only = ask("nr-regions", "--by", "mapping", "--mapping", "b*", "--address", f"{LIB:x}-{LIB + MIB:x}")
    assert [(part["label"], part["report"]["regions"]["max"]) for part in only["parts"]] == [("b.so", 1)]


def test_what_has_nothing_to_tell(ask: Ask, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing of the other process was accessed, so nothing says how much it needs; the first one's answer stays."""
    first, second = ask("right-size", "--by", "process")["parts"]
    assert first["report"]["bytes"] > 0
    assert second["report"] is None
    assert "nothing was accessed in 4 windows" in second["why"]
    assert run("right-size", file, "--by", "process") == 0
    text = capsys.readouterr().out
    assert "== pid 100 a\n\nrecommended limit" in text
    assert "== pid 101 b\n\nnothing to tell: " in text
    with pytest.raises(RecordingError, match="nothing was accessed"):
        run("right-size", file, "--by", "process", "--target", "1")


def test_tables_of_their_own(ask: Ask) -> None:
    assert [group["label"] for group in ask("access", "--by", "mapping", "--at", "350ms")["groups"]] == [
        "heap", "b.so", "anonymous"
    ]  # fmt: skip
    assert [one["label"] for one in ask("wss", "--by", "mapping")["targets"]] == ["heap", "b.so", "anonymous"]
    assert [one["pid"] for one in ask("nr-regions", "--by", "process")["targets"]] == [100, 101]
    assert [one["pid"] for one in ask("footprints", "--by", "process")["targets"]] == [100, 101]


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("info", "--by", "process"), "has a line for each process already"),
        (("info", "--by", "mapping"), "mappings have no part in that"),
        (("times", "--by", "mapping"), "a window is that of a whole process"),
        (("mappings", "--by", "mapping"), "is by mapping already"),
        (("holistic", "--by", "mapping"), "ask for one report"),
        (("diff", "--by", "process"), "no process is in both recordings"),
        (("diff", "--by", "mapping"), "is by mapping already"),
        (("heatmap", "--by-top", "3"), "--by-top goes with"),
        (("heatmap", "--by", "process", "--by-top", "3"), "--by-top goes with"),
        (("access", "--by", "mapping", "--by-top", "3"), "--by-top goes with"),
        (("heatmap", "--by", "mapping", "--by-top", "0"), "shows nothing"),
        (("heatmap", "--by", "process", "--html", "x.html"), "--by is for text"),
    ],
)
def test_what_makes_no_sense(file: Path, argv: tuple[str, ...], why: str) -> None:
    """A sentence says why, before the recording is read."""
    kind, *flags = argv
    with pytest.raises(UsageError, match=why):
        run(kind, file, *([file] if kind == "diff" else []), *flags)


def test_a_recording_that_knows_no_mappings(tmp_path: Path) -> None:
    record(tmp_path / "a", [snap(0, [(0, MIB, 1, 0, 1)])])
    with pytest.raises(RecordingError, match="knows no mappings"):
        run("heatmap", tmp_path / "a", "--by", "mapping")
