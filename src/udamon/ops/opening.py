"""Building operations sets and censuses from what the command line says."""

from __future__ import annotations

from collections.abc import Sequence

from udamon.errors import UsageError
from udamon.linux import features
from udamon.linux.roots import Roots
from udamon.model import Range
from udamon.ops.base import Census, OperationsSet, Sampler
from udamon.ops.fvaddr import Fvaddr
from udamon.ops.idle import IdleSampler
from udamon.ops.paddr import Paddr
from udamon.ops.processes import ProcessSource
from udamon.ops.refs import Refs
from udamon.ops.softdirty import MAX_RANGES, SoftDirty
from udamon.ops.vaddr import Vaddr


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
        return Paddr(ranges, roots)
    if name not in {"vaddr", "fvaddr"}:
        raise UsageError(f"there is no operations set {name!r}; choose vaddr, fvaddr or paddr.")
    if source is None:
        raise UsageError(f"{name} watches processes; give -p PID, --cgroup PATH or -- COMMAND.")
    if name == "fvaddr":
        return Fvaddr(source, ranges, roots)
    if ranges:
        raise UsageError("vaddr finds its ranges itself; give ranges with fvaddr.")
    return Vaddr(source, roots)


def open_sampler(
    via: str,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    same_cpu: bool = False,
) -> Sampler:
    """The sampling primitive `via`. Raises UsageError, NotSupported or NotPermitted."""
    if via != "idle":
        raise UsageError(f"{via!r} does not sample pages; choose idle.")
    return IdleSampler(roots, same_cpu=same_cpu)


def open_census(
    via: str,
    ops: OperationsSet,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    max_ranges: int = MAX_RANGES,
) -> Census:
    """The census primitive `via` for what `ops` watches; softdirty answers with `max_ranges` ranges a target.

    Raises UsageError.
    """
    if via not in {"refs", "softdirty"}:
        raise UsageError(f"{via!r} is not a census; choose refs or softdirty.")
    if ops.name == "paddr":
        raise UsageError(f"{via} sees the memory of processes, not physical memory; use --ops vaddr.")
    if via == "softdirty":
        return SoftDirty(roots, max_ranges=max_ranges, only_ranges=ops.name == "fvaddr")
    flush = not features.soft_dirty() and features.own_page_map_entries() != []
    return Refs(roots, flush=flush, only_ranges=ops.name == "fvaddr")
