"""Sizes worked out by hand: what a census of mappings bounds, ages of pages, groups, and what may be told of time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.unit.snapshots import recorded, snap
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.report import size
from udamon.report.catalog import Catalog
from udamon.report.size import NextStep
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20
S = 1_000_000_000
STEP = NextStep("udamon doctor", "To see what there is")
Window = tuple[int, int, int]
"""start of a mapping, what of it is resident, what was touched: MiB."""


def census(seq: int, mappings: Sequence[Window], *, target: int = 0, private: bool = True) -> Snapshot:
    """A window of 10 s of mappings of 100 MiB; all that was touched was so by the target itself, if it is private."""
    regions = [(start * MIB, (start + 100) * MIB, int(touched > 0), 0) for start, _, touched in mappings]
    there = [resident * MIB for _, resident, _ in mappings]
    used = [touched * MIB for *_, touched in mappings]
    alone = there if private else [0] * len(there)
    sharing = Sharing.of(
        [alone, there, used, [7 + target * private] * len(there), [None] * len(there), [None] * len(there)]
    )
    return replace(
        snap(seq, regions, target=target, window=10 * S, sample=S // 2),
        touched=array("Q", used), resident=array("Q", there), sharing=sharing if mappings else None,
    )  # fmt: skip


def named(target: int, *mappings: tuple[int, str]) -> Event:
    rows = [[start * MIB, (start + 100) * MIB, "rw-p", 0, 0, name] for start, name in mappings]
    return Event(0, "mappings", {"target": target, "add": rows, "remove": []})


def measured(recording: Recording) -> size.Size:
    with RecordingSource(recording) as source:
        return size.measure(source)


def test_bounds_of_a_census(tmp_path: Path) -> None:
    """Two windows of 10 s. The heap has 60 MiB and 20 of them were touched in each: 20 to 40 were used, and 20 to 40
    not. Another mapping of 50 was left alone; a third one came with the second window, and is no colder than that."""
    shots: list[Snapshot | Event] = [
        named(0, (100, "[heap]"), (300, "[anon:idle]"), (500, "[anon:new]")),
        census(0, [(100, 60, 20), (300, 50, 0)]),
        census(1, [(100, 60, 20), (300, 50, 0), (500, 10, 10)]),
    ]
    recording = recorded(tmp_path / "a", shots, via="refs")
    report = measured(recording)
    assert report.needed == (30 * MIB, 50 * MIB)
    assert (report.resident, report.at_end) == (120 * MIB, 120 * MIB)
    assert (report.age_s, report.cold) == (20, (70 * MIB, 90 * MIB))
    assert (report.windows, report.confidence, report.shared) == (2, "low", False)
    lines = {one.owner.name: one for one in report.owners if one.owner is not None}
    assert lines["[heap]"].used == (20 * MIB, 40 * MIB)
    assert lines["[heap]"].cold == (20 * MIB, 40 * MIB)
    assert lines["[anon:idle]"].cold == (50 * MIB, 50 * MIB)
    assert lines["[anon:new]"].cold == (0, 0)
    text = size.render(report, Catalog(recording), Terminal(80, 0, False), STEP)
    assert text.splitlines()[:2] == [
        "needs 30.0 to 50.0 MiB (grain: mapping), resident 120.0 MiB",
        "not touched for at least 20 s: 70.0 to 90.0 MiB",
    ]
    assert "confidence low: 2 windows, which pages" in text
    assert text.endswith("To see what there is:\n  udamon doctor")
    assert max(map(len, text.splitlines())) <= 80


def test_what_was_freed_is_not_cold(tmp_path: Path) -> None:
    """100 MiB were there and untouched, and 90 of them were given back before the second window."""
    shots = [census(0, [(100, 100, 0)]), census(1, [(100, 10, 0)])]
    recording = recorded(tmp_path / "a", shots, via="refs")
    report = measured(recording)
    assert (report.resident, report.at_end, report.cold) == (100 * MIB, 10 * MIB, (10 * MIB, 10 * MIB))
    text = size.render(report, Catalog(recording), Terminal(80, 0, False), STEP)
    assert "not touched for at least 20 s: 10.0 MiB, of 10.0 MiB at the end\n" in text


def test_no_age_longer_than_the_time_watched(tmp_path: Path) -> None:
    """29 s were watched: 20 s can be told, by the last two windows; of less than a second nothing can."""
    shots = [census(0, [(100, 60, 50)]), census(1, [(100, 60, 5)]), census(2, [(100, 60, 5)])]
    shots[0] = replace(shots[0], begin_ns=S)
    report = measured(recorded(tmp_path / "a", shots, via="refs"))
    assert (report.age_s, report.cold) == (20, (50 * MIB, 55 * MIB))
    short = [replace(shots[0], begin_ns=0, end_ns=S - 1)]
    recording = recorded(tmp_path / "b", short, via="refs")
    report = measured(recording)
    assert (report.age_s, report.cold) == (None, None)
    assert "unknown, as only" in size.render(report, Catalog(recording), Terminal(80, 0, False), STEP)
    assert size.document(report, Catalog(recording), STEP)["cold_bytes"] is None


def test_one_window_tells_of_its_own_length(tmp_path: Path) -> None:
    """100 MiB, of which 40 were touched within the only window of 10.002 s: the other 60 were left alone for so long,
    and no round number of seconds is said of which nothing follows."""
    shots = [replace(census(0, [(100, 100, 40)]), begin_ns=0, end_ns=10 * S + 2_000_000)]
    recording = recorded(tmp_path / "a", shots, via="refs")
    report = measured(recording)
    assert (report.age_s, report.cold) == (10.002, (60 * MIB, 60 * MIB))
    text = size.render(report, Catalog(recording), Terminal(80, 0, False), STEP)
    assert "not touched for at least 10 s: 60.0 MiB" in text


def test_a_window_that_began_earlier_bounds_nothing_above(tmp_path: Path) -> None:
    """29 s were watched. The second process has one window of 25 s: of its last 20 s nothing is known but that 30 of
    80 MiB are left. The first one has two windows within them, and left 55 of 60 MiB alone in each."""
    shots = [
        replace(census(0, [(100, 60, 5)], target=0), begin_ns=S),
        *(census(seq, [(100, 60, 5)], target=0) for seq in (1, 2)),
        replace(census(2, [(300, 80, 50)], target=1), begin_ns=5 * S, end_ns=30 * S),
    ]
    report = measured(recorded(tmp_path / "a", shots, via="refs"))
    cold = {one.target: one.cold for one in report.targets}
    assert (report.age_s, cold) == (20, {0: (50 * MIB, 55 * MIB), 1: (30 * MIB, 80 * MIB)})


def test_pages_are_cold_by_their_age(tmp_path: Path) -> None:
    """Windows of 1 s: what is idle for three windows and more is cold for 2 s, of 4 s watched that is all there is."""
    rows = [(0, MIB, 20, 9), (MIB, 3 * MIB, 0, 1), (3 * MIB, 8 * MIB, 0, 0)]
    shots = [snap(seq, rows, window=S, sample=S // 20) for seq in range(4)]
    report = measured(recorded(tmp_path / "a", shots, via="idle"))
    assert (report.grain, report.age_s, report.cold) == ("page", 2, (2 * MIB, 2 * MIB))
    assert report.needed == (MIB, MIB)


def test_the_whole_needs_no_more_than_its_parts(tmp_path: Path) -> None:
    """A page of 1 MiB is touched in each of four windows: four pages at most, in all and of the mapping."""
    heap = Event(0, "mappings", {"target": 0, "add": [[0, MIB, "rw-p", 0, 0, "[heap]"]], "remove": []})
    shots = [
        replace(snap(seq, [(0, MIB, 1, 0)], window=S, sample=S // 20), touched=array("Q", [4096]))
        for seq in range(4)
    ]
    report = measured(recorded(tmp_path / "a", [heap, *shots], via="idle"))
    assert report.needed == (4096, 4 * 4096)
    assert [one.used for one in report.owners] == [(4096, 4 * 4096)]


def test_shared_memory_counts_once(tmp_path: Path) -> None:
    """Two processes have the same 60 MiB; each touched 20 of them in a window. At most 60 are there, and 20 to 60 were
    used; since nobody's memory is its own alone, none of it is cold for sure."""
    shots = [
        census(seq, [(100, 60, 20)], target=target, private=False) for seq in range(2) for target in (0, 1)
    ]
    frames = array("Q", [60 * MIB]), array("Q", [0])
    shots = [
        replace(shot, sharing=replace(shot.sharing, distinct=frames[shot.target]))
        for shot in shots if shot.sharing is not None
    ]  # fmt: skip
    recording = recorded(tmp_path / "a", shots, via="refs")
    report = measured(recording)
    assert report.shared
    assert (report.needed, report.resident) == ((20 * MIB, 60 * MIB), 60 * MIB)
    assert report.cold == (0, 40 * MIB)
    assert [(one.resident, one.needed) for one in report.targets] == [(60 * MIB, (20 * MIB, 40 * MIB))] * 2
    text = size.render(report, Catalog(recording), Terminal(80, 0, False), STEP)
    assert "shared memory counted once" in text
    assert "resident at most 60.0 MiB" in text
    assert "  target 0 no known" in text
    assert max(map(len, text.splitlines())) <= 80


def test_of_a_process_that_ended_nothing_is_left(tmp_path: Path) -> None:
    """The first of two ends after one window of three."""
    shots: list[Snapshot | Event] = [
        census(0, [(100, 60, 0)]), *(census(seq, [(100, 40, 0)], target=1) for seq in range(3)),
        Event(15 * S, "target_end", {"target": 0, "pid": 1, "why": "exited"}),
    ]  # fmt: skip
    report = measured(recorded(tmp_path / "a", shots, via="refs"))
    assert (report.resident, report.at_end, report.cold) == (100 * MIB, 40 * MIB, (40 * MIB, 40 * MIB))


def test_confidence(tmp_path: Path) -> None:
    """Twenty windows of pages that are all known: high. Of a mapping that was touched in part: medium."""
    pages = [snap(seq, [(0, MIB, 20, 0)], window=S, sample=S // 20) for seq in range(20)]
    assert measured(recorded(tmp_path / "a", pages, via="idle")).confidence == "high"
    samples = measured(recorded(tmp_path / "s", pages, via="idle", policy="adaptive"))
    assert (samples.confidence, samples.doubts) == (
        "medium", ["pages were sampled, so that bounds are estimates"],
    )  # fmt: skip
    part = [census(seq, [(100, 60, 20)]) for seq in range(20)]
    assert measured(recorded(tmp_path / "b", part, via="refs")).confidence == "medium"
    missed = Event(
        300 * S, "coverage", {"processes_seen": 1, "processes_missed": 2, "bytes_missed": 5, "exact": True}
    )
    report = measured(recorded(tmp_path / "c", [*pages, missed], via="idle"))
    assert (report.confidence, report.doubts) == ("low", ["2 processes not seen"])


def test_nothing_was_accessed(tmp_path: Path) -> None:
    """Nothing is needed, and that is an answer."""
    report = measured(recorded(tmp_path / "a", [snap(0, [(0, MIB, 0, 0)], window=S)], via="idle"))
    assert report.needed == (0, 0)
