"""What acts, and what is counted beside it: one kind for each thing that can be acted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from udamon.acting.base import Actor
from udamon.acting.exclusions import LEAVE_ALL, Exclusions
from udamon.acting.refaults import Refaults
from udamon.acting.sim import SimActor, SimMemory
from udamon.assembly import parts
from udamon.errors import NotSupported
from udamon.linux.roots import Roots
from udamon.modules.dry_run import DryActor


class WorkTotals(Protocol):
    """Counts beside the stats of schemes."""

    @property
    def refaulted(self) -> int | None:
        """Bytes of what was moved that came back within a minute; None where nobody looks."""

    @property
    def left(self) -> Mapping[str, int]:
        """Bytes in reach that were left alone, by reason."""

    @property
    def resident(self) -> int | None:
        """Of what a dry run would have tried, bytes in memory; None where that is not known."""


class ActionBackend(WorkTotals, Protocol):
    """An actor and its account."""

    @property
    def actor(self) -> Actor: ...

    def look(self) -> None:
        """Look for refaults. On the kdamond's thread, or when it has ended."""


class DryRunBackend:
    """Nothing is done."""

    refaulted = None
    left: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.actor = DryActor()

    @property
    def resident(self) -> int | None:
        return self.actor.resident_bytes

    def look(self) -> None:
        """Nothing was moved."""


class ProcessBackend:
    """On the memory of processes, from outside; with `physical`, on frames through the processes that map them."""

    resident = None

    def __init__(
        self,
        exclusions: Exclusions = LEAVE_ALL,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        physical: bool = False,
    ) -> None:
        self._refaults = Refaults(roots.proc)
        self.actor = parts.actor("paddr" if physical else "vaddr", roots, exclusions, self._refaults)

    @property
    def refaulted(self) -> int | None:
        return self._refaults.bytes

    @property
    def left(self) -> Mapping[str, int]:
        return self.actor.left

    def look(self) -> None:
        self._refaults.look()


class SimBackend:
    """On a simulated workload."""

    resident = None
    left: Mapping[str, int] = {}

    def __init__(self, memory: SimMemory) -> None:
        self.actor = SimActor(memory)

    @property
    def refaulted(self) -> int | None:
        return self.actor.memory.refault_bytes

    def look(self) -> None:
        """The simulation itself knows what came back."""


def backend_for(
    ops: str, exclusions: Exclusions = LEAVE_ALL, *, dry: bool = False, sim_memory: SimMemory | None = None
) -> ActionBackend:
    """For what the operations set `ops` watches; `sim_memory` is where that is simulated. Raises NotSupported."""
    if dry:
        return DryRunBackend()
    if sim_memory is not None:
        return SimBackend(sim_memory)
    if ops in ("vaddr", "fvaddr", "paddr"):
        return ProcessBackend(exclusions, physical=ops == "paddr")
    raise NotSupported(f"{ops} cannot be acted on; make it a dry run, or give processes.")
