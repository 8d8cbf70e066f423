"""Tracepoints as lines: what is printed, to whom, and that nothing is put together when nobody listens
(docs/damon.md#tracepoints)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.control.test_kdamonds import CONFIG, set_up
from tests.waiting import until
from udamon.control import perf
from udamon.control.assembly import Assembly
from udamon.control.event_stream import EventStream, line_head
from udamon.control.kdamonds import Kdamonds
from udamon.control.tracepoints import (
    AGGREGATED,
    BEFORE_APPLY,
    ESZ,
    EVENTS,
    STAT,
    TUNE,
    Listeners,
    Tracepoints,
    text_of,
)
from udamon.control.tree import Tree
from udamon.core.regions import Region
from udamon.core.scheme import SchemeStats
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.model import Event, Snapshot
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth

STATS_LINE = (
    "ctx_idx=0 scheme_idx=0 nr_tried=1 sz_tried=2 nr_applied=3 sz_applied=4 sz_ops_filter_passed=5 "
    "qt_exceeds=6 nr_snapshots=7"
)


class Ear:
    """Hears some events."""

    def __init__(self, *wanted: str) -> None:
        self.wanted = wanted
        self.heard: list[tuple[str, tuple[int, ...]]] = []

    def listens(self, event: str) -> bool:
        return event in self.wanted

    def emit(self, event: str, time_ns: int, pid: int, comm: str, rows: Sequence[tuple[int, ...]]) -> None:
        assert (time_ns, pid, comm) == (7, 42, "kdamond.0")
        self.heard += [(event, row) for row in rows]


def heard_by(ear: Ear) -> Tracepoints:
    """Target 5 stands at place 1; target 6 is not in the list any more."""
    return Tracepoints(ear, "kdamond.0", lambda: 42, lambda: 7, {5: 1}.get)


def a_snapshot(target: int = 5) -> Snapshot:
    starts, ends = array("Q", [4096, 8192]), array("Q", [8192, 16384])
    return Snapshot(
        target, 1, 0, 0, 1, 1, 20, starts, ends, array("I", [0, 3]), array("I", [864, 2]), array("Q", [0, 0])
    )


@pytest.mark.parametrize(
    ("event", "row", "text"),
    [
        (AGGREGATED, (0, 11, 4096, 8192, 0, 864), "target_id=0 nr_regions=11 4096-8192: 0 864"),
        (
            BEFORE_APPLY,
            (0, 1, 2, 11, 4096, 8192, 3, 9),
            "ctx_idx=0 scheme_idx=1 target_idx=2 nr_regions=11 4096-8192: 3 9",
        ),
        (ESZ, (0, 1, 4096), "ctx_idx=0 scheme_idx=1 esz=4096"),
        (
            STAT,
            (0, 0, 1, 2, 3, 4, 5, 6, 7),
            STATS_LINE,
        ),
        (TUNE, (5000,), "sample_us=5000"),
    ],
)
def test_fields_as_the_kernel_prints_them(event: str, row: tuple[int, ...], text: str) -> None:
    assert text_of(event, row) == text


def test_the_head_of_a_line() -> None:
    head = line_head(AGGREGATED, 82877_315633_123, 4452, "kdamond.0")
    assert re.fullmatch(r" +kdamond\.0 +4452 \[\d{3}\] +82877\.315633: damon:damon_aggregated: ", head)


def test_a_snapshot_is_one_event_a_region() -> None:
    ear = Ear(AGGREGATED)
    heard_by(ear).snapshot(a_snapshot())
    assert ear.heard == [(AGGREGATED, (1, 2, 4096, 8192, 0, 864)), (AGGREGATED, (1, 2, 8192, 16384, 3, 2))]


def test_schemes_and_tuning() -> None:
    ear = Ear(*EVENTS)
    points = heard_by(ear)
    region = Region(4096, 8192)
    region.nr_accesses_bp, region.age = 39_999, 4
    points.before_apply(2, Target(5, regions=[region]), region)
    points.effective_size(2, 99)
    points.after_apply_interval(2, SchemeStats(1, 2, 3, 4, 5, 6, 7))
    points.event(Event(0, "attrs", {"sample_us": 10_000, "why": "intervals goal"}))
    points.event(Event(0, "attrs", {"sample_us": 20_000, "why": "commit"}))
    assert ear.heard == [
        (BEFORE_APPLY, (0, 2, 1, 1, 4096, 8192, 3, 4)),
        (ESZ, (0, 2, 99)),
        (STAT, (0, 2, 1, 2, 3, 4, 5, 6, 7)),
        (TUNE, (10_000,)),
    ]


def test_targets_that_left_the_list_are_not_told() -> None:
    ear = Ear(*EVENTS)
    heard_by(ear).snapshot(a_snapshot(6))
    heard_by(ear).before_apply(0, Target(6), Region(0, 1))
    assert ear.heard == []


def test_nothing_is_put_together_for_nobody() -> None:
    """The snapshot's columns are never touched: they are not even there."""
    snapshot = object.__new__(Snapshot)
    heard_by(Ear()).snapshot(snapshot)
    with pytest.raises(AttributeError):
        heard_by(Ear(AGGREGATED)).snapshot(snapshot)


def test_each_listener_gets_what_it_wants() -> None:
    one, other = Ear(ESZ), Ear(ESZ, TUNE)
    both = Listeners([one, other])
    assert [both.listens(event) for event in (ESZ, TUNE, STAT)] == [True, True, False]
    both.emit(TUNE, 7, 42, "kdamond.0", [(1,)])
    assert (one.heard, other.heard) == ([], [(TUNE, (1,))])


def test_a_fifo_without_a_reader_wants_nothing(tmp_path: Path) -> None:
    now = [0]
    stream = EventStream(tmp_path / "events", lambda: now[0])
    now[0] += 10**9
    assert not stream.listens(AGGREGATED)
    reader = os.open(tmp_path / "events", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert not stream.listens(AGGREGATED)  # it is not looked again so soon
        now[0] += 10**9
        assert stream.listens(AGGREGATED)
        stream.emit(TUNE, 1_000_000_000, 42, "kdamond.0", [(5,), (6,)])
        lines = os.read(reader, 10_000).decode().splitlines()
        assert [line.split(": ")[-1] for line in lines] == ["sample_us=5", "sample_us=6"]
    finally:
        os.close(reader)
    stream.emit(TUNE, 0, 42, "kdamond.0", [(7,)])
    now[0] += 10**9
    assert not stream.listens(TUNE)


def test_a_reader_too_slow_loses_whole_lines_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("udamon.control.event_stream.WAIT_LIMIT_S", 0.01)
    stream = EventStream(tmp_path / "events")
    reader = os.open(tmp_path / "events", os.O_RDONLY | os.O_NONBLOCK)
    try:
        until(lambda: stream.listens(TUNE))
        rows = [(number,) for number in range(40_000)]
        stream.emit(TUNE, 0, 42, "kdamond.0", rows)
        text = os.read(reader, 1 << 20)
        stream.emit(TUNE, 0, 42, "kdamond.0", [(77,)])
        text += os.read(reader, 1 << 20)
        lines = text.decode().splitlines()
        numbers = [int(line.rpartition("=")[2]) for line in lines if "sample_us=" in line]
        lost = [int(line.split()[1]) for line in lines if line.startswith("#")]
        assert numbers == [*range(len(numbers) - 1), 77]
        assert lost == [40_000 - (len(numbers) - 1)]
    finally:
        os.close(reader)


def test_a_file_takes_everything(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("kept\n")
    stream = EventStream(tmp_path / "log")
    assert stream.listens(ESZ)
    stream.emit(ESZ, 0, 42, "kdamond.0", [(0, 1, 2)])
    kept, line = (tmp_path / "log").read_text().splitlines()
    assert kept == "kept"
    assert line.endswith("damon:damos_esz: ctx_idx=0 scheme_idx=1 esz=2")


def test_a_path_that_is_no_place_for_events(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="nowhere"):
        EventStream(tmp_path / "nowhere" / "events")


def test_nothing_is_appended_to_what_may_be_somebody_elses(tmp_path: Path) -> None:
    """Neither through a symbolic link, which is not followed, nor to a file with a second name."""
    victim, path = tmp_path / "victim", tmp_path / "events"
    victim.write_text("precious")
    path.symlink_to(victim)
    with pytest.raises(CannotError, match=f"is a symbolic link.*give {victim}, where"):
        EventStream(path)
    path.unlink()
    path.hardlink_to(victim)
    with pytest.raises(CannotError, match="has a second name"):
        EventStream(path)
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotError, match="is a symbolic link"):
        EventStream(path)
    assert victim.read_text() == "precious"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["events", "victim"]


@pytest.mark.slow
def test_the_stand_in_for_perf_records_and_prints(tmp_path: Path) -> None:
    """A kdamond on simulated memory, `perf record` of two of its events until SIGINT, `perf script`."""
    workload = parse(CONFIG, "test")
    stream = EventStream(tmp_path / "events")
    assembly = Assembly("sim", truth=Truth(workload, place(workload)), listener=stream)
    kdamonds = Kdamonds(assembly, lambda path: False, time.monotonic_ns)
    tree = Tree(kdamonds)
    tree.write("kdamonds/nr_kdamonds", "1")
    set_up(tree, 0)
    output = tmp_path / "perf.data"
    env = {**os.environ, perf.STREAM: str(tmp_path / "events")}
    command = [sys.executable, "-m", "udamon.control.perf"]
    events = ["-e", "damon:damon_aggregated,damon:damos_before_apply"]
    record = subprocess.Popen([*command, "record", "-a", "-o", str(output), *events], env=env)
    try:
        tree.write("kdamonds/0/state", "on")
        until(lambda: output.exists() and output.stat().st_size > 100_000)
        record.send_signal(signal.SIGINT)
        assert record.wait(60) == 0
    finally:
        record.kill()
        record.wait()
        kdamonds.close()
    assert output.stat().st_mode & 0o777 == 0o600
    done = subprocess.run(
        [*command, "script", "--force", "-i", str(output)], env=env, capture_output=True, text=True
    )
    kinds = {line.split()[4] for line in done.stdout.splitlines()}
    assert kinds == {"damon:damon_aggregated:", "damon:damos_before_apply:"}
    line = re.compile(r" *kdamond\.0 +\d+ \[\d+\] +\d+\.\d{6}: damon:\w+: .*\d+-\d+: \d+ \d+")
    assert all(line.fullmatch(each) for each in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["record", "-e", "damon:damon_aggregated"], 1, "udamon control exec"),
        (["stat", "true"], 1, "no real perf"),
        (["script", "-i", "/nowhere"], 1, "No such file"),
    ],
)
def test_what_the_stand_in_cannot(
    words: list[str],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(perf.STREAM, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert perf.main(words) == status
    assert says in capsys.readouterr().err
