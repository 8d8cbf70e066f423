"""Documents of snapshots while they come."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.snapshots import snap
from udamon.model import Event
from udamon.report.access_lines import AccessDocuments

REGION = (0, 4096, 1, 0)


def test_coverage_is_known_before_the_first_event_of_it() -> None:
    """Events come with updates, and the first ones tell of no windows yet."""
    documents = AccessDocuments({})
    windows = [
        replace(snap(seq, [REGION], target=target), pid=1000 + target)
        for seq, target in enumerate([0, 1, 0, 2])
    ]
    found = [documents.document(window)["coverage"] for window in windows[:3]]
    told = {
        "processes_seen": 0,
        "processes_missed": 3,
        "bytes_missed": 8192,
        "exact": False,
        "why": "two ended",
    }
    documents.event(Event(0, "coverage", told))
    found.append(documents.document(windows[3])["coverage"])
    assert [one["processes_seen"] for one in found] == [1, 2, 2, 3]
    assert [one["processes_missed"] for one in found] == [0, 0, 0, 3]
    assert [one["bytes_missed"] for one in found] == [0, 0, 0, 8192]
    assert [(one["exact"], one["why"]) for one in found] == [(True, None)] * 3 + [(False, "two ended")]


def test_memory_without_processes_is_covered() -> None:
    found = AccessDocuments({}).document(snap(0, [REGION]))["coverage"]
    assert (found["processes_seen"], found["processes_missed"], found["exact"]) == (0, 0, True)
