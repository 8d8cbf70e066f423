"""Lines for a reader who is slower than the monitor."""

from __future__ import annotations

import json
import threading

import pytest

from tests.unit.snapshots import snap
from udamon.cli import json_lines
from udamon.cli.json_lines import JsonLines
from udamon.model import Event
from udamon.report.access_lines import AccessDocuments


def test_snapshots_beyond_what_may_wait_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three regions that may wait, while the reader takes one snapshot; what changes mappings is never lost."""
    monkeypatch.setattr(json_lines, "MOST_REGIONS", 3)
    reading, read_on = threading.Event(), threading.Event()
    written: list[bytes] = []

    def write(data: bytes) -> None:
        written.append(data)
        reading.set()
        read_on.wait()

    lines = JsonLines(AccessDocuments({}), write)
    lines.snapshot(snap(0, [(0, 4096, 1, 0)]))
    reading.wait()
    lines.snapshot(snap(1, [(0, 4096, 1, 0), (4096, 8192, 1, 0)]))
    lines.snapshot(snap(2, [(0, 4096, 1, 0), (4096, 8192, 1, 0)]))  # that would be four
    lines.event(Event(0, "mappings", {"target": 0, "add": [[0, 4096, "rw-p", 0, 0, "[heap]"]]}))
    lines.snapshot(snap(3, [(0, 4096, 1, 0)]))
    read_on.set()
    lines.finish(threading.Event())
    documents = [json.loads(line) for line in written]
    assert [document["seq"] for document in documents] == [0, 1, 3]
    assert documents[-1]["regions"][0]["mapping"] == "[heap]"
    assert "too slow: 1." in capsys.readouterr().err


def test_an_error_of_writing_is_raised_where_it_is_asked_for() -> None:
    def write(data: bytes) -> None:
        raise BrokenPipeError

    lines = JsonLines(AccessDocuments({}), write)
    lines.snapshot(snap(0, [(0, 4096, 1, 0)]))
    with pytest.raises(BrokenPipeError):
        lines.finish(threading.Event())


def test_a_reader_who_reads_no_more_is_not_waited_for_after_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LAST_S", 0.05)
    forever, stopped = threading.Event(), threading.Event()
    lines = JsonLines(AccessDocuments({}), lambda data: (forever.wait(), None)[1])
    lines.snapshot(snap(0, [(0, 4096, 1, 0)]))
    stopped.set()
    lines.finish(stopped)
    forever.set()
