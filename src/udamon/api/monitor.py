"""The monitor as a library offers it: a context manager whose snapshots are iterated or subscribed to."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING

from udamon.api.changes import changes_of
from udamon.api.queue import SnapshotQueue, to_its_end
from udamon.api.subscriber import SubscribedFunctions
from udamon.api.words import in_library_words, rephrase
from udamon.arguments import is_whole, path_of, plain, shown
from udamon.assembly.build import Built, build
from udamon.assembly.child import Child
from udamon.assembly.follow import LOOK_S, TARGET, follow
from udamon.assembly.spec import MonitorSpec, check
from udamon.core.attrs import Attrs
from udamon.errors import NotSupported, UsageError
from udamon.linux import cpu_time
from udamon.model import Event, Snapshot

if TYPE_CHECKING:
    from udamon.api.recorder import Recorder
    from udamon.api.scheme import Scheme
    from udamon.core.scheme import Scheme as DamosScheme
    from udamon.core.scheme import SchemeStatus
    from udamon.engine.acting import PatternsFor
    from udamon.modules.work import AnyWork
    from udamon.schemes.config.pattern import WantedScheme

QUEUE = 1024


class Monitor:
    """Watches the targets of a MonitorSpec while its `with` or `async with` block runs. Usable once.

        with Monitor(MonitorSpec(pids=(1234,), via="refs")) as monitor:
            for snapshot in monitor:
                print(snapshot.pid, sum(snapshot.touched))

    Iteration ends when the targets have ended, after `duration`, or after `stop`. If an error ended the monitor,
    iteration raises it. Up to `queue` snapshots are queued: if the consumer is too slow, the oldest are dropped, and
    `dropped` counts them. If several loops iterate over one monitor, each snapshot goes to one of them.

    The monitor runs on two threads of this process, which end with the block. It installs no signal handlers, changes
    no resource limits, and starts no process except `command`. The budget (`overhead`) covers the CPU time of the
    monitor's thread. A process that is forked off inside of the block has no monitor: iterating there raises
    UsageError, and leaving the block there ends nothing.

    `schemes` is a sequence of Scheme, or the path of a file of them. Matching memory is counted, and with `apply` the
    actions are carried out; the property `schemes` has the results.

    Raises UsageError for an invalid specification. Entering the block raises a UdamonError if the targets cannot be
    watched: TargetGone, TargetBusy, NotPermitted, NotSupported, …
    """

    @in_library_words()
    def __init__(
        self,
        spec: MonitorSpec,
        *,
        schemes: str | PathLike[str] | Sequence[Scheme] = (),
        apply: bool = False,
        queue: int = QUEUE,
    ) -> None:
        if not isinstance(spec, MonitorSpec):
            raise UsageError(f"{shown(spec)} is no specification; give a MonitorSpec.")
        check(spec)
        queue = plain(queue)
        if not is_whole(queue) or queue < 1:
            raise UsageError(
                f"a queue of {shown(queue)} keeps no snapshot; give a whole number of at least 1."
            )
        self._spec = spec
        self._apply = apply
        self._wanted: list[WantedScheme] = []
        if not (isinstance(schemes, tuple | list) and not schemes):
            from udamon.api.scheme import read

            self._wanted = read(schemes, apply=apply, sparse=not spec.paddr and spec.via != "kernel")
        self._queue = SnapshotQueue(queue)
        self._subscribers: list[SubscribedFunctions] = [SubscribedFunctions(self._queue.put)]
        self._built: Built | None = None
        self._child: Child | None = None
        self._recorder: Recorder | None = None
        self._work: AnyWork | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._entered = False
        self._process: int | None = None
        self._failure: Exception | None = None
        self._ended_by: str | None = None

    @property
    def spec(self) -> MonitorSpec:
        """The specification, including changes by `update`."""
        return self._spec

    @property
    def via(self) -> str:
        """The access-check primitive in use: the choice, if the specification has "auto". Raises UsageError before the
        block is entered."""
        return self._running().via

    @property
    def sample(self) -> float:
        """The current sampling interval, in seconds. Raises UsageError before the block is entered."""
        return self._running().engine.attrs.sample_us / 1e6

    @property
    def aggr(self) -> float:
        """The current aggregation interval, in seconds: the length of a snapshot's window. Raises UsageError before the
        block is entered."""
        return self._running().engine.attrs.aggr_us / 1e6

    @property
    def dropped(self) -> int:
        """How many snapshots were dropped from the queue, because the consumer was too slow."""
        return self._queue.dropped

    @property
    def ended_by(self) -> str | None:
        """What ended the monitor: "target", "duration" or "stop"; None while it runs, and after an error."""
        return self._ended_by

    @property
    def schemes(self) -> list[SchemeStatus]:
        """The status of each scheme: `active`, `why` (the reason if it does not act), and `stats` since the start:
        `nr_tried`, `sz_tried` and `sz_applied` (bytes), and so on."""
        if self._work is None:
            return []
        return [replace(status, stats=replace(status.stats)) for status in self._work.statuses()]

    def subscribe(
        self, function: Callable[[Snapshot], object], *, events: Callable[[Event], object] | None = None
    ) -> Callable[[], None]:
        """Have `function` called with each snapshot, and `events` with each event. Returns a function that
        unsubscribes.

        Both are called on the monitor's thread, which waits for them; so they may not iterate over the monitor, or
        leave its block. A function that raises is logged and not called
        again. `subscribe` may be called before the block is entered, and from any thread. Raises UsageError for what
        cannot be called.
        """
        subscriber = SubscribedFunctions(function, events)
        self._subscribers.append(subscriber)
        if self._built is not None:
            self._built.engine.bus.subscribe(subscriber)

        def unsubscribe() -> None:
            subscriber.ended = True
            with suppress(ValueError):
                self._subscribers.remove(subscriber)
            if self._built is not None:
                self._built.engine.bus.unsubscribe(subscriber)

        return unsubscribe

    @in_library_words()
    def update(self, **attrs: float) -> None:
        """Change `sample`, `aggr`, `update` (seconds), `min_regions` or `max_regions`; the others keep their values.

        Changing `sample` or `aggr` ends the budget that chose them. May be called from any thread; a call from a
        subscriber takes effect after the subscriber has returned. Raises UsageError or AttrsError for invalid values,
        without changing anything; NotSupported via kernel; CannotError if the monitor has ended.
        """
        from udamon.engine.kdamond import Kdamond

        engine = self._running().engine
        if not isinstance(engine, Kdamond):
            raise NotSupported("in-kernel DAMON is not changed while it watches; begin another monitor.")
        spec, changed = changes_of(self._spec, attrs)
        _changed(engine.attrs, changed)  # raises here what cannot be

        def request() -> None:
            if "sample" in attrs or "aggr" in attrs:
                engine.end_tuning()
            engine.change_attrs(_changed(engine.attrs, changed), "update")

        if engine.here:
            engine.call(request)
        else:
            engine.ask(request)
        self._spec = spec

    @in_library_words()
    def record(self, path: str | PathLike[str], *, force: bool = False) -> None:
        """Record from now on to a new file at `path`, until the monitor ends.

        Raises OutputError if the file exists and `force` is false, or if it cannot be written; CannotError if a
        recording is already being written; UsageError before the block is entered. If writing fails later, the monitor
        ends with OutputError.
        """
        self._running()
        assert self._recorder is not None
        self._recorder.begin(path_of("path", path), force=force)

    def stop(self) -> None:
        """End the monitor within about a sampling interval. May be called from any thread and repeatedly; does not
        wait. Does nothing in a process that was forked off inside of the block."""
        if self._forked():
            return
        self._stopped.set()
        if self._built is not None:
            self._built.engine.stop()

    @in_library_words()
    def __enter__(self) -> Monitor:
        if self._entered:
            raise UsageError("a Monitor is used once; make another one of its spec.")
        self._entered = True
        self._process = os.getpid()
        try:
            self._open()
        except BaseException:
            self._close(wait_for_child=False)
            raise
        self._thread = threading.Thread(target=self._supervise, name="udamon.monitor", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if kind is None:
            self._raise_failure()

    def __iter__(self) -> Iterator[Snapshot]:
        while self._may_wait() and (snapshot := self._queue.take()) is not None:
            yield snapshot
        self._raise_failure()

    async def __aenter__(self) -> Monitor:
        import asyncio

        try:
            await to_its_end(self.__enter__)
        except asyncio.CancelledError:
            await to_its_end(self._leave)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await to_its_end(self._leave)
        if kind is None:
            self._raise_failure()

    async def __aiter__(self) -> AsyncIterator[Snapshot]:
        while self._may_wait() and (snapshot := await self._queue.take_async()) is not None:
            yield snapshot
        self._raise_failure()

    def _running(self) -> Built:
        if self._built is None or self._thread is None:
            raise UsageError("the monitor does not run: use it inside of its with block.")
        if self._forked():
            raise UsageError(
                f"the monitor runs in process {self._process}, off which this one was forked; make another one here."
            )
        return self._built

    def _may_wait(self) -> bool:
        """Raises UsageError where a snapshot, or the end, is waited for in vain."""
        self._running()
        self._refuse_itself("use the snapshot that it is called with")
        return True

    def _refuse_itself(self, instead: str) -> None:
        engine_runs_here = self._built is not None and self._built.engine.here
        if engine_runs_here or threading.current_thread() is self._thread:
            raise UsageError(
                f"a subscriber runs on the monitor's thread, which would wait for itself; {instead}."
            )

    def _forked(self) -> bool:
        """Whether this is a process that was forked off inside of the block: it has no monitor's threads, and locks as
        they were held at that moment."""
        return self._process not in (None, os.getpid())

    def _open(self) -> None:
        """Build everything and find the targets. Raises UdamonError."""
        from udamon.api.recorder import Recorder

        spec = self._spec
        if spec.command is not None and spec.ops != "sim":
            self._child = Child(spec.command)
        kernel_schemes, patterns = self._kernel_schemes()
        self._built = built = build(
            spec,
            command_pid=None if self._child is None else self._child.pid,
            own=True,
            cpu_ns=cpu_time.thread_ns,
            kernel_schemes=kernel_schemes,
            patterns_for=patterns,
        )
        engine = built.engine
        self._recorder = Recorder(built)
        engine.bus.subscribe(self._recorder)
        for subscriber in self._subscribers:
            engine.bus.subscribe(subscriber)
        if self._wanted:
            from udamon.api.scheme import put_to_work

            self._work = put_to_work(built, self._wanted, spec.cgroup, apply=self._apply)
        engine.open()
        for text in built.notes:
            engine.bus.emit("note", {"text": text})

    def _kernel_schemes(self) -> tuple[Sequence[DamosScheme], PatternsFor | None]:
        """The schemes for in-kernel DAMON, if that is the engine."""
        if not self._wanted:
            return (), None
        from udamon.modules.work import patterns_for, schemes_for_kernel

        return schemes_for_kernel(self._wanted, Attrs(), dry=not self._apply), patterns_for(self._wanted)

    def _supervise(self) -> None:
        """On a thread of its own: run the engine to its end, and leave nothing behind."""
        assert self._built is not None
        try:
            ended_by = follow(
                self._built.engine, self._child, self._spec.duration, self._stopped, self._keep_up
            )
            self._ended_by = "stop" if ended_by == "signal" else ended_by
        except Exception as error:
            self._failure = error
        self._close(wait_for_child=self._ended_by == TARGET)

    def _keep_up(self) -> None:
        assert self._recorder is not None
        self._recorder.keep_up()
        if self._work is not None:
            self._work.keep_up()

    def _close(self, *, wait_for_child: bool) -> None:
        """Release everything; the first thing that goes wrong is the failure, where there is none yet."""
        steps: list[Callable[[], object]] = []
        if self._built is not None:
            steps.append(self._built.engine.close)
        if self._work is not None:
            steps.append(self._work.end)
        if self._recorder is not None:
            steps.append(self._recorder.close)
        steps.append(self._queue.close)
        if self._child is not None:
            steps.append(self._wait_for_child if wait_for_child else self._child.end)
        for step in steps:
            try:
                step()
            except Exception as error:
                self._failure = self._failure or error

    def _wait_for_child(self) -> None:
        """A command may outlive what can be watched of it: until it ends, or the block does."""
        assert self._child is not None
        while not self._child.ended(LOOK_S):
            if self._stopped.is_set():
                self._child.end()

    def _leave(self) -> None:
        if self._forked():
            return
        self._refuse_itself("end the monitor with stop")
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def _raise_failure(self) -> None:
        """Once: what a loop has raised, the end of the block need not raise again."""
        failure, self._failure = self._failure, None
        if failure is not None:
            rephrase(failure)
            raise failure


def _changed(attrs: Attrs, changed: dict[str, int]) -> Attrs:
    return replace(attrs, **changed)  # type: ignore[arg-type]
