"""The engine that drives in-kernel DAMON: the kernel watches and decides, this sets it up and tells what it found.

Which processes are targets, their mappings and their locks come from the same operations sets as in user space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from udamon.core.attrs import Attrs
from udamon.core.clock import Clock
from udamon.core.scheme import Scheme
from udamon.core.target import Target
from udamon.engine.acting import PatternsFor, Totals
from udamon.engine.base import Worker
from udamon.engine.bus import Bus
from udamon.engine.interval_stretch import IntervalStretch
from udamon.engine.kernel.context import KernelContext
from udamon.engine.kernel.rows import Aggregated, KernelTuned
from udamon.engine.kernel.schemes import KernelSchemes
from udamon.engine.kernel.windows import KernelWindows
from udamon.engine.resident import Residents
from udamon.errors import CannotError, NotSupported, TargetGone
from udamon.linux import cpu_time
from udamon.linux.roots import Roots
from udamon.ops.base import OperationsSet

SETTLE_AGGREGATIONS = 2
"""After the kernel's list of targets was changed it is left alone this long, so that aggregations get done."""


class KernelEngine(Worker):
    """Yields the kernel's snapshots of the targets of `ops`; see engine.base.Engine.

    `source` is "tracepoint", "tried_regions" or "auto". With a `budget` the intervals follow the CPU time. `schemes`
    are the kernel's business from then on; ask `schemes` of this how they do.
    """

    def __init__(
        self,
        ops: OperationsSet,
        attrs: Attrs,
        clock: Clock,
        *,
        budget: IntervalStretch | None = None,
        residents: Residents | None = None,
        source: str = "auto",
        schemes: Sequence[Scheme] = (),
        patterns_for: PatternsFor | None = None,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        cpu_ns: Callable[[], int] = cpu_time.process_ns,
    ) -> None:
        super().__init__("udamon.kernel")
        self.bus = Bus(clock.now_ns)
        self.targets: list[Target] = []
        self._ops = ops
        self._windows = KernelWindows(attrs if budget is None else budget.begin(attrs))
        self._residents = residents
        self._clock = clock
        self._budget = budget
        self._cpu_ns = cpu_ns
        self._kernel = KernelContext(ops.name, roots, source, schemes)
        self.schemes.patterns_for = patterns_for
        self._totals = Totals()
        self._stopping = False
        self._after_window = False
        self._next_read_ns = self._next_update_ns = self._settled_ns = 0
        self._lost = 0

    @property
    def attrs(self) -> Attrs:
        return self._windows.attrs

    @property
    def schemes(self) -> KernelSchemes:
        """What the kernel does about it: implements engine.acting.SchemesControl."""
        return self._kernel.schemes

    @property
    def checks(self) -> int:
        """Estimated: see Windows."""
        return self._windows.checks

    @property
    def skipped(self) -> int:
        """Where snapshots were lost, a note says so: how many they were is not known."""
        return 0

    @property
    def kdamond_cpu_ns(self) -> int:
        return self._kernel.cpu_ns

    @property
    def target_cost_ns(self) -> None:
        """The kernel does not count what it does to targets."""

    @property
    def longest_pause_ns(self) -> None:
        """The kernel does not count that, either."""

    def valid(self) -> bool:
        return any(self._ops.valid(target) for target in self.targets) or self._ops.expecting()

    def open(self) -> None:
        """Find the targets, claim DAMON, and turn it on. Raises UdamonError, with everything as it was found."""
        try:
            self._update()
            wanted = self.attrs.goal
            self.schemes.start(self.attrs)
            self._windows.change(self._kernel.open(self.attrs))
            if wanted.aggrs and not self.attrs.goal.aggrs and self._budget is None:
                raise NotSupported(
                    "this kernel's DAMON does not tune its intervals by a goal (6.15 and later do); leave "
                    "--intervals-goal out, or use --via idle."
                )
            if self.targets:
                self._kernel.start(self.targets)
        except BaseException as error:
            gone = isinstance(error, CannotError) and bool(self.targets) and not self.valid()
            with suppress(CannotError):
                self.close()
            if gone:
                raise TargetGone("the process ended before in-kernel DAMON could watch it.") from error
            raise

    def run(self) -> None:
        """Until stopped or no target is left: wait, publish what the kernel found, follow the targets."""
        try:
            while not self._stopping and self.valid():
                self._clock.wait_until(min(self._next_read_ns, self._next_update_ns))
                self._serve_requests()
                now, on = self._clock.now_ns(), self._kernel.on
                if now >= self._next_read_ns or not on:
                    self._publish()
                    self._tune()
                if now >= self._next_update_ns or not on:
                    self._follow()
                self._tell(at_last=not on)
            self._tell(at_last=True)
            self._kernel.turn_off()
            self._publish()
            if not all(self._ops.valid(target) for target in self.targets):
                with suppress(CannotError):  # only to say which targets have ended
                    self._ops.update(self.targets, self.bus.emit)
        except OSError as error:
            raise CannotError(
                f"in-kernel DAMON does not answer as it should: {error}; udamon doctor says how it is."
            ) from error
        finally:
            self._serve_last_requests()
            self._ops.finish(self.targets, self.bus.emit)
            self.close()

    def stop(self, *, after_window: bool = False) -> None:
        self._after_window |= after_window
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        self._clock.interrupt()

    def close(self) -> None:
        try:
            self._kernel.close()
        finally:
            self._ops.close()

    def _update(self) -> None:
        self._ops.update(self.targets, self.bus.emit)
        if self._residents is not None:
            self._residents.refresh(self.targets)
        self._next_update_ns = self._clock.now_ns() + self.attrs.update_us * 1_000

    def _follow(self) -> None:
        """Ask who came and went, and tell the kernel. Raises CannotError when somebody took DAMON from us."""
        self._update()
        if not self._kernel.ours:
            raise CannotError("another program has set in-kernel DAMON up anew, so this recording ends here.")
        watched = [target for target in self.targets if target in self._kernel.positions]
        if not self._kernel.on and any(self._ops.valid(target) for target in watched):
            raise CannotError("another program has turned in-kernel DAMON off, so this recording ends here.")
        if self._clock.now_ns() < self._settled_ns:
            return
        before = self._kernel.positions
        try:
            note = self._kernel.follow(self.targets)
        except CannotError:
            if all(self._ops.valid(target) for target in self.targets):
                raise
            return  # one of them ended just now: the next update leaves it out
        if note is not None:
            self.bus.emit("note", {"text": note})
        if self._kernel.positions != before:
            self._settled_ns = self._clock.now_ns() + SETTLE_AGGREGATIONS * self.attrs.aggr_us * 1_000

    def _publish(self) -> None:
        if self._after_window:
            return
        for found in self._kernel.source.read():
            if found.time_ns < self._kernel.valid_from_ns:
                continue  # while the kernel was told of changes: which of them held cannot be known
            if isinstance(found, KernelTuned):
                self._windows.tune(found)
                continue
            if found.first:
                if self._after_window:
                    return  # one read may bring several windows
                self._begin(found)
            target = self._kernel.target_at(found.position)
            if target in self.targets:
                target.snapshots += 1
                self.bus.snapshot(self._windows.snapshot(found, target, target.resident))
        self._next_read_ns = self._clock.now_ns() + self._kernel.source.pause_ns(self.attrs)
        lost, self._lost = self._kernel.source.lost - self._lost, self._kernel.source.lost
        if lost:
            self.bus.emit("note", {"text": "snapshots were lost: the kernel was faster than udamon."})

    def _tell(self, *, at_last: bool = False) -> None:
        now = self._clock.now_ns()
        if len(self.schemes) and (at_last or self._totals.due(now)):
            self._totals.tell(self.schemes.status(), now, self.bus.emit)

    def _begin(self, found: Aggregated) -> None:
        source = self._kernel.source
        gapless = source.gapless and source.lost == self._lost
        if self._windows.begin(found, self._kernel.valid_from_ns, gapless=gapless):
            self.bus.emit("attrs", {**self.attrs.as_dict(), "why": "intervals goal"})
            self.schemes.change(self.attrs)

    def _tune(self) -> None:
        if self._budget is None or not self._kernel.on:
            return
        spent = self._cpu_ns() + self.kdamond_cpu_ns
        attrs = self._budget.tune(self.attrs, self._clock.now_ns(), spent)
        if attrs is None:
            return
        self._publish()
        try:
            self._kernel.change(attrs)
        except OSError:
            return  # it ended just now: the next look says so
        self._windows.change(attrs)
        self.bus.emit("attrs", {**attrs.as_dict(), "why": self._budget.why})
        self.schemes.change(attrs)
