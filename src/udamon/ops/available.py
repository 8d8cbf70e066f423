"""Which access-check primitives can be used here with this version, and what would make them usable."""

from __future__ import annotations

from typing import NamedTuple

from udamon.errors import NotSupported, UsageError
from udamon.linux import features
from udamon.linux.roots import Roots
from udamon.model import READS_AND_WRITES, WRITES_ONLY
from udamon.ops.damon_claim import free_or_left, holder

ORDER = ("idle", "kernel", "refs")
"""What `--via auto` tries, best first."""


class Usable(NamedTuple):
    """`usable`: with this version, by this user. `offered`: the machine has what it takes.

    `why` and `fix` are sentences; `fix` is "" when there is nothing to do.
    """

    usable: bool
    why: str
    fix: str = ""
    offered: bool = False


def probe(name: str, roots: Roots = Roots()) -> Usable:  # noqa: B008 (immutable)
    """Look whether a primitive works, without touching any process. Raises UsageError for an unknown name."""
    if name not in PROBES:
        raise UsageError(f"there is no primitive {name!r}; choose one of auto, {', '.join(PROBES)}.")
    return PROBES[name](roots)


def sees(name: str) -> str:
    """What a primitive takes for an access; whoever shows what it saw says so when it is WRITES_ONLY."""
    return WRITES_ONLY if name == "softdirty" else READS_AND_WRITES


def choose(via: str, roots: Roots = Roots()) -> str:  # noqa: B008 (immutable)
    """The primitive `via` means ("auto": the first usable of ORDER). Raises NotSupported or UsageError."""
    if via != "auto":
        found = probe(via, roots)
        if not found.usable:
            raise NotSupported(f"{via} cannot be used: {sentence(found)}")
        return via
    for name in ORDER:
        if probe(name, roots).usable:
            return name
    raise NotSupported("no primitive can be used here; udamon doctor says what each of them lacks.")


def sentence(found: Usable) -> str:
    """Why not and what to do, as the rest of one sentence."""
    parts = [part[0].lower() + part[1:].rstrip(".") for part in (found.why, found.fix) if part]
    return "; ".join(parts) + "."


def _idle(roots: Roots) -> Usable:
    state = features.idle_bitmap(roots.sys)
    if state == "missing":
        return Usable(
            False,
            "This kernel does not track idle pages.",
            "Boot a kernel built with CONFIG_IDLE_PAGE_TRACKING=y.",
        )
    if state == "denied" or not features.frame_numbers():
        return Usable(
            False, "Idle bits and page frame numbers are kept from you.", "Run as root (CAP_SYS_ADMIN)."
        )
    return Usable(True, "It sees single pages of any process, reads and writes.", offered=True)


def _kernel(roots: Roots) -> Usable:
    kernel = free_or_left(roots)
    if not kernel.present:
        return Usable(
            False, kernel.why, "Boot a kernel built with CONFIG_DAMON_SYSFS=y and CONFIG_DAMON_VADDR=y."
        )
    if kernel.busy:
        by = f" by another udamon ({who})" if (who := holder(roots)) else ""
        why = f"{kernel.why[:-1]}{by}."
        return Usable(False, why, "End that use first; udamon never interferes with it.")
    if not kernel.readable:
        return Usable(False, kernel.why, "Run as root.")
    if kernel.ops is not None and "vaddr" not in kernel.ops:
        return Usable(
            False,
            f"In-kernel DAMON is free, but watches only {', '.join(kernel.ops) or 'nothing'}.",
            "Boot a kernel built with CONFIG_DAMON_VADDR=y.",
        )
    return Usable(
        True,
        "It sees pages of any process, sampled, reads and writes; for one recording at a time.",
        offered=True,
    )


def _refs(roots: Roots) -> Usable:
    if features.page_monitor(roots.proc):
        whose = "any process" if features.has_capability(features.CAP_SYS_PTRACE) else "your own processes"
        return Usable(True, f"It sees {whose}, at the grain of mappings.", offered=True)
    if not (roots.proc / "self").exists():
        return Usable(False, f"{roots.proc} is not mounted.", f"mount -t proc proc {roots.proc}")
    return Usable(
        False,
        "This kernel has no clear_refs or no smaps.",
        "Boot a kernel built with CONFIG_PROC_PAGE_MONITOR=y.",
    )


def _softdirty(roots: Roots) -> Usable:
    if not features.soft_dirty():
        return Usable(
            False,
            "This kernel does not keep soft-dirty bits.",
            "Boot a kernel built with CONFIG_MEM_SOFT_DIRTY=y.",
        )
    whose = "any process" if features.has_capability(features.CAP_SYS_PTRACE) else "your own processes"
    return Usable(
        True,
        f"It sees pages of {whose}, writes only, when asked for: every page written costs the target a fault.",
        offered=True,
    )


def _sim(roots: Roots) -> Usable:
    return Usable(True, "A simulated address space needs nothing (udamon eval).", offered=True)


PROBES = {"idle": _idle, "kernel": _kernel, "refs": _refs, "softdirty": _softdirty, "sim": _sim}
"""In the order doctor shows them."""
