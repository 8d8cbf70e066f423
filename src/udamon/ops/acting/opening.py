"""The actor that fits an operations set; only what is used is imported."""

from __future__ import annotations

from udamon.errors import UsageError
from udamon.linux.roots import Roots
from udamon.ops.acting.spared import LEAVE_ALL, Spared
from udamon.ops.base import Actor
from udamon.ops.refaults import Refaults


def open_actor(
    ops: str,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    *,
    spared: Spared = LEAVE_ALL,
    refaults: Refaults | None = None,
) -> Actor:
    """For vaddr, fvaddr or paddr; `refaults` is told what pageout moved. Simulated memory has its own: SimActor.

    Both kinds have `left`, bytes that were left alone by why. Raises UsageError.
    """
    if ops in ("vaddr", "fvaddr"):
        from udamon.ops.acting.vaddr import VaddrActor

        return VaddrActor(roots, spared=spared, refaults=refaults)
    if ops == "paddr":
        from udamon.ops.acting.paddr import PaddrActor

        return PaddrActor(roots, spared=spared, refaults=refaults)
    raise UsageError(f"there is nothing that acts on {ops!r}; choose vaddr, fvaddr or paddr.")
