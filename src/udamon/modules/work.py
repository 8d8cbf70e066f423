"""Schemes put to work on a kdamond, and what is counted beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from udamon.core.attrs import Attrs
from udamon.core.scheme import AccessPattern, Scheme, SchemeStatus
from udamon.engine.acting import PatternsFor
from udamon.engine.kdamond import Kdamond
from udamon.errors import NotSupported
from udamon.model import Event, Snapshot
from udamon.modules.dry_run import DryActor, PassWatch
from udamon.modules.held import HeldSchemes
from udamon.ops.acting.spared import LEAVE_ALL, Spared
from udamon.ops.acting.vaddr import VaddrActor
from udamon.ops.base import Actor
from udamon.ops.metrics import MachineMetrics
from udamon.ops.refaults import Refaults
from udamon.ops.suffering import FaultCounter, stalls
from udamon.schemes import Schemes
from udamon.schemes.config_pattern import WantedScheme
from udamon.schemes.governed import GovernedActor, reading
from udamon.schemes.governor import Governor, Limits

LOOK_NS = 1_000_000_000
LOOK_SHARE = 0.002
"""Looking for refaults may take this share of a CPU; it is done at most once a second."""


class Work:
    """What schemes do on a kdamond that has not started yet; the properties are the account so far.

    `cgroups` (name to directory) are watched for memory pressure beside the system. Raises NotSupported where this
    cannot be done here.
    """

    def __init__(
        self,
        engine: Kdamond,
        wanted: Sequence[WantedScheme],
        *,
        dry: bool = False,
        spared: Spared = LEAVE_ALL,
        limits: Limits = Limits(),  # noqa: B008 (immutable)
        cgroups: Mapping[str, Path] = {},
    ) -> None:
        self.passes = PassWatch()
        self._engine = engine
        self._metrics = MachineMetrics()
        self._refaults: Refaults | None = None
        self._acted_on: VaddrActor | None = None
        self._dry: DryActor | None = None
        self._held: HeldSchemes | None = None
        if dry:
            self._dry = DryActor()
            self._schemes = self._install(wanted, self._dry)
            engine.context.schemes = self._schemes
        else:
            actor = self._governed(self._actor(engine.context.ops.name, spared), limits, cgroups)
            self._schemes = self._install(wanted, actor)
            engine.context.schemes = self._held = HeldSchemes(self._schemes, actor.look)

    def _install(self, wanted: Sequence[WantedScheme], actor: Actor) -> Schemes:
        return Schemes(
            schemes_at(wanted, self._engine.attrs),
            actor,
            self._metrics,
            time.monotonic_ns,
            patterns_for=patterns_for(wanted),
            observers=[self.passes],
        )

    def _actor(self, ops: str, spared: Spared) -> Actor:
        if ops not in ("vaddr", "fvaddr"):
            raise NotSupported(f"{ops} cannot be acted on; make it a dry run, or give processes.")
        self._refaults = Refaults()
        self._engine.bus.subscribe(RefaultWatch(self._refaults))
        self._acted_on = VaddrActor(spared=spared, refaults=self._refaults)
        return self._acted_on

    def _governed(self, actor: Actor, limits: Limits, cgroups: Mapping[str, Path]) -> GovernedActor:
        def tell(text: str) -> None:
            self._engine.bus.emit("note", {"text": text})

        read = reading(
            time.monotonic_ns,
            lambda: self._engine.context.targets,
            FaultCounter().count,
            lambda: stalls(cgroups),
        )
        return GovernedActor(actor, Governor(limits), read, time.monotonic_ns, tell)

    def commit(self, wanted: Sequence[WantedScheme]) -> None:
        """Go on with these schemes. From any other thread, while it runs. Raises NotSupported or CannotError."""
        engine, schemes = self._engine, self._schemes
        engine.ask(lambda: schemes.commit(schemes_at(wanted, engine.attrs), patterns_for(wanted)))

    def statuses(self) -> list[SchemeStatus]:
        """How each scheme is doing. From any other thread, while it runs; or after its end."""
        return self._schemes.status()

    @property
    def refaulted(self) -> int | None:
        """Bytes of what was moved that came back within a minute; None where nothing is moved."""
        return None if self._refaults is None else self._refaults.bytes

    @property
    def left(self) -> Mapping[str, int]:
        """Bytes that were left alone, by reason."""
        return {} if self._acted_on is None else self._acted_on.left

    @property
    def resident(self) -> int | None:
        """Of what a dry run would have tried, bytes in memory."""
        return None if self._dry is None else self._dry.resident_bytes

    @property
    def held(self) -> str:
        """What keeps all schemes from acting; "" when nothing does."""
        return "" if self._held is None else self._held.why

    def end(self) -> None:
        """The engine has ended: look for refaults a last time, and end what metrics started. Idempotent."""
        if self._refaults is not None:
            self._refaults.look()
        self._metrics.close()


class RefaultWatch:
    """Subscribes to a monitor, so that refaults are looked for on the kdamond's own thread."""

    def __init__(self, refaults: Refaults, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._refaults = refaults
        self._now_ns = now_ns
        self._next_ns = now_ns() + LOOK_NS

    def snapshot(self, snapshot: Snapshot) -> None:
        began = self._now_ns()
        if began >= self._next_ns:
            self._refaults.look()
            now = self._now_ns()
            self._next_ns = now + max(LOOK_NS, int((now - began) / LOOK_SHARE))

    def event(self, event: Event) -> None:
        """What was moved of a target that ended is of no more interest."""


def schemes_at(wanted: Sequence[WantedScheme], attrs: Attrs) -> list[Scheme]:
    return [scheme.at(attrs) for scheme in wanted]


def patterns_for(wanted: Sequence[WantedScheme]) -> PatternsFor:
    """Percent and seconds follow the attributes."""

    def patterns(attrs: Attrs) -> list[AccessPattern]:
        return [scheme.at(attrs).access_pattern for scheme in wanted]

    return patterns
