"""Building operations sets and censuses from what the command line says; only what is built is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udamon.errors import UsageError
from udamon.linux.roots import Roots
from udamon.model import CENSUSES, SAMPLERS, Range
from udamon.ops.base import Census, OperationsSet, Sampler
from udamon.targets.processes import ProcessSource

if TYPE_CHECKING:
    from udamon.ops.kernel_tables import Opened


def open_ops(
    name: str,
    source: ProcessSource | None = None,
    ranges: Sequence[Range] = (),
    roots: Roots = Roots(),  # noqa: B008 (immutable)
) -> OperationsSet:
    """The operations set `name`: vaddr (of `source`), fvaddr (of `source`, `ranges`) or paddr (`ranges` or all).

    Raises UsageError, and CannotError for physical memory that may not be seen.
    """
    if name == "paddr":
        if source is not None:
            raise UsageError("paddr watches the physical memory and takes no process; leave one of them out.")
        from udamon.ops.paddr import Paddr

        return Paddr(ranges, roots)
    if name not in {"vaddr", "fvaddr"}:
        raise UsageError(f"there is no operations set {name!r}; choose vaddr, fvaddr or paddr.")
    if source is None:
        raise UsageError(f"{name} watches processes; give -p PID, --cgroup PATH or -- COMMAND.")
    if name == "fvaddr":
        from udamon.ops.fvaddr import Fvaddr

        return Fvaddr(source, ranges, roots)
    if ranges:
        raise UsageError("vaddr finds its ranges itself; give ranges with fvaddr.")
    from udamon.ops.vaddr import Vaddr

    return Vaddr(source, roots)


def open_sampler(
    via: str,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    same_cpu: bool = False,
    max_pause_ns: int | None = None,
    allowed: bool = False,
) -> Sampler:
    """The sampling primitive `via`; pte holds no lock of a target for longer than `max_pause_ns`, and opens where
    reading kernel memory is `allowed` only. Raises UsageError, NotSupported or NotPermitted."""
    if via == "pte":
        from udamon.ops.kernel_tables import open_tables
        from udamon.ops.pte_sampler import PteSampler

        with _closed_on_failure(open_tables(allowed=allowed, roots=roots)) as opened:
            return PteSampler(opened, roots, max_pause_ns=max_pause_ns)
    if via not in SAMPLERS:
        raise UsageError(f"{via!r} does not sample pages; choose {' or '.join(SAMPLERS)}.")
    from udamon.ops.idle import IdleSampler

    return IdleSampler(roots, same_cpu=same_cpu)


def open_census(
    via: str,
    ops: OperationsSet,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    max_ranges: int = 1000,
    max_pause_ns: int | None = None,
    clear: str = "auto",
    allowed: bool = False,
) -> Census:
    """The census primitive `via` for what `ops` watches; softdirty and pte answer with `max_ranges` ranges a target.

    It refuses to look at a target that it would stop for longer than `max_pause_ns`. How pte clears is `clear`; it
    opens where reading kernel memory is `allowed` only (linux/consent.py).

    Raises UsageError, what open_tables does, and NotSupported or NotPermitted for a way to clear that is not here.
    """
    if via not in CENSUSES:
        raise UsageError(f"{via!r} is not a census; choose one of {', '.join(CENSUSES)}.")
    if ops.name == "paddr":
        raise UsageError(f"{via} sees the memory of processes, not physical memory; use --ops vaddr.")
    only = ops.name == "fvaddr"
    if via == "softdirty":
        from udamon.ops.softdirty import SoftDirty

        return SoftDirty(roots, max_ranges=max_ranges, only_ranges=only, max_pause_ns=max_pause_ns)
    from udamon.ops.tlb import way

    if via == "pte":
        from udamon.ops.kernel_tables import open_tables
        from udamon.ops.pte import Pte, clear_way

        chosen = clear_way(clear)
        with _closed_on_failure(open_tables(allowed=allowed, roots=roots)) as opened:
            return Pte(
                opened, roots, tlb=way(), max_ranges=max_ranges, only_ranges=only,
                max_pause_ns=max_pause_ns, clear=chosen,
            )  # fmt: skip
    from udamon.ops.refs import Refs

    return Refs(roots, tlb=way(), only_ranges=only, max_pause_ns=max_pause_ns)


@contextmanager
def _closed_on_failure(opened: Opened) -> Iterator[Opened]:
    """Close `opened` where the block raises; else what the block makes closes it later."""
    try:
        yield opened
    except BaseException:
        opened.close()
        raise
