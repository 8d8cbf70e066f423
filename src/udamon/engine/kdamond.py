"""The kdamond: the loop that watches one context. Read `Kdamond.run` alone to know how a monitor works."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress

from udamon.core.attrs import Attrs
from udamon.core.clock import Clock
from udamon.core.policy import TouchedBounds
from udamon.core.schedule import Schedule
from udamon.core.target import Target
from udamon.engine.acting import Acting
from udamon.engine.base import Worker
from udamon.engine.bus import Bus
from udamon.engine.context import Context
from udamon.engine.tuner import TunedAttrs, Tuner
from udamon.errors import CannotError, PauseTooLong
from udamon.linux import cpu_time
from udamon.model import Sharing, Snapshot
from udamon.ops.base import Shared

INACTIVE_POLL_NS = 1_000_000_000
"""Polling interval for the targets while all schemes are inactive."""


class Kdamond(Worker):
    """Watches one context on its own thread, or in `run` on the caller's.

    `cpu_ns` tells the CPU time spent by the monitor; the tuner's budget is kept by that and what the targets lose.
    """

    def __init__(
        self,
        context: Context,
        clock: Clock,
        *,
        tuner: Tuner | None = None,
        name: str = "kdamond.0",
        cpu_ns: Callable[[], int] = cpu_time.thread_ns,
    ) -> None:
        super().__init__(name)
        self.context = context
        self.bus = Bus(clock.now_ns)
        self._clock = clock
        self._tuner = tuner
        self._cpu_ns = cpu_ns
        self._cpu_before = 0
        self._seq = 0
        self._advised: dict[int, Sequence[tuple[int, int, str]]] = {}
        self._schedule = Schedule(context.attrs, 0)
        self._opened = False
        self._running = False
        self._stopping = False
        self._after_window = False
        self._resting = False

    @property
    def attrs(self) -> Attrs:
        return self.context.attrs

    @property
    def checks(self) -> int:
        return self.context.watch.checks

    @property
    def skipped(self) -> int:
        return self.context.watch.skipped

    @property
    def kdamond_cpu_ns(self) -> None:
        """This kdamond is a thread of this process, whose CPU time has it already."""

    @property
    def target_cost_ns(self) -> int:
        return self.context.watch.target_cost_ns

    @property
    def longest_pause_ns(self) -> int:
        return self.context.watch.longest_pause_ns

    def charge(self, cpu_ns: Callable[[], int]) -> None:
        """Before the start: set the function that returns the CPU time for the budget, if this process does more than
        monitor."""
        self._cpu_ns = cpu_ns

    def valid(self) -> bool:
        return self.context.valid()

    def open(self) -> None:
        """Find the targets. `run` does it as well; call it before to get the errors of targets that cannot be
        watched."""
        self._opened = True
        try:
            self._update()
        except Exception:
            self.close()
            raise

    def run(self) -> None:
        """Monitor until stopped or no target is left (docs/damon.md#iteration).

        Raises PauseTooLong, or what else keeps a target from being looked at, where none can be any more.
        """
        context = self.context
        watch, schemes = context.watch, context.schemes
        self._schedule = schedule = Schedule(context.attrs, self._clock.now_ns())
        self._running = True
        try:
            if not self._opened:
                self.open()
            if schemes is not None:
                schemes.start(context.attrs, self.bus.emit)
            self._begin_tuning()
            while not self._stopping and context.valid():
                if schemes is not None and not self._needed(schemes):
                    break
                # Prepare, sleep, check: one stretch of ticks, up to the next thing that is due.
                ticks = schedule.ticks_to_next(None if schemes is None else schemes.next_due())
                passed = watch.observe(context.targets, schedule.begin_ns, ticks, schedule.tick_ns)
                schedule.passed(passed, self._clock.now_ns())
                aggregated = schedule.aggregation_due()
                if aggregated:
                    watch.finish_aggregation(context.targets)
                self._serve_requests()
                if schemes is not None:
                    # Before the snapshot, as in the kernel: it shows ages that schemes began anew.
                    watch.acted(schemes.apply(context.targets, schedule.sis, context.ops.valid))
                if aggregated:
                    # Published before tuning rescales the counts: a snapshot speaks of its own window.
                    self._publish()
                    self._tune()
                if schemes is not None:
                    # Acting takes time. Making up for the ticks missed in that time would see nothing.
                    schedule.passed(0, self._clock.now_ns())
                if aggregated:
                    schedule.keep_length(self._clock.now_ns())
                    schedule.begin_aggregation()
                    watch.begin_aggregation(context.targets)
                if schedule.update_due():
                    schedule.updated()
                    self._update()
                elif aggregated and context.ops.follow_forks(context.targets, self.bus.emit):
                    self._adopt()
            self._finish()
        except PauseTooLong as refused:
            self.bus.emit("note", {"text": str(refused)})  # what was seen until then is all there is
            raise
        finally:
            self._running = False
            if schemes is not None:
                schemes.finish()
            self._serve_last_requests()
            self.context.ops.finish(self.context.targets, self.bus.emit)
            self.close()

    def stop(self, *, after_window: bool = False) -> None:
        """From any thread: end within one tick. `join` waits for it."""
        self._after_window |= after_window
        self._stopping = True
        self.wake()

    def close(self) -> None:
        """Release targets and files. Idempotent; only before `start`, or after the end."""
        if self.context.schemes is not None:
            self.context.schemes.close()
        self.context.ops.close()
        self.context.watch.close()

    def change_attrs(self, attrs: Attrs, why: str) -> None:
        """Take new attributes now. Only before the start, or from inside a request."""
        old = self.context.attrs
        self.context.attrs = attrs
        self.bus.emit("attrs", {**attrs.as_dict(), "why": why})
        if self._running:
            aggregated = self._schedule.aggregation_due()
            self._schedule.change(attrs)
            if self.context.schemes is not None:
                self.context.schemes.change(attrs, self._schedule.sis)
            self.context.watch.change(self.context.targets, old, attrs, aggregated=aggregated)

    def end_tuning(self) -> None:
        """Keep the intervals as they are from now on. Only before the start, or from inside a request."""
        self._tuner = None

    def wake(self) -> None:
        self.context.watch.interrupt()
        if self._resting:
            self._clock.interrupt()

    def _needed(self, schemes: Acting) -> bool:
        """Wait until some scheme is active (docs/damon.md#iteration), serving requests; False when it is over."""
        skip_time = False
        while wait_us := schemes.wait_us():
            skip_time = self._resting = True
            end_ns = self._clock.now_ns() + wait_us * 1_000
            while self._clock.now_ns() < end_ns:
                if self._serve_requests():
                    break  # which may have changed what is waited for
                if self._stopping or not self.context.valid():
                    return False
                self._clock.wait_until(min(end_ns, self._clock.now_ns() + INACTIVE_POLL_NS))
        if skip_time:
            self._resting = False
            self.context.watch.discard_window()
            self._schedule.skip_time(self._clock.now_ns())
        return True

    def _update(self) -> None:
        self.context.ops.update(self.context.targets, self.bus.emit)
        self._adopt()

    def _adopt(self) -> None:
        self.context.watch.adopt(self.context.targets, self.context.attrs)
        self._tell_news()

    def _tell_news(self) -> None:
        for text in self.context.watch.news():
            self.bus.emit("note", {"text": text})

    def _tune(self) -> None:
        now = self._cpu_ns() + self.context.watch.target_cost_ns
        spent, self._cpu_before = now - self._cpu_before, now
        if self._tuner is not None:
            self._take(self._tuner.tune(self.context, spent, self.context.attrs.aggr_us * 1_000))

    def _begin_tuning(self) -> None:
        if self._tuner is not None:
            self._take(self._tuner.begin(self.context, self._cpu_ns))
        self._cpu_before = self._cpu_ns() + self.context.watch.target_cost_ns

    def _take(self, tuned: TunedAttrs | None) -> None:
        if tuned is None:
            return
        if tuned.attrs is None:
            self.bus.emit("note", {"text": tuned.why})
        else:
            self.change_attrs(tuned.attrs, tuned.why)

    def _publish(self) -> None:
        begin, end = self._schedule.aggregation_begin_ns, self._schedule.begin_ns
        for target in self.context.targets:
            window = self.context.watch.window(target, begin, end)
            if window is not None:
                target.snapshots += 1
                self._tell_advice(target)
                self.bus.snapshot(self._snapshot(target, *window))
        self._seq += 1
        self._tell_news()

    def _tell_advice(self, target: Target) -> None:
        advised = self.context.watch.advised(target)
        if advised is not None and advised != self._advised.get(target.index, []):
            self._advised[target.index] = advised
            self.bus.emit("advice", {"target": target.index, "mappings": [list(one) for one in advised]})

    def _snapshot(self, target: Target, begin_ns: int, end_ns: int) -> Snapshot:
        columns = target.columns
        resident = self.context.watch.resident(target)
        touched = columns.touched
        if resident is not None:
            # An estimate cannot exceed what is there; the residency may be one update old.
            touched = array("Q", map(min, touched, resident))
        bounds = self._touched_bounds(target, sum(touched), resident)
        return Snapshot(
            target=target.index,
            pid=target.pid,
            seq=self._seq,
            begin_ns=begin_ns,
            end_ns=end_ns,
            sample_ns=self._schedule.tick_ns,
            ticks=self.context.attrs.max_nr_accesses,
            starts=columns.starts,
            ends=columns.ends,
            nr_accesses=columns.nr_accesses,
            ages=columns.ages,
            touched=touched,
            resident=None if resident is None else array("Q", resident),
            sharing=_sharing(*known) if (known := self.context.watch.shared(target)) is not None else None,
            rates=self.context.watch.rates(target),
            **({} if bounds is None else bounds._asdict()),
        )

    def _touched_bounds(
        self, target: Target, touched: int, resident: Sequence[int] | None
    ) -> TouchedBounds | None:
        """As the watch has them, of which there are no more than are there."""
        bounds = self.context.watch.touched_bounds(target)
        if bounds is None:
            return None
        there = target.covered_bytes if resident is None else sum(resident)
        low, high = min(bounds.touched_low, touched), max(min(bounds.touched_high, there), touched)
        return bounds._replace(touched_low=low, touched_high=high)

    def _finish(self) -> None:
        """What the aggregation that was cut short has seen, where that is an answer and not a fragment."""
        passed_ns = self._clock.now_ns() - self._schedule.aggregation_begin_ns
        whole_ns = self.context.attrs.aggr_us * 1_000
        watch = self.context.watch
        fragment = watch.answers_early and not self._after_window
        if fragment and (self._seq == 0 or passed_ns >= whole_ns // 2):
            watch.finish_aggregation(self.context.targets)
            self._publish()
        if not all(self.context.ops.valid(target) for target in self.context.targets):
            with suppress(CannotError):  # only to say which targets have ended
                self.context.ops.update(self.context.targets, self.bus.emit)


_UNKNOWN = (None,) * 6


def _sharing(known: Sequence[Shared | None], same_as: int | None) -> Sharing:
    return Sharing.of(zip(*(one or _UNKNOWN for one in known), strict=True), same_as)
