"""Looks at what this machine offers for monitoring: `udamon doctor` and udamon.doctor()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from udamon.errors import CannotError
from udamon.linux.failure import hides_processes
from udamon.linux.pid_namespace import foreign
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon, kernel_damon
from udamon.ops.actions import ACTIONS, probe_action
from udamon.ops.available import PROBES, Usable, choose, probe
from udamon.ops.lock import held_locks
from udamon.ops.tlb import Tlb, measured


@dataclass(frozen=True, slots=True)
class Findings:
    """What doctor found; `auto` is the primitive `--via auto` means, `locks` maps target to holder.

    `tlb` is of refs, None where that cannot be used.
    """

    auto: str | None
    primitives: Mapping[str, Usable]
    actions: Mapping[str, Usable]
    kernel: KernelDamon
    locks: Mapping[str, str]
    conflicts: tuple[str, ...]
    tlb: Tlb | None


def examine(roots: Roots) -> Findings:
    """Look at the machine. Changes nothing and touches no process but a child of its own."""
    primitives = {name: probe(name, roots) for name in PROBES}
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


def _conflicts(kernel: KernelDamon, idle: Usable, locks: Mapping[str, str], roots: Roots) -> Iterator[str]:
    for target, holder in locks.items():
        yield f"Target {target} is already watched by another monitor ({holder})."
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
