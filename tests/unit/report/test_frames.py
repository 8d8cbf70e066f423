"""Totals of several processes: in which windows page frames were counted, and sums in which a page counts twice."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_wss import START, snap
from tests.unit.snapshots import recorded
from udamon.model import Event, Sharing, Snapshot
from udamon.report import access, access_groups, diff, wss, wss_text
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20
AS_ROOT = (
    "  Page frames are counted in recordings made as root and reported without filters: then they are closer."
)


def shot(seq: int, target: int, distinct: int | None) -> Snapshot:
    """2 MiB of anonymous memory of which 1 MiB is private to the process."""
    sharing = Sharing.of([[MIB], [2 * MIB], [2 * MIB], [7], [None], [distinct]])
    return replace(
        snap(seq, [(16 * MIB, 18 * MIB, 20, 0, 2 * MIB)], target),
        resident=array("Q", [2 * MIB]),
        sharing=sharing,
    )


@pytest.mark.parametrize(
    ("alone", "filters", "said"),
    [
        (None, Filters(), "  Page frames were counted in 2 of 3 windows: in these they are closer."),
        (2 * MIB, Filters(), "  3.0 MiB were resident at most, counted by page frames."),
        (2 * MIB, Filters(rate=(0.5, None)), AS_ROOT),
        (None, Filters(time=(0, 100_000_000)), None),
    ],
)
def test_where_frames_were_counted(
    tmp_path: Path, alone: int | None, filters: Filters, said: str | None
) -> None:
    """A process that is alone has nobody to share with, and its frames need not be counted."""
    shots = [
        shot(0, 0, alone),
        *(shot(seq, target, (2 - target) * MIB) for seq in (1, 2) for target in (0, 1)),
    ]
    with RecordingSource(recorded(tmp_path / "a", shots, via="refs"), filters) as source:
        text = wss_text.render(
            wss.measure(source), Catalog(source.recording), Terminal(80, 0, False)
        ).splitlines()
    assert [line for line in text if "rames" in line] == ([] if said is None else [said])


def test_sums_over_processes_that_share_memory_are_upper_bounds_in_a_diff(tmp_path: Path) -> None:
    """Two processes with 2 MiB each, of which 1 MiB is the same: 4 MiB at most, where one alone has 2."""
    heap = [[16 * MIB, 18 * MIB, "rw-p", 0, 0, "[heap]"]]
    maps = [Event(START, "mappings", {"target": target, "add": heap, "remove": []}) for target in (0, 1)]
    two: list[Snapshot | Event] = [
        *maps,
        *(shot(seq, target, (2 - target) * MIB) for seq in (0, 1) for target in (0, 1)),
    ]
    one: list[Snapshot | Event] = [maps[0], *(shot(seq, 0, 2 * MIB) for seq in (0, 1))]
    recordings = [recorded(tmp_path / "a", two, via="refs"), recorded(tmp_path / "b", one, via="refs")]
    with RecordingSource(recordings[0]) as before, RecordingSource(recordings[1]) as after:
        report = diff.measure(before, after)
    (line,) = diff.document(report)["mappings"]
    assert (line["before"]["touched_bytes"], line["after"]["touched_bytes"]) == (4 * MIB, 2 * MIB)
    assert [line[side]["shared"] for side in ("before", "after")] == [True, False]
    assert [line[side]["upper_bound"] for side in ("before", "after")] == [False, False]
    text = str(diff.render(report, Terminal(80, 0, False)))
    assert "≤4.0 MiB  2.0 MiB" in text
    assert "a page that several of the processes have may count once for each" in text
    assert "what other processes did" not in text


def test_mappings_of_several_processes_are_told_with_whose_they_are(tmp_path: Path) -> None:
    """What others may have touched of a file is at most so much; a heap is its process's own."""
    add = [[16 * MIB, 18 * MIB, "rw-p", 0, 0, "[heap]"], [32 * MIB, 34 * MIB, "r--p", 0, 0, "/lib/a.so"]]
    steps: list[Snapshot | Event] = []
    for target in (0, 1):
        steps.append(Event(START, "target_start", {"target": target, "pid": 100 + target, "comm": "x"}))
        steps.append(Event(START, "mappings", {"target": target, "add": add, "remove": []}))
    regions = [(16 * MIB, 18 * MIB, 20, 0, 2 * MIB), (32 * MIB, 34 * MIB, 10, 0, MIB)]
    steps += [
        replace(snap(seq, regions, target), resident=array("Q", [2 * MIB, 2 * MIB]))
        for seq in (0, 1)
        for target in (0, 1)
    ]
    recording = recorded(tmp_path / "a", steps, via="refs")
    with RecordingSource(recording) as source:
        working_set = wss_text.render(
            wss.measure(source, by="mapping"), Catalog(recording), Terminal(120, 0, False)
        )
        moment = access.measure(source)
        groups = access_groups.groups(moment, Catalog(recording), "mapping")
        of_moment = access_groups.render(moment, groups, Catalog(recording), Terminal(120, 0, False))
    for text in (str(working_set), str(of_moment)):
        for name, touched in (("heap", "2.0 MiB"), ("a.so", "≤1.0 MiB")):
            lines = [line.split() for line in text.splitlines() if line.startswith(f"  {name} ")]
            assert sorted(line[1:3] for line in lines) == [["pid", "100"], ["pid", "101"]]
            assert all(f"  {touched}" in line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert text.count("≤ at most: what other processes") == 1
