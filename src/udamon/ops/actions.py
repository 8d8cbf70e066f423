"""What could be done about memory from here: which actions the machine offers to udamon."""

from __future__ import annotations

from udamon.linux import features
from udamon.linux.roots import Roots
from udamon.ops.available import Usable

ACTIONS = ("pageout", "cold", "willneed", "collapse", "lru_deprio", "migrate_hot", "migrate_cold", "stat")
_ADVICE = {"lru_deprio": "cold"}  # the closest that can be asked for another process
LATER = "This version of udamon does not act yet"
"""Begins the reason of every action: a list of them may say it once, as its heading."""


def probe_action(name: str, roots: Roots = Roots()) -> Usable:  # noqa: B008 (immutable)
    """Whether the machine would let udamon apply the action to another process; does nothing to any memory."""
    if name == "stat":
        return Usable(False, f"{LATER}; it needs nothing.", offered=True)
    missing = (
        _missing_for_migration(roots) if name.startswith("migrate") else _missing_for_advice(name, roots)
    )
    if missing is not None:
        why, fix = missing
        return Usable(False, f"{LATER}, and {why}.", fix)
    if name == "pageout" and not features.has_swap(roots.proc):
        return Usable(
            False,
            f"{LATER}; the machine offers it, but without swap only for file-backed memory.",
            "Add swap (zram will do).",
            offered=True,
        )
    return Usable(False, f"{LATER}; the machine offers it.", offered=True)


def _missing_for_advice(name: str, roots: Roots) -> tuple[str, str] | None:
    if not features.process_madvise():
        return "the kernel has no process_madvise", "Boot Linux 5.10 or later."
    if not features.advice_known(_ADVICE.get(name, name)):
        return (
            f"the kernel does not know the advice {name}",
            "Boot a kernel that has it (collapse: 6.1, THP).",
        )
    return _missing_capability(roots)


def _missing_for_migration(roots: Roots) -> tuple[str, str] | None:
    if len(features.nodes(roots.sys)) < 2:
        return "there is only one NUMA node", "Use a machine with a second tier or node of memory."
    return _missing_capability(roots)


def _missing_capability(roots: Roots) -> tuple[str, str] | None:
    if features.has_capability(features.CAP_SYS_NICE, roots.proc):
        return None
    return "acting on another process needs CAP_SYS_NICE", "Run as root, or give udamon CAP_SYS_NICE."
