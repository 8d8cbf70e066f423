"""The working set against sums and percentiles computed by hand."""

from __future__ import annotations

import re
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.snapshots import recorded
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import wss, wss_text
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

Region = tuple[int, int, int, int, int]
"""start, end, nr_accesses, age, touched."""

START = 1_000_000_000_000


def snap(seq: int, regions: list[Region], target: int = 0) -> Snapshot:
    """Window number `seq` of 100 ms, 20 ticks of 5 ms."""
    columns = [[region[place] for region in regions] for place in range(5)]
    starts, ends, counts, ages, touched = (
        array(code, values) for code, values in zip("QQIIQ", columns, strict=True)
    )
    begin = START + seq * 100_000_000
    return Snapshot(
        target,
        100 + target,
        seq,
        begin,
        begin + 100_000_000,
        5_000_000,
        20,
        starts,
        ends,
        counts,
        ages,
        touched,
    )


def record(
    path: Path, steps: list[Snapshot | Event], *, via: str = "sim", policy: str | None = "damon"
) -> Recording:
    with Writer(path, {"via": via, "policy": policy, "monotonic_ns": START}) as writer:
        for step in steps:
            if isinstance(step, Snapshot):
                writer.snapshot(step)
            else:
                writer.event(step)
    return Recording(path)


def working_set(
    recording: Recording, definition: str = "touched", filters: Filters | None = None
) -> wss.WorkingSet:
    with RecordingSource(recording, filters) as source:
        return wss.measure(source, definition, every=True)


def one(seq: int, touched: int, target: int = 0) -> Snapshot:
    """A snapshot of one region of 1 MiB that was touched for so many bytes."""
    return snap(seq, [(0x100000, 0x200000, 1, 0, touched)], target)


def test_the_curve_ends_where_the_recording_does(tmp_path: Path) -> None:
    """Of 250 windows of 100 ms the last point stands for three of them; the axis ends at 25 s."""
    recording = record(tmp_path / "a", [one(seq, 4096) for seq in range(250)])
    with RecordingSource(recording) as source:
        report = wss.measure(source)
    axis = wss_text.render(report, Catalog(recording), Terminal(80, 0, False)).splitlines()[-1]
    assert axis.split("(")[0].split() == ["100", "ms"]
    assert " 25 s" in axis


def test_percentiles_are_linear_over_all_snapshots(tmp_path: Path) -> None:
    """Of 0 (a snapshot without regions), 100, 200, 300, 1000 the percentiles interpolate."""
    steps: list[Snapshot | Event] = [snap(0, []), one(1, 300), one(2, 100), one(3, 1000), one(4, 200)]
    report = working_set(record(tmp_path / "a", steps))
    expected = {"min": 0, "p25": 100, "p50": 200, "p75": 300, "p90": 720, "max": 1000, "mean": 320}
    assert report.total == wss.Series(None, 5, expected, expected, expected)
    assert report.targets == [wss.Series(0, 5, expected, expected, expected)]
    assert [size for _, size in report.over_time] == [0, 300, 100, 1000, 200]
    assert report.over_time[0][0] == START + 100_000_000


def test_interpolation_between_two(tmp_path: Path) -> None:
    """Of two snapshots of 0 and 1000 bytes, a quarter lies at 250."""
    report = working_set(record(tmp_path / "a", [one(0, 0), one(1, 1000)]))
    assert report.total.bytes == {
        "min": 0, "p25": 250, "p50": 500, "p75": 750, "p90": 900, "max": 1000, "mean": 500
    }  # fmt: skip


def test_definitions(tmp_path: Path) -> None:
    """touched sums touched bytes; damo sums the sizes of regions with any access."""
    shot = snap(0, [(0, 8192, 1, 0, 100), (8192, 12288, 0, 5, 7), (12288, 16384, 20, 2, 4096)])
    recording = record(tmp_path / "a", [shot])
    assert working_set(recording).total.bytes["p50"] == 100 + 7 + 4096
    assert working_set(recording, "damo").total.bytes["p50"] == 8192 + 4096


def test_targets_that_come_and_go(tmp_path: Path) -> None:
    """The total of a moment is over the targets alive then; each target counts its own snapshots."""
    steps: list[Snapshot | Event] = [
        one(0, 100), one(1, 100), one(1, 10, target=1), one(2, 100), one(2, 30, target=1), one(3, 50, target=1)
    ]  # fmt: skip
    report = working_set(record(tmp_path / "a", steps))
    assert [size for _, size in report.over_time] == [100, 110, 130, 50]
    assert report.total.snapshots == 4
    assert report.total.bytes["mean"] == round((100 + 110 + 130 + 50) / 4)
    assert [(series.target, series.snapshots, series.bytes["max"]) for series in report.targets] == [
        (0, 3, 100), (1, 3, 50)
    ]  # fmt: skip


def test_filters_keep_every_snapshot(tmp_path: Path) -> None:
    """A snapshot whose regions are all filtered away counts as 0; time and target leave snapshots out."""
    shots: list[Snapshot | Event] = [
        snap(0, [(0x1000, 0x2000, 20, 10, 4096), (0x2000, 0x10000, 0, 0, 9)]),
        snap(1, [(0x1000, 0x2000, 5, 0, 40)]),
    ]
    recording = record(tmp_path / "a", shots)

    def sizes(**filters: str) -> list[int]:
        return [size for _, size in working_set(recording, filters=Filters.parse(**filters)).over_time]  # type: ignore[arg-type]

    assert sizes() == [4105, 40]
    assert sizes(rate="50%-100%") == [4096, 0]
    assert sizes(rate="-25%") == [9, 40]
    assert sizes(size="8KiB-max") == [9, 0]
    assert sizes(age="1s-") == [4096, 0]
    assert sizes(address="0x1000-0x1800") == [2048, 20]  # half of the region, so half of its bytes
    assert sizes(time="0s-100ms") == [4105]
    assert sizes(time="101ms-max") == [40]
    with pytest.raises(
        RecordingError, match="no snapshot is left by the filters, of 2 in 200 ms; widen them"
    ):
        sizes(time="10s-")


@pytest.mark.parametrize("text", ["5", "9KiB-4KiB", "x-y", "1KiB-2KiB-3KiB"])
def test_bad_spans(text: str) -> None:
    """What is not MIN-MAX is a usage error."""
    with pytest.raises(UsageError):
        Filters.parse(size=text)


def test_no_snapshot(tmp_path: Path) -> None:
    """A recording that has only events has no working set: one sentence."""
    with pytest.raises(
        RecordingError, match=r"no snapshot is in it: it ended too soon; .* shorter windows \(--aggr\)"
    ):
        working_set(record(tmp_path / "a", [Event(1, "note", {"text": "x"})]))


def test_document_and_text(tmp_path: Path) -> None:
    """The document has the promised keys; the text names the sizes and fits 80 columns, signs or not."""
    recording = record(tmp_path / "a", [one(0, 0), one(1, 1 << 20), one(1, 1 << 20, target=1)])
    report = working_set(recording)
    catalog = Catalog(recording)
    found = wss.document(report, catalog, over_time=True)
    assert found["schema"] == 1
    assert found["snapshots"] == 2
    assert found["definition"] == "touched"
    assert found["bytes"]["max"] == 2 << 20
    assert [(target["target"], target["bytes"]["max"]) for target in found["targets"]] == [
        (0, 1 << 20),
        (1, 1 << 20),
    ]
    assert found["over_time"][1] == {"time": 1000.2, "bytes": 2 << 20}
    for blocks in (True, False):
        text = wss_text.render(report, catalog, Terminal(80, 0, blocks))
        assert "2.0 MiB" in text
        assert max(map(len, text.splitlines())) <= 80
        assert blocks or text.isascii()


def test_percentiles_take_twenty_windows(tmp_path: Path) -> None:
    """Of 19 they are null, and it is said why; the least, the most and the mean are facts."""
    for count, told in ((19, False), (20, True)):
        recording = record(tmp_path / str(count), [one(seq, 4096) for seq in range(count)])
        report, catalog = working_set(recording), Catalog(recording)
        found = wss.document(report, catalog)
        assert (
            (found["bytes"]["p50"] is not None) == (found["targets"][0]["bytes"]["p90"] is not None) == told
        )
        assert (found["why"] is None) == told
        assert found["bytes"]["max"] == found["bytes"]["mean"] == 4096
        text = wss_text.render(report, catalog, Terminal(80, 0, False))
        assert ("p50 " in text) == ("19 windows are too few" not in text) == told
        assert report.bounds("p50") == (4096, 4096)


def test_a_rotated_recording_is_reported_as_a_whole(tmp_path: Path) -> None:
    """Snapshots of FILE.1 and FILE: each counts once, whichever part it is in."""
    with Writer(tmp_path / "a", {"via": "sim"}, max_size=1 << 16) as writer:
        for seq in range(40):
            writer.snapshot(
                snap(seq, [(page << 12, page + 1 << 12, 1, seq, seq * 4096 % 4001) for page in range(300)])
            )
            writer.flush()
    whole, part = Recording(tmp_path / "a"), Recording(tmp_path / "a", whole=False)
    snapshots = [shot.seq for shot in whole.snapshots()]
    assert len(snapshots) > len(list(part.snapshots()))
    assert working_set(whole).total.snapshots == len(snapshots)
    assert working_set(whole).over_time[0][0] == START + (snapshots[0] + 1) * 100_000_000


def of_private_memory_and_a_file() -> list[Snapshot | Event]:
    """Twenty windows: ten pages of private memory touched in each, and 30 to 49 of a file."""
    page, shots = 4096, list[Snapshot | Event]()
    for seq in range(20):
        columns = [10 * page, 0], [10 * page, 0], [10 * page, 0], [0, 7], [None, 0], [None, None]
        regions = [(0x100000, 0x200000, 1, 0, 10 * page), (0x200000, 0x300000, 1, 0, (30 + seq) * page)]
        full = array("Q", [0x100000, 0x100000])
        shots.append(replace(snap(seq, regions), resident=full, sharing=Sharing.of(columns)))
    return shots


def test_what_refs_is_not_sure_of_is_told_as_bounds(tmp_path: Path) -> None:
    """Of a mapping of a file all may have been touched by others; of private memory nothing."""
    page, shots = 4096, of_private_memory_and_a_file()
    for via, low in (("refs", 10 * page), ("idle", None)):
        recording = recorded(tmp_path / via, shots, via=via)
        with RecordingSource(recording) as source:
            report = wss.measure(source)
        found = wss.document(report, Catalog(recording))
        text = wss_text.render(report, Catalog(recording), Terminal(80, 0, False))
        assert found["targets"][0]["bounds"] == found["bounds"]
        if low is None:
            assert found["bounds"] is None
            continue
        assert found["bounds"]["high"] == found["bytes"] == report.total.bytes
        assert set(found["bounds"]["low"].values()) == {low}
        assert (found["bytes"]["min"], found["bytes"]["max"]) == (40 * page, 59 * page)
        assert report.bounds("max") == (low, 59 * page)
        assert "  min   between 40.0 KiB and 160.0 KiB  " in re.sub("  +between", "   between", text)
        assert wss_text.BETWEEN in text
        over_time = wss.document(report, Catalog(recording), over_time=True)["over_time"]
        assert {moment["low"] for moment in over_time} == {low}
        assert all(moment["high"] == moment["bytes"] for moment in over_time)
        moments = wss_text.render(replace(report, every=True), Catalog(recording), Terminal(80, 0, False))
        assert re.search(r"0\.10 s.* ≤160\.0 KiB", moments)
