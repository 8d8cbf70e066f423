"""Schemes put to work on a kdamond, and what is counted beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from udamon.core.attrs import Attrs
from udamon.core.scheme import AccessPattern, Action, Scheme, SchemeStatus
from udamon.engine.acting import PatternsFor
from udamon.engine.kdamond import Kdamond
from udamon.model import Event, Snapshot
from udamon.modules.action_backends import ActionBackend, WorkTotals
from udamon.modules.dry_run import PassWatch
from udamon.modules.fed_goals import as_user_input
from udamon.modules.held import HeldSchemes
from udamon.modules.resident_sizes import ResidentSizes
from udamon.modules.short_ages import ShortAges
from udamon.scheme_metrics.fault_counter import FaultCounter, stalls
from udamon.scheme_metrics.machine import MachineMetrics
from udamon.schemes import Schemes
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.governed import GovernedActor, reading
from udamon.schemes.governor import Governor, PressureLimits

LOOK_NS = 1_000_000_000
LOOK_SHARE = 0.002
"""Looking for refaults may take this share of a CPU; it is done at most once a second."""


class Work:
    """What schemes do by `backend` on a kdamond that has not started yet; the properties are the account so far.

    `cgroups` (name to directory) are watched for memory pressure beside the system. Raises NotSupported where this
    cannot be done here.
    """

    def __init__(
        self,
        engine: Kdamond,
        wanted: Sequence[WantedScheme],
        backend: ActionBackend,
        *,
        limits: PressureLimits = PressureLimits(),  # noqa: B008 (immutable)
        cgroups: Mapping[str, Path] = {},
    ) -> None:
        self.passes = PassWatch()
        self.removed: list[SchemeStatus] = []
        self.backend = backend
        self._engine = engine
        self._metrics = MachineMetrics()
        self._check_goals(wanted)
        actor = self._governed(limits, cgroups)
        self._schemes = Schemes(
            schemes_at(wanted, engine.attrs),
            actor,
            self._metrics,
            time.monotonic_ns,
            patterns_for=patterns_for(wanted),
            observers=[self.passes],
            sizes=ResidentSizes(engine.context.watch.resident),
            keep_up=True,
        )
        self._held = HeldSchemes(self._schemes, actor.look)
        engine.context.schemes = self._held
        self._short_ages = ShortAges(wanted, engine.bus.emit)
        engine.bus.subscribe(self._short_ages)
        engine.bus.subscribe(RefaultWatch(backend))

    def _governed(self, limits: PressureLimits, cgroups: Mapping[str, Path]) -> GovernedActor:
        def tell(text: str) -> None:
            self._engine.bus.emit("note", {"text": text})

        read = reading(
            time.monotonic_ns,
            lambda: self._engine.context.targets,
            FaultCounter().count,
            lambda: stalls(cgroups),
        )
        return GovernedActor(self.backend.actor, Governor(limits), read, time.monotonic_ns, tell)

    def _check_goals(self, wanted: Sequence[WantedScheme]) -> None:
        for scheme in schemes_at(wanted, self._engine.attrs):
            for goal in scheme.quotas.goals:
                self._metrics.require(goal)

    def commit(self, wanted: Sequence[WantedScheme]) -> None:
        """Go on with these schemes. From any other thread, while it runs. Raises NotSupported or CannotError."""
        self._check_goals(wanted)
        self._engine.ask(lambda: self._commit(wanted))
        self._short_ages.wanted = wanted

    def _commit(self, wanted: Sequence[WantedScheme]) -> None:
        schemes = self._schemes
        removed = schemes.status()[len(wanted) :]
        schemes.commit(schemes_at(wanted, self._engine.attrs), patterns_for(wanted))
        self.removed += removed
        self.passes.keep(len(wanted))

    def statuses(self) -> list[SchemeStatus]:
        """How each scheme is doing. From any other thread, while it runs; or after its end."""
        return self._schemes.status()

    @property
    def held(self) -> str:
        """What keeps all schemes from acting; "" when nothing does."""
        return self._held.why

    def keep_up(self) -> None:
        """The kdamond's own thread does all there is."""

    def end(self) -> None:
        """The engine has ended: look for refaults a last time, and end what metrics started. Idempotent."""
        self.backend.look()
        self._metrics.close()


class AnyWork(Protocol):
    """What Work and kernel_work.KernelWork have in common."""

    passes: PassWatch
    removed: list[SchemeStatus]
    """Schemes that a commit has left out, as they were then: what they did is done."""

    @property
    def backend(self) -> WorkTotals: ...

    @property
    def held(self) -> str: ...

    def statuses(self) -> list[SchemeStatus]: ...

    def commit(self, wanted: Sequence[WantedScheme]) -> None: ...

    def keep_up(self) -> None:
        """Called some times a second, on another thread than the engine's."""

    def end(self) -> None: ...


class RefaultWatch:
    """Subscribes to a monitor, so that refaults are looked for on the kdamond's own thread."""

    def __init__(self, backend: ActionBackend, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._backend = backend
        self._now_ns = now_ns
        self._next_ns = now_ns() + LOOK_NS

    def snapshot(self, snapshot: Snapshot) -> None:
        began = self._now_ns()
        if began >= self._next_ns:
            self._backend.look()
            now = self._now_ns()
            self._next_ns = now + max(LOOK_NS, int((now - began) / LOOK_SHARE))

    def event(self, event: Event) -> None:
        """Forget the moved memory of a target that has ended."""


def schemes_at(wanted: Sequence[WantedScheme], attrs: Attrs) -> list[Scheme]:
    """The schemes with these attributes."""
    return [scheme.at(attrs) for scheme in wanted]


def schemes_for_kernel(wanted: Sequence[WantedScheme], attrs: Attrs, *, dry: bool) -> list[Scheme]:
    """Goals of udamon's own are fed in (modules.kernel_work); in a dry run schemes only count."""
    schemes = list(map(as_user_input, schemes_at(wanted, attrs)))
    return [replace(scheme, action=Action.STAT) for scheme in schemes] if dry else schemes


def patterns_for(wanted: Sequence[WantedScheme]) -> PatternsFor:
    """Percent and seconds follow the attributes."""

    def patterns(attrs: Attrs) -> list[AccessPattern]:
        return [scheme.at(attrs).access_pattern for scheme in wanted]

    return patterns
