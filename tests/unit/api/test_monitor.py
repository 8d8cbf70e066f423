"""udamon.Monitor on simulated workloads and on children of this process: what it gives, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from queue import Queue

import pytest

from udamon import Monitor, MonitorSpec, Recording, Scheme, Snapshot, UdamonError
from udamon.assembly.spec import DEFAULT_AGGR, DEFAULT_SAMPLE, given
from udamon.errors import (
    AttrsError,
    CannotError,
    ConfigError,
    NotSupported,
    OutputError,
    TargetBusy,
    TargetGone,
    UsageError,
)
from udamon.record.writer import Writer

SIM = MonitorSpec(ops="sim", command=("one",), sample=0.001, aggr=0.02)
REFS = pytest.mark.needs("clear_refs")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread, descriptor, child process or signal handler is left behind."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    threads, before = set(threading.enumerate()), _open_files()
    gc.freeze()  # so that the collection looks at what the test made, not at all that is imported
    yield
    gc.collect()
    gc.unfreeze()
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    assert not {one for one in set(threading.enumerate()) - threads if not one.name.startswith("asyncio")}
    assert _open_files() <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def _open_files() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return {one for one in found if not one.startswith(("/proc", "anon_inode:[eventpoll]"))}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that touches 8 MiB all the time."""
    code = "import time; m = bytearray(8 << 20)\nwhile True:\n  m[::4096] = m[::4096]; time.sleep(0.005)"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def first(monitor: Monitor, number: int) -> list[Snapshot]:
    found = []
    for snapshot in monitor:
        found.append(snapshot)
        if len(found) == number:
            break
    return found


def test_snapshots_are_iterated() -> None:
    with Monitor(SIM) as monitor:
        found = first(monitor, 3)
        assert (monitor.via, monitor.sample, monitor.aggr) == ("sim", 0.001, 0.02)
        assert [snapshot.seq for snapshot in found] == [0, 1, 2]
        while not any(found[-1].touched):  # samples that were late were too close to see an access
            found += first(monitor, 1)
    assert all(snapshot.ticks == 20 for snapshot in found)
    assert monitor.ended_by == "stop"


def test_duration_ends_iteration() -> None:
    with Monitor(replace(SIM, duration=0.2)) as monitor:
        assert list(monitor)
        assert monitor.ended_by == "duration"
        assert list(monitor) == []  # what came was taken, and no more comes


@REFS
def test_a_target_that_ends_ends_iteration(child: subprocess.Popen[bytes]) -> None:
    with Monitor(MonitorSpec(pids=(child.pid,), via="refs", aggr=0.05)) as monitor:
        assert first(monitor, 2)
        child.kill()
        child.wait()
        list(monitor)
        assert monitor.ended_by == "target"


@REFS
def test_a_command_is_started_and_its_end_ends_iteration(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with Monitor(MonitorSpec(command=("cat", str(pipe)), via="refs", aggr=0.05)) as monitor:
        assert first(monitor, 1)
        pipe.open("w").close()
        list(monitor)
    assert monitor.ended_by == "target"


@REFS
def test_a_command_ends_with_its_monitor() -> None:
    """`nothing_left` looks whether it still runs."""
    with Monitor(MonitorSpec(command=("sleep", "1000"), via="refs", aggr=0.05)) as monitor:
        (snapshot,) = first(monitor, 1)
    with pytest.raises(ProcessLookupError):
        os.kill(snapshot.pid or 0, 0)


@REFS
def test_this_process_may_be_watched() -> None:
    """Also by a budget: intervals that are left out follow from it."""
    with Monitor(MonitorSpec(pids=(os.getpid(),), via="refs")) as monitor:
        (snapshot,) = first(monitor, 1)
        assert (snapshot.pid, monitor.aggr >= 0.1) == (os.getpid(), True)


@REFS
def test_two_monitors_of_one_target(child: subprocess.Popen[bytes]) -> None:
    spec = MonitorSpec(pids=(child.pid,), via="refs", aggr=0.05)
    with Monitor(spec), pytest.raises(TargetBusy), Monitor(spec):
        pass
    with Monitor(spec) as monitor:  # and its lock is given back
        assert first(monitor, 1)


def test_a_fork_has_no_monitor(tmp_path: Path) -> None:
    """It would wait for snapshots for ever, and write to a recording that never grows."""
    with Monitor(SIM) as monitor:
        begun = iter(monitor)
        next(begun)
        uses: list[Callable[[], object]] = [lambda: next(begun), lambda: next(iter(monitor))]
        uses += [lambda: monitor.update(aggr=0.04), lambda: monitor.record(tmp_path / "file")]
        if (child := os.fork()) == 0:
            signal.alarm(60)  # where one of them waits
            refused = 0
            for use in uses:
                with suppress(UsageError):
                    use()
                    continue
                refused += 1
            monitor.stop()
            monitor.__exit__(None, None, None)
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(uses)
        assert first(monitor, 2)  # and this one goes on
        assert monitor.ended_by is None
    assert not (tmp_path / "file").exists()


def test_a_slow_consumer_loses_the_oldest() -> None:
    with Monitor(SIM, queue=2) as monitor:
        seen = threading.Event()
        monitor.subscribe(lambda snapshot: seen.set() if snapshot.seq == 9 else None)
        assert seen.wait(60)
    left = list(monitor)  # of a monitor that has ended: nothing comes while they are taken
    assert len(left) == 2
    assert left[-1].seq >= 9
    assert monitor.dropped == left[0].seq  # all before it, and nothing twice


def test_subscribers() -> None:
    """They are called until they unsubscribe, also when they came before the block; events are told as well."""
    seen: list[int] = []
    events: list[str] = []
    monitor = Monitor(SIM)
    unsubscribe = monitor.subscribe(
        lambda snapshot: seen.append(snapshot.seq), events=lambda e: events.append(e.name)
    )
    with monitor:
        first(monitor, 3)
        unsubscribe()
        unsubscribe()
        number = len(seen)
        first(monitor, 3)
    assert seen[:3] == [0, 1, 2]
    assert len(seen) <= number + 1  # one may have been under way
    assert events[:2] == ["target_start", "mappings"]


def test_a_subscriber_that_raises_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def failing(snapshot: Snapshot) -> None:
        calls.append(snapshot)
        raise RuntimeError("this one is broken")

    with caplog.at_level(logging.CRITICAL + 1, "udamon.engine.bus"), Monitor(SIM) as monitor:
        told: list[object] = []
        monitor.subscribe(lambda snapshot: None, events=lambda event: told.append(event.data.get("why")))
        monitor.subscribe(failing)
        assert [one.seq for one in first(monitor, 4)] == [0, 1, 2, 3]
    assert len(calls) == 1
    assert "this one is broken" in told


def test_stop_from_another_thread() -> None:
    with Monitor(SIM) as monitor:
        timer = threading.Timer(0.1, monitor.stop)
        timer.start()
        list(monitor)  # ends
        timer.join()
    assert monitor.ended_by == "stop"


def test_stop_from_a_subscriber() -> None:
    with Monitor(SIM) as monitor:
        monitor.subscribe(lambda snapshot: monitor.stop())
        assert len(list(monitor)) == 1


def test_a_subscriber_does_not_wait_for_itself() -> None:
    """By iterating, or by leaving the block: the monitor's thread waits for the subscriber."""
    refused: Queue[str] = Queue()

    def wait(_: Snapshot) -> None:
        for use in (lambda: list(monitor), lambda: monitor.__exit__(None, None, None)):
            try:
                use()
            except UsageError as error:
                refused.put(str(error))
        monitor.stop()

    with Monitor(SIM) as monitor:
        monitor.subscribe(wait)
        said = [refused.get(timeout=60) for _ in range(2)]
        list(monitor)
    assert "use the snapshot that it is called with" in said[0]
    assert "end the monitor with stop" in said[1]
    assert monitor.ended_by == "stop"


def test_attributes_change() -> None:
    with Monitor(SIM) as monitor:
        first(monitor, 1)
        monitor.update(sample=0.002, aggr=0.01, max_regions=50)
        assert (monitor.sample, monitor.aggr, monitor.spec.max_regions) == (0.002, 0.01, 50)
        while (snapshot := first(monitor, 1)[0]).ticks != 5:
            assert snapshot.ticks == 20


def test_attributes_change_from_a_subscriber() -> None:
    with Monitor(SIM) as monitor:
        monitor.subscribe(lambda snapshot: monitor.update(aggr=0.01) if snapshot.seq == 0 else None)
        assert [snapshot.ticks for snapshot in first(monitor, 3)] == [20, 10, 10]


def test_given_intervals_end_the_budget() -> None:
    """The windows that the budget begins with last 500 ms; and nothing chooses others any more."""
    with Monitor(MonitorSpec(ops="sim", command=("one",))) as monitor:
        first(monitor, 1)
        assert monitor.aggr == 0.5
        monitor.update(aggr=0.05, sample=0.005)
        first(monitor, 8)
        assert (monitor.sample, monitor.aggr) == (0.005, 0.05)


def test_wrong_changes_change_nothing() -> None:
    with Monitor(SIM) as monitor:
        for wrong, kind in (
            ({"overhead": 0.1}, UsageError),
            ({"aggr": 0.0}, UsageError),
            ({"aggr": 0.0001}, AttrsError),
            ({"min_regions": 2}, AttrsError),
            ({"sample": 1e-12}, UsageError),
            ({"sample": float("inf")}, UsageError),
            ({"sample": None}, UsageError),
            ({"aggr": 10**400}, UsageError),
            ({"update": 1e300}, UsageError),
            ({"min_regions": 12.5}, AttrsError),
            ({"max_regions": 10**30}, AttrsError),
        ):
            with pytest.raises(kind):
                monitor.update(**wrong)
        assert (monitor.sample, monitor.aggr, monitor.spec) == (0.001, 0.02, SIM)
    with pytest.raises(CannotError, match="has ended"):
        monitor.update(aggr=0.04)


def test_used_in_the_wrong_order() -> None:
    monitor = Monitor(SIM)
    uses: list[Callable[[], object]] = [lambda: monitor.via, lambda: next(iter(monitor)), monitor.update]
    uses.append(lambda: monitor.record("x"))
    for use in uses:
        with pytest.raises(UsageError, match="inside of its with block"):
            use()
    with monitor:
        pass
    with pytest.raises(UsageError, match="is used once"), monitor:
        pass


def test_stopped_before_it_began() -> None:
    monitor = Monitor(SIM)
    monitor.stop()
    with monitor:
        assert list(monitor) == []


def test_an_exception_in_the_block_passes() -> None:
    with pytest.raises(ZeroDivisionError), Monitor(SIM):
        raise ZeroDivisionError


def test_failure_of_the_monitor_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from udamon.ops.sim import SimSampler

    def fail(*_: object) -> None:
        raise CannotError("the memory is on fire.")

    monkeypatch.setattr(SimSampler, "sample", fail)
    with Monitor(SIM) as monitor:
        with pytest.raises(CannotError, match="on fire"):
            list(monitor)
        assert monitor.ended_by is None
    with pytest.raises(CannotError, match="on fire"), Monitor(SIM):
        time.sleep(0.1)


def test_recorded(tmp_path: Path) -> None:
    path = tmp_path / "a.udamon"
    with Monitor(SIM) as monitor:
        monitor.record(path)
        with pytest.raises(CannotError, match="recorded already"):
            monitor.record(path, force=True)
        first(monitor, 4)
    recording = Recording(path)
    assert not recording.truncated
    assert len(list(recording.snapshots())) >= 3
    names = [event.name for event in recording.events()]
    assert names[:3] == ["attrs", "target_start", "mappings"]  # although it began later
    assert names[-1] == "cost"
    with Monitor(SIM) as monitor, pytest.raises(OutputError, match="exists"):
        monitor.record(path)


def test_a_recording_that_cannot_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full behind the head: its file is closed, and another one can be begun."""
    with Monitor(SIM) as monitor:
        with monkeypatch.context() as patched:
            patched.setattr(Writer, "flush", _full)
            with pytest.raises(OutputError, match="No space left"):
                monitor.record(tmp_path / "a.udamon")
        monitor.record(tmp_path / "b.udamon")
        first(monitor, 2)
    assert list(Recording(tmp_path / "b.udamon").snapshots())


def _full(writer: Writer) -> None:
    raise OutputError("cannot write: No space left on device; make room.")


def test_asyncio() -> None:
    async def watch() -> list[int]:
        found = []
        async with Monitor(SIM) as monitor:
            async for snapshot in monitor:
                found.append(snapshot.seq)
                if len(found) == 3:
                    monitor.stop()
            return found

    assert asyncio.run(watch())[:3] == [0, 1, 2]


def test_asyncio_does_not_block_the_loop() -> None:
    """Another task runs on while snapshots are waited for."""

    async def watch() -> tuple[int, int]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turn())
        async with Monitor(SIM) as monitor:
            before = turns
            number = 0
            async for _ in monitor:
                number += 1
                if number == 5:
                    break
            after = turns
        other.cancel()
        return number, after - before

    number, turns = asyncio.run(watch())
    assert turns > number


def test_asyncio_cancelled() -> None:
    """While it waits for a snapshot: the monitor has ended when the cancellation is through."""

    async def watch(monitor: Monitor, began: asyncio.Event) -> None:
        async with monitor:
            async for _ in monitor:
                began.set()

    async def run() -> Monitor:
        monitor, began = Monitor(SIM), asyncio.Event()
        task = asyncio.create_task(watch(monitor, began))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return monitor

    assert asyncio.run(run()).ended_by == "stop"


def test_asyncio_cancelled_while_it_opens() -> None:
    async def watch(monitor: Monitor) -> None:
        async with monitor:
            raise AssertionError("it was cancelled before")

    async def run() -> None:
        task = asyncio.create_task(watch(Monitor(SIM)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_a_cancelled_wait_takes_nothing() -> None:
    async def run() -> list[int]:
        async with Monitor(SIM) as monitor:
            snapshots = monitor.__aiter__()
            seen = [(await anext(snapshots)).seq]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(monitor._queue.take_async(), 0.0001)
            snapshots = monitor.__aiter__()
            return [*seen, (await anext(snapshots)).seq]

    assert asyncio.run(run()) == [0, 1]


def test_in_a_thread() -> None:
    found: list[int] = []

    def work() -> None:
        with Monitor(SIM) as monitor:
            found.extend(snapshot.seq for snapshot in first(monitor, 2))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0, 1]


@REFS
def test_schemes_are_a_dry_run(child: subprocess.Popen[bytes]) -> None:
    spec = MonitorSpec(pids=(child.pid,), via="refs", aggr=0.05)
    with Monitor(
        spec, schemes=[Scheme("pageout", max_accesses=0.0, min_age=0.05), Scheme("stat")]
    ) as monitor:
        first(monitor, 5)
    pageout, stat = monitor.schemes
    assert (pageout.stats.sz_tried > 0, pageout.stats.sz_applied) == (True, 0)
    assert stat.stats.nr_tried > 0


def test_schemes_are_applied() -> None:
    """To simulated memory: what is cold is moved out of it."""
    cold = Scheme("pageout", max_accesses=0.0, min_age=0.04, quota_bytes=0)
    with Monitor(SIM, schemes=[cold], apply=True) as monitor:
        while not monitor.schemes[0].stats.sz_applied:
            first(monitor, 1)
    assert monitor.schemes[0].stats.sz_moved


def test_schemes_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text('[[schemes]]\naction = "stat"\naccess_pattern = {}\n')
    with Monitor(SIM, schemes=path) as monitor:
        first(monitor, 3)
    assert monitor.schemes[0].stats.nr_tried
    path.write_text("[[schemes]]\n")
    with pytest.raises(ConfigError):
        Monitor(SIM, schemes=path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": None}, "there is nothing to watch"),
        ({"pids": (1,)}, "exclude each other"),
        ({"ops": "vaddr", "command": ()}, "is empty"),
        ({"ops": "vaddr", "command": None, "cgroup": "/x", "children": True}, "children goes with"),
        ({"children": True}, "leave via, children and max_pause out"),
        ({"ops": "what"}, "there is no ops 'what'"),
        ({"ops": "fvaddr"}, "needs address ranges"),
        ({"ops": "paddr"}, "give paddr=True"),
        ({"ops": "vaddr", "via": "sim"}, "goes with ops sim"),
        ({"via": "eyes"}, "there is no via 'eyes'"),
        ({"via": "refs"}, "has its own primitive"),
        ({"policy": "random"}, "no region policy"),
        ({"sample": 0}, "sample 0 is no interval"),
        ({"sample": -1.0}, "sample -1.0 is no interval"),
        ({"aggr": float("nan")}, "aggr nan is no interval"),
        ({"update": 1e9}, "longer than 30 days"),
        ({"aggr": 10**400}, "longer than 30 days"),
        ({"duration": 10**5000}, "is no time"),
        ({"children": 1}, "neither True nor False"),
        ({"ops": ["sim"]}, "there is no ops"),
        ({"policy": 1}, "no region policy"),
        ({"sample": DEFAULT_SAMPLE, "aggr": DEFAULT_AGGR, "overhead": "1%"}, "is no share"),
        ({"sample": DEFAULT_SAMPLE, "aggr": DEFAULT_AGGR, "overhead": True}, "is no share"),
        ({"sample": 1.0, "aggr": 0.1}, "longer than the aggregation interval"),
        ({"min_regions": 1}, "must be at least 3"),
        ({"max_regions": 12.5}, "no whole number"),
        ({"overhead": 0.01}, "overhead chooses the intervals; leave it or sample and aggr out"),
        ({"duration": 0}, "duration 0 is no time"),
        ({"ops": "vaddr", "max_pause": -1}, "max_pause -1 is no time"),
        ({"command": ("no such workload",)}, "there is no workload"),
    ],
)
def test_specifications_that_make_no_sense(changes: dict[str, object], why: str) -> None:
    """Each is one sentence without a name of a flag."""
    with pytest.raises(UsageError, match=why) as caught, Monitor(replace(SIM, **changes)):  # type: ignore[arg-type]
        pass
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"pids": "12"},
        {"pids": (1.5,)},
        {"pids": (True,)},
        {"pids": None},
        {"command": (1,)},
        {"command": 1.5},
        {"command": ("true", "a\0b")},
        {"cgroup": 3},
        {"cgroup": ""},
        {"cgroup": "/a\0b"},
    ],
)
def test_types_are_checked_at_once(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        MonitorSpec(**changes)  # type: ignore[arg-type]


def test_intervals_that_are_left_out() -> None:
    """They equal numbers, and a specification with them differs from one with those numbers."""
    left_out, chosen = MonitorSpec(pids=(1,)), MonitorSpec(pids=(1,), sample=0.005, aggr=0.1)
    assert (left_out.sample, left_out.aggr) == (chosen.sample, chosen.aggr) == (0.005, 0.1)
    assert left_out != chosen
    assert len({left_out, chosen, MonitorSpec(pids=[1])}) == 2  # type: ignore[arg-type]
    assert not given(replace(left_out, overhead=0.02).aggr)
    assert left_out != "a specification"


def test_one_interval_gives_the_other() -> None:
    with Monitor(MonitorSpec(ops="sim", command=("one",), aggr=0.04)) as monitor:
        assert (monitor.sample, monitor.aggr) == (0.002, 0.04)


@REFS
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"pids": ((1 << 22) + 1,)}, TargetGone),
        ({"policy": "damon"}, UsageError),
        ({"via": "softdirty", "policy": "adaptive"}, UdamonError),
        ({"pids": (), "cgroup": "/no/such/group"}, CannotError),
        ({"pids": (), "command": ("/no/such/program",)}, CannotError),
        ({"pids": (), "paddr": True}, UsageError),
    ],
)
def test_what_cannot_be_watched(changes: dict[str, object], kind: type[UdamonError]) -> None:
    spec = MonitorSpec(pids=(os.getpid(),), via="refs", aggr=0.05)
    with pytest.raises(kind) as caught, Monitor(replace(spec, **changes)):  # type: ignore[arg-type]
        pass
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "burn"},
        {"action": "migrate_hot"},
        {"action": "stat", "min_age": 5, "max_age": 1},
        {"action": "stat", "min_accesses": 1.5},
        {"action": "stat", "min_size": -1},
        {"action": "stat", "quota_reset": 0},
        {"action": "stat", "apply_interval": 0},
        {"action": b"stat"},
        {"action": "stat", "min_size": 4096.5},
        {"action": "stat", "max_size": "4 KiB"},
        {"action": "stat", "min_age": True},
        {"action": "stat", "quota_bytes": float("nan")},
        {"action": "stat", "quota_bytes": 1 << 64},
        {"action": "stat", "quota_time": float("inf")},
        {"action": "stat", "quota_time": "10ms"},
        {"action": "stat", "quota_reset": None},
        {"action": "stat", "apply_interval": "1s"},
        {"action": "stat", "max_age": 10**5000},
    ],
)
def test_schemes_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Scheme(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"schemes": 1}, {"schemes": ["stat"]}, {"schemes": Scheme("stat")}, {"schemes": "a\0b"}, {"queue": 1.5}],
)
def test_arguments_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Monitor(SIM, **wrong)  # type: ignore[arg-type]
    with Monitor(SIM) as monitor:
        for no_path in (None, 1, "", "a\0b"):
            with pytest.raises(UsageError, match="is no path"):
                monitor.record(no_path)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="is no function"):
            monitor.subscribe(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give a MonitorSpec"):
        Monitor(1)  # type: ignore[arg-type]


@Integral.register
class Seven:
    """A whole number of another library, as numpy's are: registered as one, and no int."""

    def __int__(self) -> int:
        return 7


def test_numbers_of_other_libraries() -> None:
    """They become Python's own, so that all that comes of them can be written as JSON."""
    spec = MonitorSpec(pids=(Seven(),), aggr=Fraction(1, 2), update=Fraction(3), cgroup=Path("/x"))  # type: ignore[arg-type]
    assert (spec.pids, spec.aggr, spec.update, spec.cgroup) == ((7,), 0.5, 3.0, "/x")
    assert [type(spec.aggr), type(spec.update)] == [float, float]
    assert Scheme("stat", min_age=Fraction(1, 4)).min_age == 0.25  # type: ignore[arg-type]


def test_all_memory_is_acted_on_by_no_mistake() -> None:
    with pytest.raises(UsageError, match="the hot included"):
        Monitor(SIM, schemes=[Scheme("pageout")], apply=True)
    with pytest.raises(UsageError, match="keeps no snapshot"):
        Monitor(SIM, queue=0)


def test_in_kernel_damon_is_not_changed_while_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What udamon cannot do with it is refused before anything is asked of it."""
    with Monitor(SIM) as monitor:
        monkeypatch.setattr("udamon.engine.kdamond.Kdamond", int)  # as if the engine were another one
        with pytest.raises(NotSupported, match="begin another monitor"):
            monitor.update(aggr=0.1)


@REFS
def test_a_command_that_outlives_what_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Iteration ends with what can be watched, and the command with the block."""
    from udamon.engine.kdamond import Kdamond

    with Monitor(MonitorSpec(command=("sleep", "1000"), via="refs", aggr=0.05)) as monitor:
        first(monitor, 1)
        # As when it becomes a program of another user, which this one may not see.
        monkeypatch.setattr("udamon.engine.context.Context.valid", lambda context: False)
        list(monitor)
        monkeypatch.undo()
        assert isinstance(monitor._running().engine, Kdamond)
        assert monitor._child is not None
        assert not monitor._child.ended()
    assert monitor._child.ended()


def test_the_interval_of_a_quota_that_is_left_out() -> None:
    """`quota_reset` alone had no effect."""
    from udamon.api.scheme import read

    (wanted,) = read([Scheme("pageout", min_age=1, quota_reset=5)], apply=True, sparse=False)
    assert (wanted.scheme.quotas.ms, wanted.scheme.quotas.bytes) == (10, 128 << 20)
    assert wanted.scheme.quotas.reset_interval_ms == 5_000
