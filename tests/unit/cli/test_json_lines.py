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


def test_events_do_not_pile_up_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A heap that is mapped anew 1000 times, and a file that goes: one event waits, and names are those of the end."""
    monkeypatch.setattr(json_lines, "MOST_REGIONS", 3)
    reading, read_on = threading.Event(), threading.Event()
    written: list[bytes] = []
    taken: list[str] = []

    def write(data: bytes) -> None:
        written.append(data)
        reading.set()
        read_on.wait()

    class Documents(AccessDocuments):
        def event(self, event: Event) -> None:
            taken.append(event.name)
            super().event(event)

    def mapped(number: int, *rows: tuple[int, str], remove: tuple[int, ...] = ()) -> Event:
        add = [[start, start + 4096, "rw-p", 0, 0, name] for start, name in rows]
        return Event(number, "mappings", {"target": 0, "add": add, "remove": list(remove)})

    lines = JsonLines(Documents({}), write)
    lines.event(mapped(0, (0, "[heap]"), (4096, "/old")))
    lines.snapshot(snap(0, [(0, 4096, 1, 0)]))
    reading.wait()
    for number in range(1000):
        lines.event(mapped(number, (0, f"/{number}"), remove=(0,)))
        lines.event(Event(number, "cost", {"cpu_ns": number}))
        lines.event(Event(number, "note", {"text": "of no use"}))
    lines.event(mapped(1000, (8192, "/new"), remove=(4096,)))
    lines.event(mapped(1001, remove=(8192,)))
    lines.snapshot(snap(1, [(0, 4096, 1, 0), (4096, 8192, 1, 0), (8192, 12288, 1, 0)]))
    read_on.set()
    lines.finish(threading.Event())
    assert sorted(taken) == ["cost", "mappings", "mappings"]
    assert [region["mapping"] for region in json.loads(written[-1])["regions"]] == ["/999", None, None]


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
