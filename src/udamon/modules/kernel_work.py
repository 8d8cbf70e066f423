"""Schemes that in-kernel DAMON was handed, with the same account as modules.work as far as the kernel tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from udamon.core.scheme import SchemeStats, SchemeStatus
from udamon.engine.kernel.engine import KernelEngine
from udamon.errors import CannotError
from udamon.model import Event, Snapshot
from udamon.modules.dry_run import PassWatch
from udamon.modules.fed_goals import FedGoals, as_user_input
from udamon.modules.short_ages import ShortAges
from udamon.modules.work import patterns_for, schemes_at, schemes_for_kernel
from udamon.scheme_metrics.fault_counter import FaultCounter, stalls
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.governed import Read, reading
from udamon.schemes.governor import Governor, PressureLimits

_COUNTED = tuple(field.name for field in fields(SchemeStats))


class KernelBackend:
    """In-kernel DAMON acts (modules.action_backends.ActionBackend). It tells what it advised, and neither what moved
    nor what came back."""

    refaulted = None
    left: Mapping[str, int] = {}
    resident = None


class KernelWork:
    """What schemes do on in-kernel DAMON, from before its start; see modules.work.Work.

    The governor runs in `keep_up`, several times a second, on another thread than the engine. While it
    has stopped acting, the kernel has the schemes with the action `stat`. Goals that the kernel cannot read are fed to
    it then, too. Raises NotSupported for one that cannot be read here.
    """

    def __init__(
        self,
        engine: KernelEngine,
        wanted: Sequence[WantedScheme],
        *,
        dry: bool = False,
        limits: PressureLimits = PressureLimits(),  # noqa: B008 (immutable)
        cgroups: Mapping[str, Path] = {},
        now_ns: Callable[[], int] = time.monotonic_ns,
        read: Read | None = None,
    ) -> None:
        """`read` returns the memory pressure; default: that of the targets and of `cgroups`, from the kernel's
        files."""
        self.passes = PassWatch()
        self.removed: list[SchemeStatus] = []
        self.backend = KernelBackend()
        self._engine = engine
        self._wanted = list(wanted)
        self._dry = dry
        self._governor = Governor(limits)
        self._fed = FedGoals(schemes_at(wanted, engine.attrs), now_ns)
        self._now_ns = now_ns
        self._read: Read = read or reading(
            now_ns, lambda: engine.targets, FaultCounter().count, lambda: stalls(cgroups)
        )
        self._told = [
            SchemeStatus(index, scheme.at(engine.attrs), True, "", 0, None, SchemeStats())
            for index, scheme in enumerate(wanted)
        ]
        self._short_ages = ShortAges(wanted, engine.bus.emit)
        engine.bus.subscribe(self._short_ages)
        engine.bus.subscribe(self)

    @property
    def held(self) -> str:
        """What keeps all schemes from acting; "" when nothing does."""
        return self._governor.why

    def statuses(self) -> list[SchemeStatus]:
        """As the kernel told them last, within the last second or so."""
        return self._told

    def commit(self, wanted: Sequence[WantedScheme]) -> None:
        """Go on with these schemes. From any other thread, while it runs. Raises NotSupported or CannotError."""
        self._fed.commit(schemes_at(wanted, self._engine.attrs))
        self._hand_over(wanted, held=bool(self.held))
        self.removed += self._told[len(wanted) :]
        del self._told[len(wanted) :]
        self.passes.keep(len(wanted))
        self._wanted = self._short_ages.wanted = list(wanted)

    def keep_up(self) -> None:
        """Let the governor look, and tell the kernel if it has another opinion, or a goal another number. Raises
        CannotError."""
        try:
            if self._governor.wants(self._now_ns()):
                self._govern()
            if self._fed.look():
                self._feed()
        except CannotError:
            if not self._engine.join(0):  # else it has ended just now, so nothing acts any more
                raise

    def _govern(self) -> None:
        before = bool(self.held)
        self._governor.observe(self._read())
        if bool(self.held) != before:
            self._hand_over(self._wanted, held=bool(self.held))
            self._engine.bus.emit("note", {"text": f"{self.held or 'the governor lets schemes act again'}."})

    def _feed(self) -> None:
        engine, numbers = self._engine, self._fed.numbers
        schemes = schemes_at(self._wanted, engine.attrs)
        engine.ask(lambda: engine.schemes.feed([as_user_input(scheme, numbers) for scheme in schemes]))

    def end(self) -> None:
        """The kernel has given everything back already. Idempotent."""
        self._fed.close()

    def _hand_over(self, wanted: Sequence[WantedScheme], *, held: bool) -> None:
        engine, dry = self._engine, held or self._dry
        engine.ask(
            lambda: engine.schemes.commit(
                schemes_for_kernel(wanted, engine.attrs, dry=dry), patterns_for(wanted)
            )
        )

    def snapshot(self, snapshot: Snapshot) -> None:
        """What the kernel saw is others' business."""

    def event(self, event: Event) -> None:
        if event.name == "schemes":
            rows = event.data["schemes"]
            assert isinstance(rows, list)
            self._told = [self._status(row) for row in rows]

    def _status(self, row: Mapping[str, object]) -> SchemeStatus:
        index, esz = row["scheme"], row["effective_bytes"]
        assert isinstance(index, int)
        assert isinstance(esz, int)
        stats = SchemeStats(**{name: row[name] for name in _COUNTED})  # type: ignore[arg-type]
        scheme = self._wanted[index].at(self._engine.attrs)
        return SchemeStatus(index, scheme, row["active"] is True, str(row["why"]), esz, None, stats)
