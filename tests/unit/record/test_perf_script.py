"""The text of perf script as a recording, however its lines are mixed, and where it is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.snapshots import damo_file, damo_record, damo_region, damo_snapshot
from udamon.errors import RecordingError
from udamon.model import Snapshot
from udamon.record import script_file
from udamon.record.opening import open_recording
from udamon.record.perf_script import MOST_TARGETS

S = 1_000_000_000


def line(
    time: str, regions: int, start: int, end: int, nr: int = 0, age: int | None = 0, *, target: int = 0,
    kdamond: int = 0,
) -> str:  # fmt: skip
    """One region, as perf prints it."""
    tail = "" if age is None else f" {age}"
    return (
        f"kdamond.{kdamond}  {4452 + kdamond} [00{kdamond}] {time}: damon:damon_aggregated: target_id={target} "
        f"nr_regions={regions} {start}-{end}: {nr}{tail}"
    )


def read(tmp_path: Path, *lines: str) -> list[Snapshot]:
    path = tmp_path / "perf.txt"
    path.write_text("\n".join(lines) + "\n")
    return list(open_recording(path).snapshots())


def notes(tmp_path: Path) -> list[str]:
    events = open_recording(tmp_path / "perf.txt").events()
    return [str(event.data["text"]) for event in events if event.name == "note"]


def test_two_snapshots(tmp_path: Path) -> None:
    """Ends are those of the first line; a begin is the end before, and the first is as long as the second."""
    found = read(
        tmp_path,
        line("82877.315633", 2, 4096, 8192, 0, 864),
        line("82877.315634", 2, 8192, 16384, 3, 7),
        line("82877.415633", 2, 4096, 12288, 20, 0),
        line("82877.415634", 2, 12288, 16384, 0, 1),
    )
    assert [(s.begin_ns, s.end_ns) for s in found] == [
        (82877_215_633_000, 82877_315_633_000), (82877_315_633_000, 82877_415_633_000),
    ]  # fmt: skip
    assert [(list(s.starts), list(s.ends), list(s.nr_accesses), list(s.ages)) for s in found] == [
        ([4096, 8192], [8192, 16384], [0, 3], [864, 7]), ([4096, 12288], [12288, 16384], [20, 0], [0, 1]),
    ]  # fmt: skip
    assert [list(s.touched) for s in found] == [[0, 8192], [8192, 0]]
    assert [(s.ticks, s.sample_ns, s.seq, s.target) for s in found] == [
        (20, 5_000_000, 0, 0),
        (20, 5_000_000, 1, 0),
    ]


@pytest.mark.parametrize("unnamed", [(0,), (1, 4), (2, 3, 5), tuple(range(6))])
@pytest.mark.parametrize("form", ["perf", "trace"])
def test_lines_without_a_name_are_of_the_thread_that_others_name(
    tmp_path: Path, unnamed: tuple[int, ...], form: str
) -> None:
    """Two kdamonds by turns, some lines of which the kernel wrote with <...>; the pid tells whose they are."""
    lines = []
    for at in range(6):
        text = line(f"{at + 1}.000000", 1, 4096, 8192, at, kdamond=at % 2)
        text = text.replace(f"kdamond.{at % 2}", "<...>", 1) if at in unnamed else text
        lines.append("  " + (text.replace("  445", "-445", 1) if form == "trace" else text))
    found = read(tmp_path, *lines)
    assert sorted((s.target, s.end_ns // S, s.nr_accesses[0]) for s in found) == sorted(
        (at % 2, at + 1, at) for at in range(6)
    )
    records = [e.data for e in open_recording(tmp_path / "perf.txt").events() if e.name == "damo_record"]
    assert [about["kdamond_idx"] for about in records] == [0, 1]


def test_what_is_derived_is_said(tmp_path: Path) -> None:
    read(tmp_path, line("1.000000", 1, 0, 4096))
    metadata = open_recording(tmp_path / "perf.txt").metadata
    assert {"begin", "ticks", "touched"} <= set(metadata["derived"])


def test_targets_and_kdamonds_line_by_line(tmp_path: Path) -> None:
    """Two targets of one kdamond and one of another, every line of another one than the line before."""
    lines = []
    for second in (1, 2, 3):
        for row in range(2):
            for kdamond, target in ((0, 0), (0, 1), (1, 0)):
                time = f"{second}.{row}{kdamond}{target}000"
                lines.append(
                    line(time, 2, row * 4096, row * 4096 + 4096, second, row, target=target, kdamond=kdamond)
                )
    found = read(tmp_path, *lines)
    assert len(found) == 9
    assert all(list(s.starts) == [0, 4096] and list(s.ages) == [0, 1] for s in found)
    for target in range(3):
        mine = [s for s in found if s.target == target]
        assert [list(s.nr_accesses) for s in mine] == [[1, 1], [2, 2], [3, 3]]
        assert [s.seq for s in mine] == [0, 1, 2]
    about = [e.data for e in open_recording(tmp_path / "perf.txt").events() if e.name == "damo_record"]
    assert [(a["target"], a["kdamond_idx"], a["target_id"]) for a in about] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
    ]
    assert notes(tmp_path) == []


def test_a_tuned_interval(tmp_path: Path) -> None:
    """Counts are of ticks of 5 ms before, of 10 ms after; the ratio is what the snapshot's length says."""
    tuned = "kdamond.0  4452 [000] 1.100100: damon:damon_monitor_intervals_tune: sample_us=10000"
    found = read(
        tmp_path,
        *(line(time, 1, 0, 4096) for time in ("1.000000", "1.100000")),
        tuned,
        *(line(time, 1, 0, 4096) for time in ("1.300000", "1.500003")),
    )
    assert [(s.ticks, s.sample_ns) for s in found] == [
        (20, 5_000_000), (20, 5_000_000), (20, 10_000_000), (20, 10_000_000),
    ]  # fmt: skip


def test_lost_lines(tmp_path: Path) -> None:
    """A snapshot that lacks lines is kept as far as it came, and told; the next one is whole."""
    found = read(
        tmp_path,
        line("1.000000", 2, 0, 4096), line("1.000001", 2, 4096, 8192),
        line("1.100000", 2, 0, 4096),
        line("1.200000", 2, 0, 4096), line("1.200001", 2, 4096, 8192),
        line("1.300000", 3, 0, 4096),
    )  # fmt: skip
    assert [len(s) for s in found] == [2, 1, 2, 1]
    assert [s.end_ns for s in found] == [S, 1_100_000_000, 1_200_000_000, 1_300_000_000]
    (note,) = notes(tmp_path)
    assert "2 snapshots lack regions" in note


def test_one_snapshot(tmp_path: Path) -> None:
    """Nothing says how long it was: DAMON's default aggregation."""
    (found,) = read(tmp_path, line("1.000000", 1, 0, 4096))
    assert (found.begin_ns, found.end_ns) == (900_000_000, S)


@pytest.mark.parametrize(
    "text",
    [
        "kdamond.0  4452 [000] 7.000001: damon:damon_aggregated: target_id=3 nr_regions=1 4096-8192: 5 9",
        "  kdamond.0  4452 [000]     7.000001000:    damon:damon_aggregated: target_id=3 nr_regions=1 4096-8192: 5 9  ",
        "kdamond.0-4452    [001] ..... 7.000001: damon_aggregated: target_id=3 nr_regions=1 4096-8192: 5 9",
        "kdamond.x xxxx xxxx 7.000001: damon:damon_aggregated: target_id=3 nr_regions=1 4096-8192: 5 9\r",
    ],
    ids=["perf", "perf --ns", "ftrace", "damo"],
)
def test_heads_of_lines(tmp_path: Path, text: str) -> None:
    """perf with either resolution, the trace file of the kernel, and damo's own."""
    (found,) = read(tmp_path, "# a comment", "swapper 0 [000] 6.0: sched:sched_switch: x", text)
    assert (found.target, found.end_ns, list(found.starts), list(found.nr_accesses), list(found.ages)) == (
        3, 7_000_001_000, [4096], [5], [9],
    )  # fmt: skip


def test_without_an_age(tmp_path: Path) -> None:
    """Kernels before 5.16 do not print it."""
    (found,) = read(tmp_path, line("1.000000", 1, 0, 4096, 5, None))
    assert list(found.ages) == [0]


def test_tried_regions_are_read_only_when_alone(tmp_path: Path) -> None:
    """damos_before_apply tells what damon_aggregated tells, again; damo takes both for snapshots."""
    tried = [f"kdamond.0  4452 [000] {second}.000000: damon:damos_before_apply: ctx_idx=0 scheme_idx=1 target_idx=0 "
             "nr_regions=1 4096-8192: 5 9" for second in (1, 2)]  # fmt: skip
    found = read(tmp_path, *tried)
    assert [list(s.starts) for s in found] == [[4096], [4096]]
    (about,) = [e.data for e in open_recording(tmp_path / "perf.txt").events() if e.name == "damo_record"]
    assert (about["scheme_idx"], about["context_idx"]) == (1, 0)
    found = read(tmp_path, tried[0], line("1.000010", 1, 0, 4096), tried[1], line("2.000010", 1, 0, 4096))
    assert [list(s.starts) for s in found] == [[0], [0]]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("kdamond.0 1 [000] 1.5: damon:damon_aggregated: target_id=0", "form"),
        (line("2.000000", 1, 8192, 4096), "not possible"),
        (line("2.000000", 1, 0, 1 << 64), "not possible"),
        (line("2.000000", 1, 0, 4096, 1 << 32), "not possible"),
        ("k 1 [0] 1.000000: damon:damon_monitor_intervals_tune: sample_us=soon", "form"),
    ],
)
def test_wrong_lines(tmp_path: Path, bad: str, what: str) -> None:
    """The sentence has the number of the line."""
    with pytest.raises(RecordingError, match=rf"perf.txt:3: .*{what}"):
        read(tmp_path, "# head", line("1.000000", 1, 0, 4096), bad)


@pytest.mark.parametrize("target_id", [None, 7])
def test_what_is_written_of_damos_json_is_read_again(tmp_path: Path, target_id: int | None) -> None:
    """Also where damo tells no number of the target, and where a window began before the clock."""
    record = damo_record(
        [damo_snapshot("-100000000", "50000000", [damo_region("4096", "8192", 7, "3")])], target_id=target_id
    )
    output = io.BytesIO()
    script_file.write(open_recording(damo_file(tmp_path / "damo", [record])), output)
    (tmp_path / "perf.txt").write_bytes(output.getvalue())
    (found,) = open_recording(tmp_path / "perf.txt").snapshots()
    assert (found.end_ns, found.target, list(found.nr_accesses)) == (50_000_000, target_id or 0, [7])


def test_more_threads_than_a_machine_has_kdamonds(tmp_path: Path) -> None:
    """Each is kept in mind to the end, and takes ten times as much memory as its line."""
    lines = [
        f"kdamond.{number}  {number + 1} [000] 1.000000: damon:damon_monitor_intervals_tune: sample_us=5000"
        for number in range(MOST_TARGETS + 1)
    ]
    with pytest.raises(RecordingError, match="more than 20,000 threads with tuned intervals"):
        read(tmp_path, line("1.000000", 1, 4096, 8192), *lines)
