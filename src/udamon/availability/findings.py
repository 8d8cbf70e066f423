"""Looks at what this machine offers for monitoring: `udamon doctor` and udamon.doctor()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from udamon.availability.actions import ACTIONS, probe_action
from udamon.availability.choice import ChoiceInputs, decide, facts_of, offer
from udamon.availability.others import find
from udamon.availability.primitives import PROBES, Usable, kernel_of, probe, proved_pte
from udamon.availability.tlb import Tlb, measured
from udamon.errors import CannotError
from udamon.linux.failure import hides_processes
from udamon.linux.lru_gen import lacks
from udamon.linux.pid_namespace import foreign
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon, kernel_damon
from udamon.lock import HeldLocks, held_locks

TOLD = 20
"""Targets with other monitors that are told one by one."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What doctor found; `auto` is the primitive `--via auto` means (for small targets), None for none; `auto_why` the
    reason, `offered` a sentence about what would see more and is not allowed; `locks` are targets and their holders.

    `tlb` is of refs, None where that cannot be used. `lru_gen`: whether `udamon stat` can tell of whole groups by it.
    """

    auto: str | None
    auto_why: str
    offered: str | None
    primitives: Mapping[str, Usable]
    actions: Mapping[str, Usable]
    kernel: KernelDamon
    locks: HeldLocks
    conflicts: tuple[str, ...]
    tlb: Tlb | None
    lru_gen: Usable


def examine(roots: Roots) -> Findings:
    """Look at the machine. Changes nothing and touches no process but a child of its own."""
    kernel, locks = kernel_damon(roots), held_locks(roots)
    own = {"pte": proved_pte, "kernel": lambda roots: kernel_of(roots, kernel)}
    primitives = {name: own[name](roots) if name in own else probe(name, roots) for name in PROBES}
    actions = {name: probe_action(name, roots, primitives["kernel"]) for name in ACTIONS}
    conflicts = tuple(_conflicts(primitives, locks, kernel, roots))
    tlb = measured("refs") if primitives["refs"].usable else None
    facts = facts_of(primitives)
    return Findings(
        *_auto(facts), offer(facts), primitives, actions, kernel, locks, conflicts, tlb, _lru_gen(roots)
    )


def _lru_gen(roots: Roots) -> Usable:
    """Ages of whole control groups: no primitive, for it tells of no address."""
    if (lacking := lacks(roots.sys)) is None:
        return Usable(True, "It sees ages of whole control groups: udamon stat.", offered=True)
    why, fix = (part[0].upper() + part[1:] + "." for part in lacking)
    return Usable(False, why, fix)


def _auto(facts: ChoiceInputs) -> tuple[str | None, str]:
    try:
        return decide(facts)[:2]
    except CannotError as error:
        return None, str(error)


def _conflicts(
    primitives: Mapping[str, Usable], locks: HeldLocks, kernel: KernelDamon, roots: Roots
) -> Iterator[str]:
    for target, holder in islice(locks.holders.items(), TOLD):
        yield f"Target {target} is already watched by another monitor ({holder})."
    if (others := len(locks.holders) - TOLD) > 0 or locks.more:
        number = f"{'more than ' if locks.more else ''}{max(others, 0)}"
        yield f"So are {number} other targets{'' if locks.more else ' (--json has them)'}."
    for who in find("pte", roots, kernel).taking:
        if names := [name for name in ("idle", "pte") if primitives[name].offered]:
            yield f"{who[0].upper()}{who[1:]} clears accessed bits: {' and '.join(names)} would see less."
    if (marking := find("refs", roots, kernel).marking) != "no":
        may = "" if marking == "yes" else "may "
        yield (
            f"In-kernel DAMON {may}watch{'' if may else 'es'} physical memory: refs says too much of files and shared "
            "memory."
        )
    if why := foreign(roots.proc):
        yield why[0].upper() + why[1:]
    if hides_processes(roots.proc):
        yield f"{roots.proc} is mounted with hidepid: processes of other users do not show."
