"""A monitor that can be exchanged while the view stays: other intervals, another budget, another target.

Also where a recording is begun and ended from inside: it begins with the events that still hold, so that it
stands alone.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from udamon.availability.tlb import Tlb
from udamon.errors import OutputError, TargetGone, UdamonError
from udamon.files.names import descriptor_of
from udamon.files.place import without_force
from udamon.linux import cpu_time
from udamon.live.state import LiveState
from udamon.model import Event, Snapshot
from udamon.record.monitored import Monitored, metadata_of
from udamon.record.state import ValidEvents
from udamon.record.writer import Writer

FLUSH_S = 0.9


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """Changes to the command line: watch only `pid`, which began at `start_time` (ticks since boot), with this budget
    or this interval."""

    pid: int | None = None
    start_time: int | None = None
    overhead: str | None = None
    aggr: str | None = None


class WatchedMonitor(Monitored, Protocol):
    """The running monitor, and its description (udamon.assembly.build.Built)."""

    def tlb(self) -> Tlb | None: ...

    @property
    def notes(self) -> tuple[str, ...]: ...


class _SnapshotTee:
    """What the engine's bus gets: the view's state, and the writer while there is one."""

    def __init__(self, state: LiveState) -> None:
        self._state = state
        self._lock = Lock()
        self.valid = ValidEvents()
        self.writer: Writer | None = None
        self.failure: UdamonError | None = None
        self.cpu_ns = 0
        """CPU time of the thread that monitors."""

    def snapshot(self, snapshot: Snapshot, /) -> None:
        self.cpu_ns = cpu_time.thread_ns()
        self._state.snapshot(snapshot)
        with self._lock:
            self._write(lambda writer: writer.snapshot(snapshot))

    def event(self, event: Event, /) -> None:
        self._state.event(event)
        with self._lock:
            self.valid.add(event)
            self._write(lambda writer: writer.event(event))

    def attach(self, writer: Writer) -> None:
        with self._lock:
            for event in self.valid:
                writer.event(event)
            self.writer = writer

    def detach(self) -> Writer | None:
        with self._lock:
            writer, self.writer = self.writer, None
            return writer

    def _write(self, give: Callable[[Writer], None]) -> None:
        # A full disk ends the recording, never the view.
        if self.writer is not None:
            try:
                give(self.writer)
            except UdamonError as error:
                failed, self.writer, self.failure = self.writer, None, error
                _release(failed)


def _release(writer: Writer) -> None:
    """Close a file that cannot be written, which was told already."""
    with suppress(UdamonError):
        writer.close()


class Session:
    """Runs one monitor at a time for `state`. `build` makes it from a request; it may raise UdamonError."""

    def __init__(
        self,
        build: Callable[[WatchRequest], WatchedMonitor],
        state: LiveState,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._build, self.state, self._now_ns = build, state, now_ns
        self.watch_request = WatchRequest()
        self.watched: WatchedMonitor | None = None
        self.recording: str | None = None
        self._tee = _SnapshotTee(state)
        self._began_ns = self._began_cpu_ns = 0
        self._next_flush = 0.0

    def start(self, watch_request: WatchRequest, chosen: int | None = None) -> None:
        """End the running monitor and begin another; `chosen` is the target that is looked at then.

        Raises UdamonError when the other one cannot be; then the one before runs again. Raises also when a recording
        cannot be finished; the other monitor runs all the same.
        """
        before, self.watch_request = self.watch_request, watch_request
        was, unfinished = self.watched, None
        try:
            self.stop()
        except UdamonError as error:  # a full disk ends the recording, never the view
            unfinished = error
        try:
            self._start(chosen)
        except UdamonError:
            self.watch_request = before
            if was is not None:
                with suppress(UdamonError):
                    self._start(chosen)
            raise
        if unfinished is not None:
            raise unfinished

    def _start(self, chosen: int | None) -> None:
        watched = self._build(self.watch_request)
        self.state.begin(chosen, (watched.via, watched.policy))
        self._tee = _SnapshotTee(self.state)
        watched.engine.bus.subscribe(self._tee)
        try:
            watched.engine.open()
            self._require_chosen()
        except BaseException:
            watched.engine.close()
            raise
        for text in watched.notes:
            watched.engine.bus.emit("note", {"text": text})
        self._tee.event(Event(self._now_ns(), "attrs", {**watched.engine.attrs.as_dict(), "why": "start"}))
        self._began_ns, self._began_cpu_ns = self._now_ns(), cpu_time.process_ns()
        self.watched = watched
        watched.engine.start()

    def _require_chosen(self) -> None:
        """A pid that was chosen from a list may be another process's now. Raises TargetGone."""
        wanted = self.watch_request
        if wanted.start_time is None:
            return
        for event in self._tee.valid:
            told = event.data
            if event.name != "target_start" or told.get("pid") != wanted.pid:
                continue
            if told.get("start_time") != wanted.start_time:
                self.state.begin(None)
                raise TargetGone(
                    f"the process {wanted.pid} that was listed has ended, and another has its number now; "
                    "choose again."
                )

    def stop(self) -> None:
        """End monitor and recording. Idempotent."""
        if self.watched is None:
            return
        engine = self.watched.engine
        engine.stop()
        with suppress(UdamonError):  # what made it end was already told by `ended`
            engine.join()
        try:
            engine.close()
        finally:
            try:
                self.stop_recording()
            finally:
                self.watched = None

    def ended(self) -> bool:
        """True when no target is left, or nothing runs. Raises what made the monitor end, if an error."""
        return self.watched is None or self.watched.engine.join(0)

    def record(self, path: str) -> None:
        """Write down what comes from now on. Raises UdamonError: the file exists, or cannot be written."""
        assert self.watched is not None
        if descriptor_of(path) is not None:
            raise OutputError(
                f"{path} is open already, and the view has the terminal; give the name of a file."
            )
        try:
            writer = Writer(path, metadata_of(self.watched, self.watched.tlb()))
        except OutputError as error:
            raise OutputError(without_force(error.args[0])) from error
        try:
            self._tee.attach(writer)
        except BaseException:
            _release(writer)
            raise
        self.recording = path

    def stop_recording(self) -> None:
        """Finish the file, if there is one. Raises UdamonError."""
        self.recording = None
        writer = self._tee.detach()
        if writer is not None:
            with writer:
                writer.event(Event(self._now_ns(), "cost", self.cost()))

    def keep_up(self) -> None:
        """To be called often: tells the state the cost, and flushes. Raises UdamonError when writing failed."""
        if self.watched is None:
            return
        cost = Event(self._now_ns(), "cost", self.cost())
        self.state.event(cost)
        writer = self._tee.writer
        if writer is not None and time.monotonic() >= self._next_flush:
            self._next_flush = time.monotonic() + FLUSH_S
            try:
                writer.event(cost)
                writer.flush()
            except UdamonError as error:
                self._tee.detach()
                self._tee.failure = error
                _release(writer)
        if self._tee.failure is not None:
            failure, self._tee.failure, self.recording = self._tee.failure, None, None
            raise failure

    def cost(self) -> Mapping[str, object]:
        """What the monitor has taken since it began, and this whole process with its screen."""
        assert self.watched is not None
        engine = self.watched.engine
        kdamond = engine.kdamond_cpu_ns
        return {
            "cpu_ns": cpu_time.process_ns() - self._began_cpu_ns,
            "monitor_cpu_ns": self._tee.cpu_ns + (kdamond or 0),
            "elapsed_ns": self._now_ns() - self._began_ns,
            "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "checks": engine.checks,
            **({} if kdamond is None else {"kdamond_cpu_ns": kdamond}),
        }
