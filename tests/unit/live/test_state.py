"""The live view's state, cells and session: posted snapshots in, bounded structures out. No process, no Textual."""

from __future__ import annotations

import os
import tracemalloc
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.unit.report.test_wss import START, snap
from udamon.availability.others import NOBODY, OtherMonitors
from udamon.availability.tlb import Tlb
from udamon.core.ages import sentence
from udamon.core.attrs import Attrs
from udamon.core.group_total import GroupTotal
from udamon.engine.bus import Bus
from udamon.errors import CannotError, OutputError, RecordingError, TargetGone
from udamon.files.place import without_force
from udamon.linux.procfs import ProcessId
from udamon.live.grid import Grid, hottest
from udamon.live.largest import WatchableProcess, largest
from udamon.live.session import Session, WatchRequest
from udamon.live.state import HISTORY, LiveState
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer

MIB = 1 << 20
T = TypeVar("T")
HEAP, ANON = 0x5500_0000_0000, 0x7F00_0000_0000
ROWS: list[list[Any]] = [[HEAP, HEAP + MIB, "rw-p", 0, 0, "[heap]"], [ANON, ANON + 3 * MIB, "rw-p", 0, 0, ""]]


def started(target: int = 0, comm: str = "redis") -> list[Event]:
    who = {"comm": comm, "cmdline": [comm, "-x"], "user": "me"}
    about = {"target": target, "pid": 100 + target, "start_time": 77, **who}
    return [
        Event(START, "target_start", about),
        Event(START, "mappings", {"target": target, "add": ROWS, "remove": []}),
    ]


def posted(state: LiveState, *steps: Snapshot | Event) -> LiveState:
    for step in steps:
        state.snapshot(step) if isinstance(step, Snapshot) else state.event(step)
    return state


def window(seq: int, heap: int, anon: int, target: int = 0) -> Snapshot:
    """Heap and anonymous memory accessed in so many of 20 ticks; touched in proportion."""
    return snap(
        seq,
        [
            (HEAP, HEAP + MIB, heap, 0, MIB * heap // 20),
            (ANON, ANON + 3 * MIB, anon, 0, 3 * MIB * anon // 20),
        ],
        target,
    )


def test_list_of_targets() -> None:
    """By touched bytes of the last window; hot are those of regions accessed in half of the ticks or more."""
    state = posted(
        LiveState(), *started(0, "a"), *started(1, "b"),
        window(0, 20, 20), window(1, 20, 0), window(0, 0, 20, 1), window(1, 9, 10, 1),
    )  # fmt: skip
    lines = state.lines()
    assert [(line.comm, line.pid, line.touched, line.hot) for line in lines] == [
        ("b", 101, MIB * 9 // 20 + 3 * MIB // 2, 3 * MIB // 2), ("a", 100, MIB, MIB),
    ]  # fmt: skip
    assert lines[0].command == "b -x"
    assert lines[0].size == 4 * MIB


def test_the_total_counts_a_page_once() -> None:
    """Two that map 4 MiB of one file: each has accessed 1 MiB of it for sure, and 3 MiB may have been marked by the
    other; each has 1 MiB of its own, all of it accessed."""

    def mapped(seq: int, target: int) -> Snapshot:
        one = snap(seq, [(HEAP, HEAP + MIB, 20, 0, MIB), (ANON, ANON + 4 * MIB, 20, 0, 3 * MIB)], target)
        columns = [MIB, 0], [MIB, 0], [MIB, MIB], [100 + target, 7], [None, 0], [None, None]
        return replace(one, resident=array("Q", [MIB, 4 * MIB]), sharing=Sharing.of(columns))

    state = LiveState()
    state.begin(None, ("refs", "none"))
    posted(state, *started(0), *started(1), mapped(0, 0))
    assert state.total() is None, "of the other one nothing is known yet"
    posted(state, mapped(0, 1))
    assert state.total() == GroupTotal(3 * MIB, 6 * MIB, 6 * MIB, 6 * MIB)
    posted(state, replace(mapped(1, 0), touched=array("Q", [0, 0])))
    assert state.total() == GroupTotal(3 * MIB, 6 * MIB, 6 * MIB, 6 * MIB), "the moment is not whole"
    posted(state, replace(mapped(1, 1), touched=array("Q", [0, 0])))
    assert state.total() == GroupTotal(0, 0, 6 * MIB, 6 * MIB)
    thread = mapped(2, 2)
    assert thread.sharing is not None
    thread = replace(thread, sharing=replace(thread.sharing, same_as=0))
    posted(state, *started(2), mapped(2, 0), mapped(2, 1), thread)
    assert state.total() == GroupTotal(3 * MIB, 6 * MIB, 6 * MIB, 6 * MIB), (
        "that address space is there already"
    )
    for way in (None, ("sim", None)):
        state.begin(None, way)
        posted(state, mapped(0, 0), mapped(0, 1))
        assert state.total() is None


def test_a_total_that_would_take_long_is_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udamon.live.state.MOST_REGIONS", 3)
    state = LiveState()
    state.begin(None, ("refs", "none"))
    posted(state, window(0, 1, 1), window(0, 1, 1, 1))
    assert state.total() is None


def test_what_ended_is_forgotten() -> None:
    """But not while it is looked at."""
    state = posted(LiveState(), *started(0), *started(1), window(0, 1, 1), window(0, 1, 1, 1))
    state.choose(0)
    for target in (0, 1):
        state.event(Event(START, "target_end", {"target": target, "pid": 1, "why": "exited"}))
    assert state.lines() == []
    detail = state.detail()
    assert detail is not None
    assert (detail.ended, len(detail.snapshots)) == ("exited", 1)
    state.choose(None)
    assert state.detail() is None


def test_the_past_is_that_of_who_is_looked_at() -> None:
    state = posted(LiveState(), *started(0), window(0, 1, 1), window(1, 2, 2))
    state.choose(0)  # from now on; the last window is known
    posted(state, window(2, 3, 3), window(3, 4, 4, 1))
    detail = state.detail()
    assert detail is not None
    assert [one.seq for one in detail.snapshots] == [1, 2]


def test_the_past_stays_when_the_way_of_looking_changes() -> None:
    state = posted(LiveState(), *started(0))
    state.choose(0)
    posted(state, window(0, 1, 1))
    state.begin(0)
    posted(state, *started(0), window(1, 1, 1))
    detail = state.detail()
    assert detail is not None
    assert [one.seq for one in detail.snapshots] == [0, 1]
    state.begin(None)
    assert state.detail() is None


def test_the_past_of_another_process_does_not_stay() -> None:
    """Of several targets the new monitor may give the number to another process, as when the first has ended."""
    state = posted(LiveState(), *started(0))
    state.choose(0)
    posted(state, window(0, 1, 1))
    state.begin(0)
    posted(state, replace(window(1, 1, 1), pid=2), replace(window(2, 1, 1), pid=2))
    detail = state.detail()
    assert detail is not None
    assert [(one.seq, one.pid) for one in detail.snapshots] == [(1, 2), (2, 2)]


def test_grid() -> None:
    """Four rows of 1 MiB: heap, then anonymous memory; a column is a window's rates."""
    state = posted(LiveState(), *started(0))
    state.choose(0)
    posted(state, window(0, 20, 0), window(1, 5, 10))
    detail = state.detail()
    assert detail is not None
    grid = Grid()
    assert [row.band.label for row in grid.rows(detail, 4)] == ["heap", *["anonymous"] * 3]
    assert grid.columns(detail, 4, 10) == [(1.0, 0.0, 0.0, 0.0), (0.25, 0.5, 0.5, 0.5)]
    assert grid.columns(detail, 4, 1) == [(0.25, 0.5, 0.5, 0.5)]


def test_a_row_over_several_regions_is_their_mean() -> None:
    state = LiveState()
    state.choose(0)
    posted(state, snap(0, [(0, MIB, 20, 0, 0), (MIB, 4 * MIB, 0, 0, 0)]))
    detail = state.detail()
    assert detail is not None
    assert Grid().columns(detail, 1, 9) == [(0.25,)]


def test_memory_that_was_not_there() -> None:
    """Rows are today's memory; an older window did not watch all of it."""
    state = LiveState()
    state.choose(0)
    posted(state, snap(0, [(0, MIB, 20, 0, 0)]), snap(1, [(0, MIB, 20, 0, 0), (MIB, 2 * MIB, 0, 0, 0)]))
    detail = state.detail()
    assert detail is not None
    assert Grid().columns(detail, 2, 9) == [(1.0, None), (1.0, 0.0)]


def test_never_more_rows_than_asked_for() -> None:
    names = [f"/lib/l{number}.so" for number in range(60)]
    rows: list[list[Any]] = [
        [HEAP + n * MIB, HEAP + n * MIB + 65536, "rw-p", 0, 0, name] for n, name in enumerate(names)
    ]
    state = posted(LiveState(), Event(START, "mappings", {"target": 0, "add": rows, "remove": []}))
    state.choose(0)
    posted(state, snap(0, [(start, end, 1, 0, 0) for start, end, *_ in rows]))
    detail = state.detail()
    assert detail is not None
    for height in (1, 2, 7, 40):
        assert 1 <= len(Grid().rows(detail, height)) <= height


def test_hottest_mappings() -> None:
    state = posted(LiveState(), *started(0))
    state.choose(0)
    detail = posted(state, window(0, 20, 10)).detail()
    assert detail is not None
    assert [(one.label, one.touched, one.size, one.rate) for one in hottest(detail)] == [
        ("anonymous 7f0000000000", 3 * MIB // 2, 3 * MIB, 0.5), ("heap", MIB, MIB, 1.0),
    ]  # fmt: skip


def test_a_region_that_lies_in_several_mappings_is_that_of_each() -> None:
    """Regions of policies have edges of their own. All of a region was told of the mapping that it begins in, with more
    bytes than that mapping has."""
    state = posted(LiveState(), *started(0))
    state.choose(0)
    mapped = [
        [start * MIB, end * MIB, "rw-p", 0, 7, name]
        for start, end, name in ((100, 110, "/a"), (110, 130, "/b"), (140, 144, "/c"))
    ]
    gone = [mapping.start for mapping in state.detail().mappings]  # type: ignore[union-attr]
    posted(state, Event(START, "mappings", {"target": 0, "add": mapped, "remove": gone}))
    detail = posted(
        state,
        snap(0, [(100 * MIB, 104 * MIB, 0, 0, 0), (104 * MIB, 116 * MIB, 10, 0, 6 * MIB),
                 (116 * MIB, 144 * MIB, 0, 0, 0), (200 * MIB, 201 * MIB, 10, 0, MIB)]),
    ).detail()  # fmt: skip
    assert detail is not None
    found = {one.label: (one.touched, one.size) for one in hottest(detail)}
    assert found == {
        "a": (3 * MIB, 10 * MIB), "b": (3 * MIB, 20 * MIB), "c": (0, 4 * MIB), "memory": (MIB, MIB),
    }  # fmt: skip


def regions(edges_from: int) -> Snapshot:
    """Twelve regions whose edges depend on `edges_from`."""
    edges = [ANON + 4096 * (place * 50 + edges_from) for place in range(13)]
    return snap(0, [(low, high, edges_from, 0, 4096) for low, high in pairwise(edges)])


def test_ten_hours_do_not_grow() -> None:
    """36,000 windows a second apart, a process that comes and goes every ten seconds, mappings that change."""
    state, grid = LiveState(), Grid()
    state.choose(0)
    shapes = [regions(number) for number in range(7)]
    second = 1_000_000_000

    def hours(begin: int, end: int) -> None:
        for seq in range(begin * 3600, end * 3600):
            at = START + seq * second
            state.snapshot(replace(shapes[seq % 7], seq=seq, begin_ns=at, end_ns=at + second))
            if seq % 10 == 0:
                index = 1 + seq // 10
                posted(state, *started(index), window(seq, 1, 1, index))
                state.event(Event(START, "target_end", {"target": index, "pid": 1, "why": "exited"}))
                state.event(Event(START, "note", {"text": f"note {seq}"}))
                mapped = [[ANON + (seq % 990) * MIB, ANON + (seq % 990 + 1) * MIB, "rw-p", 0, 0, f"/f{seq}"]]
                removed = [ANON + ((seq - 10) % 990) * MIB]
                state.event(Event(START, "mappings", {"target": 0, "add": mapped, "remove": removed}))
            if seq % 200 == 0:
                detail = state.detail()
                assert detail is not None
                assert len(grid.columns(detail, 40, 80)) <= 80
                assert state.lines()

    tracemalloc.start()
    try:
        hours(0, 1)
        before, _ = tracemalloc.get_traced_memory()
        hours(1, 10)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    detail = state.detail()
    assert detail is not None
    assert len(detail.snapshots) == HISTORY
    assert len(state.lines()) == 1
    assert len(state.notes) <= 5
    assert after - before < 100_000, f"grew by {after - before} bytes in nine hours"


@dataclass
class FakeEngine:
    """An engine that a test drives; `windows` are what it posts when asked to."""

    bus: Bus = field(default_factory=lambda: Bus(lambda: START))
    attrs: Attrs = field(default_factory=Attrs)
    checks: int | None = 7
    kdamond_cpu_ns: int | None = None
    skipped: int = 0
    target_cost_ns: int | None = None
    longest_pause_ns: int | None = None
    refuses: bool = False
    here: bool = False
    running: bool = False
    closed: bool = False
    failure: Exception | None = None

    def valid(self) -> bool:
        return True

    def open(self) -> None:
        if self.refuses:
            raise CannotError("process 1 is watched already; end that first.")
        for event in started(0):
            self.bus.emit(event.name, event.data)

    def start(self) -> None:
        self.running = True

    def stop(self, *, after_window: bool = False) -> None:
        self.running = False

    def join(self, timeout: float | None = None) -> bool:
        if self.failure is not None:
            raise self.failure
        return not self.running

    def close(self) -> None:
        self.closed = True

    def call(self, request: Callable[[], None]) -> None:
        request()

    def ask(self, request: Callable[[], T]) -> T:
        return request()


@dataclass
class FakeMonitor:
    engine: FakeEngine
    ops: str = "vaddr"
    via: str = "refs"
    policy: str | None = None
    sees: str = "reads and writes"
    why: str = "it was asked for"
    others: OtherMonitors = NOBODY
    notes: tuple[str, ...] = ("a note",)

    def tlb(self) -> Tlb | None:
        return Tlb("stale", 1 << 20)


def session_with(*engines: FakeEngine) -> tuple[Session, list[WatchRequest]]:
    wishes: list[WatchRequest] = []
    waiting = list(engines)

    def build(watch_request: WatchRequest) -> FakeMonitor:
        wishes.append(watch_request)
        return FakeMonitor(waiting.pop(0))

    return Session(build, LiveState()), wishes


def test_session_changes_the_monitor() -> None:
    first, second = FakeEngine(), FakeEngine()
    session, wishes = session_with(first, second)
    session.start(WatchRequest(), 0)
    first.bus.snapshot(window(0, 1, 1))
    session.start(WatchRequest(aggr="1s"), 0)
    second.bus.snapshot(window(1, 1, 1))
    assert (first.running, first.closed, second.running) == (False, True, True)
    assert [watch_request.aggr for watch_request in wishes] == [None, "1s"]
    detail = session.state.detail()
    assert detail is not None
    assert [one.seq for one in detail.snapshots] == [0, 1]
    assert session.state.notes == ["a note", "a note"]
    session.stop()
    assert session.ended()


def test_session_goes_on_when_a_wish_cannot_be() -> None:
    first, refusing, again = FakeEngine(), FakeEngine(refuses=True), FakeEngine()
    session, wishes = session_with(first, refusing, again)
    session.start(WatchRequest(), 0)
    with pytest.raises(CannotError, match="watched already"):
        session.start(WatchRequest(pid=1), 0)
    assert refusing.closed
    assert again.running
    assert session.watch_request == wishes[-1] == WatchRequest()


def test_a_pid_that_is_another_process_by_now_is_not_watched() -> None:
    """Neither when it is chosen, nor when the interval of what was chosen is changed."""
    other, same, changed, again = FakeEngine(), FakeEngine(), FakeEngine(), FakeEngine()
    session, wishes = session_with(other, same, changed, again)
    with pytest.raises(TargetGone, match=r"^the process 100 that was listed has ended, .* choose again\.$"):
        session.start(WatchRequest(pid=100, start_time=76), 0)
    assert (other.running, other.closed, session.watched) == (False, True, None)
    assert session.state.detail() is None
    session.start(WatchRequest(pid=100, start_time=77), 0)
    assert (same.running, session.watch_request) == (True, wishes[-1])
    session.stop()
    with pytest.raises(TargetGone):
        session.start(WatchRequest(pid=100, start_time=76, aggr="1s"), 0)
    assert (changed.running, changed.closed) == (False, True)


def test_a_recording_from_inside_names_no_flag(tmp_path: Path) -> None:
    """What the command has not cannot be given."""
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    (tmp_path / "a --force").write_text("kept")
    with pytest.raises(OutputError, match=r"/a --force exists already; give another name\.$"):
        session.record(str(tmp_path / "a --force"))
    assert (tmp_path / "a --force").read_text() == "kept"
    assert session.recording is None
    said = "/dev/sda is a block device; give the name of a file, or --force to write over it."
    assert without_force(said) == "/dev/sda is a block device; give the name of a file."
    session.stop()


def test_recording_from_inside_stands_alone(tmp_path: Path) -> None:
    """It begins with what still holds: the target and its mappings were told before it was begun."""
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    engine.bus.snapshot(window(0, 1, 1))
    session.record(str(tmp_path / "a"))
    engine.bus.snapshot(window(1, 20, 1))
    session.keep_up()
    session.stop_recording()
    engine.bus.snapshot(window(2, 1, 1))
    recording = Recording(tmp_path / "a")
    assert [one.seq for one in recording.snapshots()] == [1]
    assert {event.name for event in recording.events()} >= {"target_start", "mappings", "attrs", "cost"}
    assert recording.metadata["via"] == "refs"
    assert not recording.truncated
    with pytest.raises(RecordingError, match="exists"):
        session.record(str(tmp_path / "a"))
    with pytest.raises(RecordingError, match="the view has the terminal"):
        session.record("-")
    session.stop()


def full_disk(*_: object) -> None:
    """A method of Writer."""
    raise RecordingError("cannot write a: No space left on device; make room.")


def test_a_recording_that_cannot_be_written_ends_and_the_view_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    session.record(str(tmp_path / "a"))

    monkeypatch.setattr(Writer, "flush", full_disk)
    assert open_below(tmp_path)
    with pytest.raises(RecordingError, match="No space"):
        session.keep_up()
    assert session.recording is None
    assert not open_below(tmp_path)
    engine.bus.snapshot(window(0, 1, 1))
    session.keep_up()  # told once
    assert session.state.detail() is not None
    session.stop()


def open_below(directory: Path) -> list[str]:
    """Files there that this process has open."""
    links = (os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd"))
    return [link for link in links if link.startswith(f"{directory}/")]


def test_a_recording_that_cannot_be_begun_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = session_with(FakeEngine())
    session.start(WatchRequest(), 0)

    monkeypatch.setattr(Writer, "event", full_disk)
    with pytest.raises(RecordingError, match="No space"):
        session.record(str(tmp_path / "a"))
    assert (session.recording, open_below(tmp_path)) == (None, [])
    session.stop()


def test_a_recording_is_finished_though_the_monitor_cannot_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    session.record(str(tmp_path / "a"))

    def close() -> None:
        raise CannotError("the kernel's DAMON does not end; see its files.")

    monkeypatch.setattr(engine, "close", close)
    with pytest.raises(CannotError, match="does not end"):
        session.stop()
    assert session.watched is None
    assert not Recording(tmp_path / "a").truncated


def test_another_monitor_begins_though_the_recording_cannot_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeEngine()
    session, wishes = session_with(FakeEngine(), other)
    session.start(WatchRequest(), 0)
    session.record(str(tmp_path / "a"))

    monkeypatch.setattr(Writer, "event", full_disk)
    with pytest.raises(RecordingError, match="No space"):
        session.start(WatchRequest(overhead="2%"), 0)
    assert other.running
    assert (session.recording, session.watch_request, open_below(tmp_path)) == (None, wishes[-1], [])
    session.stop()


def test_a_recording_ends_with_its_monitor(tmp_path: Path) -> None:
    session, _ = session_with(FakeEngine(), FakeEngine())
    session.start(WatchRequest(), 0)
    session.record(str(tmp_path / "a"))
    session.start(WatchRequest(overhead="2%"), 0)
    assert session.recording is None
    assert not Recording(tmp_path / "a").truncated
    session.stop()


def test_cost_is_that_of_this_monitor() -> None:
    engine = FakeEngine(kdamond_cpu_ns=5)
    session, _ = session_with(engine)
    session.start(WatchRequest(), 0)
    session.keep_up()
    cost = session.state.cost
    assert cost["checks"] == 7
    assert cost["kdamond_cpu_ns"] == 5
    assert cost["monitor_cpu_ns"] == 5  # no window yet: nothing of a thread of ours
    session.stop()


def proc(root: Path, pid: int, pages: int, *, uid: int = 1000, kernel: bool = False) -> None:
    """A process in a made-up /proc."""
    directory = root / str(pid)
    directory.mkdir(parents=True)
    (directory / "statm").write_text(f"{pages * 2} {pages} 0 0 0 0 0\n")
    fields = [
        "S",
        "1",
        *["0"] * 4,
        str(0x0020_0000 if kernel else 0),
        *["0"] * 10,
        "1",
        "0",
        "77",
        *["0"] * 30,
    ]
    (directory / "stat").write_text(f"{pid} (x y) {' '.join(fields)}\n")
    (directory / "status").write_text(f"Tgid:\t{pid}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nCapEff:\t0\n")
    (directory / "cmdline").write_text(f"x\0{pid}\0")


def test_largest_processes(tmp_path: Path) -> None:
    """Of this user, large enough, no kernel threads, not udamon itself; the largest first."""
    (tmp_path / "self").mkdir()
    proc(tmp_path, 5, 3000)
    proc(tmp_path, 6, 9000)
    proc(tmp_path, 7, 5000)
    proc(tmp_path, 8, 90000, uid=0)
    proc(tmp_path, 9, 90000)
    proc(tmp_path, 10, 100)
    proc(tmp_path, 11, 90000, kernel=True)
    mine = largest(2, tmp_path, uid=1000, own_pid=9, least=8 * MIB)
    assert mine == [
        WatchableProcess(ProcessId(6, 77), "x y", 9000 * 4096, "x 6"),
        WatchableProcess(ProcessId(7, 77), "x y", 5000 * 4096, "x 7"),
    ]
    assert [one.pid for one in largest(2, tmp_path, uid=0, own_pid=9)] == [8, 6]
    (tmp_path / "6" / "status").unlink()  # it ended between two reads
    assert [one.pid for one in largest(2, tmp_path, uid=1000, own_pid=9)] == [7, 5]


def test_idle_memory_of_who_is_looked_at() -> None:
    """Heap touched all the time, anonymous memory never: idle for as long as it was looked at, and anew after."""
    state = LiveState()
    state.begin(0, ("sim", None))
    posted(state, *started(0), *(window(seq, 20, 0) for seq in range(30)), *(window(30, 0, 20, 1),))
    detail = state.detail()
    assert detail is not None
    assert detail.ages is not None
    assert (detail.ages.found.size, detail.ages.cold[:2]) == (4 * MIB, [3 * MIB, None])
    assert (
        sentence(detail.ages)
        == "not touched for at least 1 s: 3.0 MiB of 4.0 MiB, an estimate (error unknown)"
    )
    state.choose(1)
    again = state.detail()
    assert again is not None
    assert again.ages is None  # no window of it yet
    state.begin(0)  # a monitor of which it is not known how it looks
    unknown = state.detail()
    assert unknown is not None
    assert unknown.ages is None
