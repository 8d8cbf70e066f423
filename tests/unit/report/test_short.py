"""Short recordings are read once, and reports on them say what they say of long ones, which are streamed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.test_report import run
from tests.unit.report.test_parts import Ask, ask, file
from tests.unit.snapshots import recorded, snap
from udamon.cli.report_kinds import KINDS
from udamon.model import Event, Snapshot
from udamon.record import reader
from udamon.record.messages import Damage
from udamon.record.reader import Place, Recording
from udamon.report import source as source_module
from udamon.report.filters import Filters
from udamon.report.page import document
from udamon.report.source import RecordingSource

__all__ = ["ask", "file"]
MIB = 1 << 20
WITH_MORE = {"diff", "sites"}
"""Kinds that take a second recording, or one with allocations."""


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each message was unpacked, by its offset."""
    found: Counter[int] = Counter()
    decoded = reader._decoded

    def counted(places: Sequence[Place]) -> Iterator[Any]:
        found.update(message.offset for _, message in places)
        return decoded(places)

    monkeypatch.setattr(reader, "_decoded", counted)
    return found


def without_floats(value: Any, found: list[float]) -> Any:
    """The document without its floats, which go to `found`: sums have another order."""
    if isinstance(value, dict):
        return {key: without_floats(one, found) for key, one in value.items()}
    if isinstance(value, list):
        return [without_floats(one, found) for one in value]
    if isinstance(value, float):
        found.append(value)
        return None
    return value


def test_a_page_reads_a_short_recording_once(file: Path, reads: Counter[int]) -> None:
    """The same with parts beside it, which are about the same recording."""
    with RecordingSource(Recording(file)) as source:
        document.measure(source)
        with RecordingSource(source.recording, Filters(targets=(0,)), source) as part:
            assert part.query("SELECT count(DISTINCT target), count(*) FROM regions") == [(1, 24)]
            assert part.query("SELECT count(DISTINCT target), count(*) FROM some_shared") == [(1, 24)]
    assert set(reads.values()) == {1}


@pytest.mark.parametrize("limit", ["SHORT_ROWS", "SHORT_BYTES"])
def test_a_long_recording_is_not_kept(
    file: Path, reads: Counter[int], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, limit, 27)
    with RecordingSource(Recording(file)) as source:
        reads.clear()
        for _ in range(2):
            assert source.query("SELECT count(*) FROM regions") == [(28,)]
    assert set(reads.values()) == {2}


@pytest.mark.parametrize("flags", [(), ("--address", "550000000000-5500000a0000")])
@pytest.mark.parametrize("kind", sorted(KINDS - WITH_MORE))
def test_short_and_long_recordings_have_the_same_reports(
    kind: str, flags: tuple[str, ...], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    floats: tuple[list[float], list[float]] = ([], [])
    short = without_floats(ask(kind, *flags), floats[0])
    monkeypatch.setattr(source_module, "SHORT_ROWS", 0)
    assert without_floats(ask(kind, *flags), floats[1]) == short
    assert all(math.isclose(*pair, rel_tol=1e-12, abs_tol=1e-12) for pair in zip(*floats, strict=True))


@pytest.mark.parametrize("via", ["idle", "refs"])
@pytest.mark.parametrize("kind", sorted(KINDS - {"sites"}))
def test_a_window_of_no_length(
    kind: str, via: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other programs may write one: a report of it is a text and a document, and no traceback."""
    mapped = {"target": 0, "add": [[0, MIB, "rw-p", 0, 0, "[heap]"]], "remove": []}
    steps: list[Snapshot | Event] = [Event(0, "mappings", mapped), snap(0, [(0, MIB, 20, 0)], window=0)]
    path = recorded(tmp_path / "a.udamon", steps, via=via).path
    other = [path] if kind == "diff" else []
    assert run(kind, path, *other) == 0
    assert run(kind, path, *other, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["schema"] == 1


def test_damage_is_told_once_and_the_rest_is_kept(file: Path, reads: Counter[int]) -> None:
    """A flush that is damaged is read no second time either."""
    place = Recording(file).messages()[-1]
    content = bytearray(file.read_bytes())
    content[place[1].end - 9] ^= 0xFF
    file.write_bytes(content)
    recording = Recording(file)
    with RecordingSource(recording) as source:
        rows = source.query("SELECT count(*) FROM regions")
        assert rows == source.query("SELECT count(*) FROM some_regions")
    assert [type(damage) for damage in recording.damaged] == [Damage]
    assert set(reads.values()) == {1}
