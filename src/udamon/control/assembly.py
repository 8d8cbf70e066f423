"""From a plan to a kdamond in user space: which primitive looks, who acts, and what actions nobody here can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from random import Random
from typing import TYPE_CHECKING

from udamon.acting.base import Actor, Applied
from udamon.assembly import parts
from udamon.control.pausing import OptionalIntervalsGoal, Pausing
from udamon.control.plan import ContextPlan
from udamon.control.running import Running
from udamon.control.spaces import ContextSpaces, opener
from udamon.control.tracepoints import Listener, Tracepoints
from udamon.core.clock import Clock, MonotonicClock
from udamon.core.policies import make_policy
from udamon.core.scheme import ActionRequest
from udamon.core.target import Target
from udamon.engine.watch import Watch
from udamon.errors import UsageError
from udamon.linux.roots import Roots
from udamon.model import CENSUSES, Range
from udamon.ops.base import Sampler
from udamon.ops.opening import open_sampler
from udamon.scheme_metrics.machine import MachineMetrics
from udamon.schemes.schemes import Schemes

if TYPE_CHECKING:
    from udamon.workload.truth import Truth

NOTHING = Applied(0, 0)


class TolerantActor:
    """Accepts every request, as the kernel does: one that cannot be carried out applies 0 bytes
    (docs/damon.md#actions)."""

    def __init__(self, actor: Actor | None, also_close: Callable[[], None] = lambda: None) -> None:
        """`also_close` is called at the end, too."""
        self._actor = actor
        self._also_close = also_close
        self._undone: dict[ActionRequest, bool] = {}

    def missing(self, request: ActionRequest) -> str | None:
        return None

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        if self._actor is None:
            return NOTHING
        undone = self._undone.get(request)
        if undone is None:
            undone = self._undone[request] = self._actor.missing(request) is not None
        return NOTHING if undone else self._actor.apply(target, start, end, request)

    def close(self) -> None:
        if self._actor is not None:
            self._actor.close()
        self._also_close()


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes kdamonds that look via `via`. `truth` is what sim simulates; `act` False leaves all memory alone."""

    via: str
    make_clock: Callable[[], Clock] = MonotonicClock
    """Each kdamond waits by a clock of its own: an interrupt is meant for one of them."""
    policy: str = "damon"
    same_cpu: bool = False
    act: bool = True
    truth: Truth | None = None
    listener: Listener | None = None
    """Receives the tracepoints."""
    roots: Roots = Roots()  # noqa: RUF009 (immutable)
    random: Random = field(default_factory=Random)

    @property
    def operations(self) -> tuple[str, ...]:
        """Those that avail_operations names."""
        return ("vaddr", "fvaddr") if self.via in CENSUSES else ("vaddr", "fvaddr", "paddr")

    def __call__(self, plan: ContextPlan, number: int) -> Running:
        """Raises UdamonError for targets that cannot be watched, and leaves nothing open then."""
        if plan.operations not in self.operations:
            raise UsageError(
                f"{self.via} cannot watch {plan.operations}; use one of {', '.join(self.operations)}."
            )
        clock = self.make_clock()
        spaces = ContextSpaces(
            plan.operations, plan.targets, opener(plan.operations, self.roots, self._simulated())
        )
        try:
            watch = self._watch(spaces, plan, clock)
            metrics = MachineMetrics(self.roots)
            schemes = Schemes(
                plan.schemes, TolerantActor(self._actor(plan), metrics.close), metrics, clock.now_ns
            )
        except Exception:
            spaces.close()
            raise
        pausing = Pausing(schemes, paused=plan.pause)
        kdamond = parts.kdamond(
            spaces,
            watch,
            plan.attrs,
            clock,
            tuner=OptionalIntervalsGoal(),
            schemes=pausing,
            name=f"kdamond.{number}",
        )
        running = Running(kdamond, spaces, schemes, pausing, plan)
        if self.listener is not None:
            heard = Tracepoints(
                self.listener, kdamond.name, lambda: running.pid, clock.now_ns, spaces.position
            )
            kdamond.bus.subscribe(heard)
            schemes.observers.append(heard)
        return running

    def load(self) -> None:
        """Import what kdamonds need, so that the first `on` does not wait for it: seconds on a slow machine."""
        if self.truth is not None:
            import udamon.ops.sim

            return
        import_module(f"udamon.ops.{self.via}")
        if self.via in CENSUSES:
            import udamon.engine.census_watch
        if self.act:
            import udamon.acting.paddr
            import udamon.acting.vaddr  # noqa: F401

    def _simulated(self) -> list[Range] | None:
        return None if self.truth is None else self.truth.layout.ranges()

    def _watch(self, spaces: ContextSpaces, plan: ContextPlan, clock: Clock) -> Watch:
        if self.via in CENSUSES:
            return parts.census_watch(self.via, spaces, plan.attrs, clock, self.roots)
        if self.truth is not None:
            sampler: Sampler = parts.sim_sampler(self.truth, clock, self.random.getrandbits(64))
        else:
            sampler = open_sampler(self.via, self.roots, same_cpu=self.same_cpu)
        return parts.sampled_watch(make_policy(self.policy, self.random), sampler, self.random)

    def _actor(self, plan: ContextPlan) -> Actor | None:
        if not self.act or self.truth is not None:
            return None
        return parts.actor(plan.operations, self.roots)
