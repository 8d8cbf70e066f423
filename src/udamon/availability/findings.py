"""Looks at what this machine offers for monitoring: `udamon doctor` and udamon.doctor()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from udamon.availability.actions import ACTIONS, probe_action
from udamon.availability.primitives import PROBES, Usable, choose, probe, proved_pte
from udamon.availability.tlb import Tlb, measured
from udamon.errors import CannotError
from udamon.linux.failure import hides_processes
from udamon.linux.pid_namespace import foreign
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon, kernel_damon
from udamon.lock import HeldLocks, held_locks

TOLD = 20
"""Targets with other monitors that are told one by one."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What doctor found; `auto` is the primitive `--via auto` means, `locks` are targets and their holders.

    `tlb` is of refs, None where that cannot be used.
    """

    auto: str | None
    primitives: Mapping[str, Usable]
    actions: Mapping[str, Usable]
    kernel: KernelDamon
    locks: HeldLocks
    conflicts: tuple[str, ...]
    tlb: Tlb | None


def examine(roots: Roots) -> Findings:
    """Look at the machine. Changes nothing and touches no process but a child of its own."""
    primitives = {name: proved_pte(roots) if name == "pte" else probe(name, roots) for name in PROBES}
    actions = {name: probe_action(name, roots) for name in ACTIONS}
    kernel, locks = kernel_damon(roots), held_locks(roots)
    conflicts = tuple(_conflicts(kernel, primitives["idle"], locks, roots))
    tlb = measured("refs") if primitives["refs"].usable else None
    return Findings(_auto(roots), primitives, actions, kernel, locks, conflicts, tlb)


def _auto(roots: Roots) -> str | None:
    try:
        return choose("auto", roots)
    except CannotError:
        return None


def _conflicts(kernel: KernelDamon, idle: Usable, locks: HeldLocks, roots: Roots) -> Iterator[str]:
    for target, holder in islice(locks.holders.items(), TOLD):
        yield f"Target {target} is already watched by another monitor ({holder})."
    if (others := len(locks.holders) - TOLD) > 0 or locks.more:
        number = f"{'more than ' if locks.more else ''}{max(others, 0)}"
        yield f"So are {number} other targets{'' if locks.more else ' (--json has them)'}."
    if kernel.busy and idle.offered:
        yield "In-kernel DAMON and idle page tracking use up the same bits: idle will see less."
    if kernel.physical != "no":
        may = "" if kernel.physical == "yes" else "may "
        yield (
            f"In-kernel DAMON {may}watch{'' if may else 'es'} physical memory: refs says too much of files and shared "
            "memory."
        )
    if why := foreign(roots.proc):
        yield why[0].upper() + why[1:]
    if hides_processes(roots.proc):
        yield f"{roots.proc} is mounted with hidepid: processes of other users do not show."
