"""Which access-check primitives can be used here with this version, and what would make them usable."""

from __future__ import annotations

import platform
from contextlib import closing
from typing import NamedTuple

from udamon.claim.damon import free_or_left, holder
from udamon.configuration.files import SYSTEM
from udamon.errors import NotSupported, UdamonError, UsageError
from udamon.linux import features
from udamon.linux.consent import VARIABLE, standing
from udamon.linux.lockdown import lockdown
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon
from udamon.model import PAGE_SIZE, READS_AND_WRITES, names_of, primitive
from udamon.native._native import TABLE_BYTES

ORDER = names_of(lambda one: one.automatic)
"""What `--via auto` tries where nothing else is allowed, best first."""


class Usable(NamedTuple):
    """`usable`: with this version, by this user. `offered`: the machine has what it takes.

    `why` and `fix` are sentences; `fix` is "" when there is nothing to do. `details` are more of them, for who asks.
    `backend` is how pte reads kernel memory, "" where it cannot and for all others.
    """

    usable: bool
    why: str
    fix: str = ""
    offered: bool = False
    backend: str = ""
    details: str = ""


def probe(name: str, roots: Roots = Roots()) -> Usable:  # noqa: B008 (immutable)
    """Look whether a primitive works, without touching any process. Raises UsageError for an unknown name."""
    if name not in PROBES:
        raise UsageError(f"there is no primitive {name!r}; choose one of auto, {', '.join(PROBES)}.")
    return PROBES[name](roots)


def sees(name: str) -> str:
    """What a primitive takes for an access. Reports of what it saw say so where that is WRITES_ONLY."""
    found = primitive(name)
    return READS_AND_WRITES if found is None else found.sees


def require(via: str, roots: Roots = Roots()) -> None:  # noqa: B008 (immutable)
    """Raises NotSupported where the primitive cannot be used, UsageError for an unknown name."""
    found = probe(via, roots)
    if not found.usable:
        raise NotSupported(f"{via} cannot be used: {sentence(found)}")


def sentence(found: Usable) -> str:
    """Why not and what to do, as the rest of one sentence."""
    parts = [part[0].lower() + part[1:].rstrip(".") for part in (found.why, found.fix) if part]
    return "; ".join(parts) + "."


def whose(roots: Roots, *files: int) -> str:
    """Which processes this user may inspect where that takes one of the capabilities `files`, to open their files."""
    others = features.has_capability(features.CAP_SYS_PTRACE, roots.proc) and any(
        features.has_capability(number, roots.proc) for number in files
    )
    return "any process" if others else "your own processes"


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


def kernel_of(roots: Roots, state: KernelDamon | None = None) -> Usable:
    """`probe` of in-kernel DAMON, by its state; None: it is read now."""
    kernel = free_or_left(roots, state)
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
        seen = whose(roots, features.CAP_DAC_OVERRIDE)
        return Usable(True, f"It sees {seen}, at the grain of mappings.", offered=True)
    if not (roots.proc / "self").exists():
        return Usable(False, f"{roots.proc} is not mounted.", f"mount -t proc proc {roots.proc}")
    return Usable(
        False,
        "This kernel has no clear_refs or no smaps.",
        "Boot a kernel built with CONFIG_PROC_PAGE_MONITOR=y.",
    )


def _softdirty(roots: Roots) -> Usable:
    kept = features.soft_dirty()
    if kept is None:
        return Usable(
            False,
            "The page map of udamon itself cannot be read, so whether this kernel keeps soft-dirty bits is not known.",
            "Have /proc/self/pagemap readable (a mounted /proc, CONFIG_PROC_PAGE_MONITOR=y).",
        )
    if not kept:
        return Usable(
            False,
            "This kernel does not keep soft-dirty bits.",
            "Use another way to look: Linux has no such bits on arm64."
            if platform.machine() == "aarch64"
            else "Boot a kernel built with CONFIG_MEM_SOFT_DIRTY=y.",
        )
    seen = whose(roots, features.CAP_DAC_OVERRIDE)
    return Usable(
        True,
        f"It sees pages of {seen}, writes only, when asked for: every page written costs the target a fault.",
        offered=True,
    )


def _pte(roots: Roots) -> Usable:
    """What is there for it, without reading any kernel memory."""
    if platform.machine() not in {"x86_64", "aarch64"}:
        return Usable(False, "The page tables of this machine are not known.", "Use another way to look.")
    if PAGE_SIZE != TABLE_BYTES:
        why = f"Page tables with pages of {PAGE_SIZE >> 10} KiB are not known, only those with {TABLE_BYTES >> 10} KiB."
        return Usable(False, why, "Use another way to look.")
    if lockdown(roots.sys) == "confidentiality":
        return Usable(
            False,
            "Kernel memory is kept from all under lockdown=confidentiality.",
            "Boot without that lockdown.",
        )
    capable = {
        number
        for number in (features.CAP_SYS_ADMIN, features.CAP_SYS_RAWIO, features.CAP_PERFMON, features.CAP_BPF)
        if features.has_capability(number, roots.proc)
    }
    bpf = (roots.proc / "sys/kernel/unprivileged_bpf_disabled").exists()
    kcore = (roots.proc / "kcore").exists()
    if not bpf and not kcore:
        return Usable(
            False,
            "This kernel offers no way to read its memory: it has neither BPF nor /proc/kcore.",
            "Boot a kernel built with CONFIG_BPF_EVENTS=y or CONFIG_PROC_KCORE=y.",
        )
    if features.CAP_SYS_ADMIN not in capable or not (bpf or features.CAP_SYS_RAWIO in capable):
        return Usable(False, "Kernel memory and page frame numbers are kept from you.", "Run as root.", True)
    return Usable(
        True,
        "It would see every page, by reading kernel memory.",
        offered=True,
        backend="bpf" if bpf else "kcore",
        details="Reads and writes of any process, in its page tables. Kernel memory is read only where --via pte asks "
        f"for it, {SYSTEM} says allow_kernel_memory = true, or {VARIABLE} is 1 in udamon's environment.",
    )


def proved_pte(roots: Roots = Roots()) -> Usable:  # noqa: B008 (immutable)
    """The same where reading kernel memory is allowed anyway: opened and proved, else as `probe`."""
    found = _pte(roots)
    try:
        if not found.usable or not standing():
            return found
        from udamon.ops.kernel_tables import open_tables

        with closing(open_tables(allowed=True, roots=roots)) as opened:
            why = f"It sees every page of any process, in page tables ({opened.backend})."
            details = f"Reads and writes. Page tables are found by {opened.how}."
            if opened.unproved:
                details += f" Not proved for huge pages: {opened.unproved}."
            return found._replace(why=why, backend=opened.backend, details=details)
    except UdamonError as error:
        return Usable(False, str(error)[0].upper() + str(error)[1:], "", True)


def _sim(roots: Roots) -> Usable:
    return Usable(True, "A simulated address space needs nothing (udamon eval).", offered=True)


PROBES = {
    "idle": _idle,
    "kernel": kernel_of,
    "refs": _refs,
    "softdirty": _softdirty,
    "pte": _pte,
    "sim": _sim,
}
"""In the order doctor shows them."""
