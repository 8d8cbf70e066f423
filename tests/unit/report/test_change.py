"""Phases, right-size and diff: what changed, what is enough, what moved, on patterns that are known."""

from __future__ import annotations

from array import array
from dataclasses import replace
from math import ceil
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_wss import START, Region, record, snap
from tests.unit.snapshots import damo_file, damo_record, damo_region, damo_snapshot, recorded
from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Sharing, Snapshot
from udamon.record.opening import open_recording
from udamon.record.reader import Recording
from udamon.report import diff, phases, right_size
from udamon.report.catalog import Catalog
from udamon.report.filters import Filters
from udamon.report.page import comparison
from udamon.report.phases import spans
from udamon.report.source import RecordingSource
from udamon.report.terminal import Terminal

MIB = 1 << 20


def hot_at(seq: int, hot: int, count: int = 4) -> Snapshot:
    """`count` regions of 1 MiB of which one is hot."""
    return snap(seq, [(n * MIB, (n + 1) * MIB, 20 * (n == hot), 0, MIB * (n == hot)) for n in range(count)])


def moving(path: Path, *lengths: int) -> Recording:
    """The hot MiB moves on after each length, counted in windows."""
    hot = [phase % 4 for phase, length in enumerate(lengths) for _ in range(length)]
    return record(path, [hot_at(seq, place) for seq, place in enumerate(hot)])


def test_nothing_accessed_has_no_right_size(tmp_path: Path) -> None:
    """It is said as it is: there is a snapshot."""
    recording = record(tmp_path / "a", [snap(0, [(0, 4096, 0, 3, 0)])])
    with (
        RecordingSource(recording) as source,
        pytest.raises(RecordingError, match="nothing was accessed in 1 window,"),
    ):
        right_size.measure(source)


def test_phases_begin_where_the_pattern_changes(tmp_path: Path) -> None:
    """Twenty, ten and thirty windows: three phases, their edges to a column, and what moved."""
    with RecordingSource(moving(tmp_path / "a", 20, 10, 30)) as source:
        report = phases.measure(source)
    assert [round((phase.begin_ns - START) / 1e8) for phase in report.phases] == [0, 20, 30]
    assert report.phases[-1].end_ns == START + 6_000_000_000
    moved = [(row.range.start // MIB, before, after) for row, before, after in report.moved(1, 100)]
    assert set(moved) == {(0, 1.0, 0.0), (1, 0.0, 1.0)}
    assert report.hot(2)[0][1] == 1.0
    assert all(2 * MIB <= row.range.start < 3 * MIB for row, _ in report.hot(2))
    text = phases.render(report, Catalog(source.recording), Terminal())
    assert "3 phases" in text
    assert max(map(len, text.splitlines())) <= 80
    found = phases.document(report, Catalog(source.recording))["phases"]
    assert found[1]["begin"] == pytest.approx(2.0)
    assert [phase["hot_bytes"] for phase in found] == [
        pytest.approx(MIB, abs=100)
    ] * 3  # rows are whole bytes
    assert [phase["bounds"] for phase in found] == [None] * 3


def test_phases_of_less_than_a_byte_a_row(tmp_path: Path) -> None:
    """damo's files may have regions of any length."""
    shots = [damo_snapshot(0, 10**8, [damo_region(1, 2, 1)])]
    with RecordingSource(open_recording(damo_file(tmp_path / "a", [damo_record(shots)]))) as source:
        assert len(phases.measure(source).phases) == 1


def test_phases_before_the_time_zero(tmp_path: Path) -> None:
    """The first window of a trace begins as long before its end as the second, which may be before the boot."""
    early = 2 * 10**9
    shots = [hot_at(seq, place) for seq, place in enumerate([0] * 20 + [1] * 20)]
    moved: list[Snapshot | Event] = [
        replace(one, begin_ns=one.begin_ns - START - early, end_ns=one.end_ns - START - early)
        for one in shots
    ]
    with RecordingSource(recorded(tmp_path / "a", moved, via="refs", grain="mapping")) as source:
        report = phases.measure(source)
    assert [round((phase.begin_ns + early) / 1e8) for phase in report.phases] == [0, 20]
    assert report.hot(1)[0][1] == 1.0


def test_phases_of_mappings_have_bounds(tmp_path: Path) -> None:
    """Private memory of which a fifth is touched, then half, and a file that counts whoever reads it: of the heat the
    private part is sure, and touched bytes are not rounded to ticks. Rates of the file are upper bounds."""
    shots: list[Snapshot | Event] = [
        Event(START, "target_start", {"target": 0, "pid": 9, "comm": "x"}),
        Event(START, "mappings", {"target": 0, "remove": [], "add": [
            [0, 4 * MIB, "rw-p", 0, 0, "[heap]"], [8 * MIB, 10 * MIB, "r--p", 0, 5, "/data"],
        ]}),
    ]  # fmt: skip
    columns = [4 * MIB, 0], [4 * MIB, 0], [4 * MIB, 0], [0, 7], [None, 0], [None, None]
    for seq in range(40):
        own, file = (MIB - 4096, 2 * MIB) if seq < 20 else (2 * MIB - 4096, 0)
        regions: list[Region] = [
            (0, 4 * MIB, ceil(20 * own / 4 / MIB), 0, own),
            (8 * MIB, 10 * MIB, 20 * (file > 0), 0, file),
        ]
        sharing = Sharing.of([columns[0], columns[1], [own, 0], *columns[3:]])
        shots.append(replace(snap(seq, regions), resident=array("Q", [4 * MIB, 2 * MIB]), sharing=sharing))
    recording = recorded(tmp_path / "a", shots, via="refs")
    with RecordingSource(recording) as source:
        report = phases.measure(source)
    catalog = Catalog(recording)
    first, second = phases.document(report, catalog)["phases"]
    assert (first["hot_bytes"], first["bounds"]) == (
        3 * MIB - 4096,
        {"low": MIB - 4096, "high": 3 * MIB - 4096},
    )
    assert (second["hot_bytes"], second["bounds"]) == (2 * MIB - 4096, None)
    rows = {row["label"]: row["upper_bound"] for row in (*second["moved"], *second["hot"])}
    assert rows == {"heap": False, "data": True}
    text = phases.render(report, catalog, Terminal(100, 0, False))
    assert "at least  at most" in text.replace("   ", "  ")
    assert "≤100% -> 0%" in text
    assert "bytes touched in a window" in text


@pytest.mark.parametrize("via", ["refs", "idle"])
def test_phases_of_a_group_have_bounds(tmp_path: Path, via: str) -> None:
    """Two targets of which nothing is known to be apart, one with twice as much: together at least what the larger
    one has (nothing is sure by refs), and at most the sum."""
    shots = [
        replace(snap(seq, [(0, size, 20, 0, size)]), target=target)
        for seq in range(20)
        for target, size in ((0, MIB), (1, 2 * MIB))
    ]
    recording = recorded(tmp_path / "a", shots, via=via)
    with RecordingSource(recording) as source:
        report = phases.measure(source)
    (phase,) = phases.document(report, Catalog(recording))["phases"]
    assert phase["bounds"] == {"low": 2 * MIB if via == "idle" else 0, "high": 3 * MIB}
    assert phase["hot_bytes"] == 3 * MIB
    assert "count once" in phases.render(report, Catalog(recording), Terminal())


def test_noise_is_one_phase() -> None:
    """Points around one mean, of one or many dimensions, are not cut; a shift of the mean among them is."""
    for seed in range(20):
        random = Random(seed)
        dimensions = random.choice([1, 8, 40])
        noise = [[random.gauss(0.5, 0.1) for _ in range(dimensions)] for _ in range(120)]
        assert spans(noise) == [(0, 120)]
        shifted = [[value + (0.4 if at >= 70 else 0) for value in point] for at, point in enumerate(noise)]
        assert [begin for begin, _ in spans(shifted)] == [0, pytest.approx(70, abs=1)]


def test_a_window_that_saw_both_is_no_phase() -> None:
    """Two columns half way between two patterns go to their neighbours; a pattern aside stays a phase."""
    assert len(spans([[0.0, 1.0]] * 20 + [[0.5, 0.5]] * 3 + [[1.0, 0.0]] * 20)) == 2
    assert len(spans([[0.0, 1.0]] * 20 + [[0.0, 0.0]] * 3 + [[1.0, 0.0]] * 20)) == 3


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_points_are_one_phase(count: int) -> None:
    assert spans([[0.5]] * count) == [(0, count)]


def test_right_size_of_a_known_pattern(tmp_path: Path) -> None:
    """One MiB has 90 % of all page-intervals, another 10 %: 90 % need the first, 95 % half of the second too."""
    regions: list[Region] = [(0, MIB, 20, 0, 900), (MIB, 2 * MIB, 1, 0, 100), (2 * MIB, 8 * MIB, 0, 9, 0)]
    recording = record(tmp_path / "a", [snap(seq, regions) for seq in range(40)])
    with RecordingSource(recording) as source:
        found = {serve: right_size.measure(source, serve, seed=1) for serve in (0.45, 0.9, 0.95, 1.0)}
    assert {serve: report.need for serve, report in found.items()} == {
        0.45: MIB // 2, 0.9: MIB, 0.95: 1.5 * MIB, 1.0: 2 * MIB
    }  # fmt: skip
    assert found[0.9].resident == 8 * MIB
    assert found[0.9].saved == (7 * MIB, 7 * MIB)
    # Every window is the same, so the interval has no width.
    assert found[0.95].interval == (1.5 * MIB, 1.5 * MIB)
    text = right_size.render(found[0.95], Terminal(80, 0, False))
    assert "1.5 MiB" in text
    assert max(map(len, text.splitlines())) <= 80


def test_right_size_interval_covers(tmp_path: Path) -> None:
    """Which of ten MiB is touched is drawn in every window: the interval is around the answer, and repeatable."""
    random = Random(3)
    shots = [hot_at(seq, min(9, int(random.expovariate(0.5))), 10) for seq in range(200)]
    recording = record(tmp_path / "a", [*shots])
    with RecordingSource(recording) as source:
        report = right_size.measure(source, 0.9, seed=1)
        assert right_size.measure(source, 0.9, seed=1) == report
        assert right_size.measure(source, 0.9) == replace(report, interval=None)
    assert report.interval is not None
    low, high = report.interval
    assert low <= (report.need or 0) <= high
    assert high > low
    # The 90 % of a distribution that halves about every 1.4 MiB lie in its first 4.6 MiB.
    assert low <= 4.6 * MIB <= high
    assert right_size.document(report)["interval"]["confidence"] == 0.95


def test_right_size_bounds_of_a_census(tmp_path: Path) -> None:
    """A tenth of a mapping is touched in every window: if it is always the same, that is enough, else all may be
    needed. Few windows of what is known give no interval, and say why."""
    private = Sharing.of([[10 * MIB], [10 * MIB], [MIB], [0], [None], [None]])
    shots = [
        replace(snap(seq, [(0, 10 * MIB, 2, 0, MIB)]), resident=array("Q", [10 * MIB]), sharing=private)
        for seq in range(40)
    ]
    with RecordingSource(recorded(tmp_path / "a", shots, via="refs")) as source:
        report = right_size.measure(source, 0.9)
    assert (report.low, report.high) == (ceil(0.9 * MIB), 9 * MIB)
    assert (report.need, report.interval) == (None, None)
    document = right_size.document(report)
    assert (document["bytes"], document["interval"], document["saved_bytes"]) == (None, None, None)
    assert "same pages in every window" in document["why"]
    assert "between 921.6 KiB and 9.0 MiB" in right_size.render(report, Terminal(80, 0, False))
    with RecordingSource(
        recorded(tmp_path / "b", [hot_at(seq, 0) for seq in range(19)], via="idle")
    ) as source:
        few = right_size.measure(source, 0.9)
    assert few.need is not None
    assert (few.interval, few.why) == (
        None,
        "19 windows are too few for an interval of confidence, which takes 20",
    )


def test_right_size_of_a_group(tmp_path: Path) -> None:
    """Two targets of which nothing is known to be apart: what one needs, up to what both need."""
    shots = [replace(hot_at(seq, 0), target=target) for seq in range(20) for target in (0, 1)]
    with RecordingSource(recorded(tmp_path / "a", shots, via="idle")) as source:
        report = right_size.measure(source, 1.0)
    assert (report.low, report.high) == (MIB, 2 * MIB)
    assert right_size.document(report)["group"]["high"] == 2 * MIB


def test_right_size_refuses(tmp_path: Path) -> None:
    """No share, and a recording in which nothing was accessed."""
    with RecordingSource(record(tmp_path / "a", [snap(0, [(0, MIB, 0, 0, 0)])])) as source:
        with pytest.raises(UsageError, match="no share of accesses"):
            right_size.measure(source, 0)
        with pytest.raises(RecordingError):
            right_size.measure(source, 0.5)


def named(path: Path, base: int, touched: dict[str, int], extra: int = 0) -> Recording:
    """A run: mappings from `base` on, of 1 MiB each, touched for so many bytes in every window."""
    places = [(name, base + number * 4 * MIB) for number, name in enumerate(touched)]
    add = [[start, start + MIB, "rw-p", 0, 0, name] for name, start in places]
    regions: list[Region] = [(start, start + MIB, 10, 0, touched[name] + extra) for name, start in places]
    event = Event(START, "mappings", {"target": 0, "add": add, "remove": []})
    return record(path, [event, *(snap(seq, regions) for seq in range(3))])


def test_lengths_that_are_compared(tmp_path: Path) -> None:
    """Of more windows than the curve has points, too, the length is that of all: 25 s and 30 s."""
    lengths = {"a": 250, "b": 300}
    before, after = (moving(tmp_path / name, count) for name, count in lengths.items())
    with RecordingSource(before) as one, RecordingSource(after) as other:
        report = diff.measure(one, other)
        sides = comparison.document(report, (one, other))["sides"]
    assert report.seconds_ns == (25_000_000_000, 30_000_000_000)
    assert [side["seconds"] for side in sides] == [25, 30]
    assert diff.render(report, Terminal()).startswith("before: 25 s recorded, after: 30 s")


def test_the_page_names_what_is_compared(tmp_path: Path) -> None:
    """Of two processes the one that is looked at; without a filter how many they are."""
    steps: list[Snapshot | Event] = [
        Event(START, "target_start", {"target": target, "pid": 7 + target, "comm": name})
        for target, name in enumerate(("redis", "nginx"))
    ]
    steps += [replace(hot_at(seq, 0), target=target) for seq in range(2) for target in (0, 1)]
    recording = record(tmp_path / "a", steps)
    for targets, title in (((), "2 targets"), ((1,), "nginx")):
        with RecordingSource(recording, Filters(targets=targets)) as one:
            found = comparison.document(diff.measure(one, one), (one, one))
        assert found["title"] == f"{title} against {title}"


def test_diff(tmp_path: Path) -> None:
    """By name, not by address: what grew, what went and what came, the largest change first."""
    before = named(tmp_path / "a", 1 << 40, {"[heap]": 1000, "/lib/a.so": 500, "/lib/gone.so": 300})
    after = named(tmp_path / "b", 1 << 41, {"/lib/new.so": 100, "[heap]": 5000, "/lib/a.so": 500})
    with RecordingSource(before) as one, RecordingSource(after) as other:
        report = diff.measure(one, other)
    assert [(moved.label, moved.change) for moved in report.moved] == [
        ("heap", 4000), ("gone.so", -300), ("new.so", 100), ("a.so", 0)
    ]  # fmt: skip
    document = diff.document(report)
    assert document["wss"]["change"]["max"] == 5600 - 1800
    assert document["footprint"]["what"] == "monitored"
    assert document["mappings"][1]["after"]["bytes"] == 0
    text = diff.render(report, Terminal(80, 0, False))
    assert "+3.9 KiB" in text
    assert "a.so " not in text.replace("gone.so", "")
    assert max(map(len, text.splitlines())) <= 80
