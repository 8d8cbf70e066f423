"""Other programs that clear or set the bits that a monitor reads: what is known before it starts, and in words.

In-kernel DAMON (its modules, too: DAMON_STAT is on by default in some distributions) and another udamon on the physical
memory clear accessed bits one page at a time. Reclaim does while memory is short, with aging of MGLRU: that shows while
it happens (linux/vmstat.py). What clears bits without leaving a trace is not found: another program that writes to
clear_refs or the idle bitmap, or has lru_gen age.
"""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon, kernel_damon
from udamon.lock import lock_holder
from udamon.model import primitive

NEED_UNCLEARED_BITS = frozenset({"idle", "pte", "lru_gen"})
"""Primitives that miss accesses when another monitor has cleared the bits."""
BY_RECLAIM = frozenset({"idle", "kernel", "refs", "pte", "lru_gen"})
"""Primitives that miss accesses when reclaim has cleared the bits."""
RECLAIM = "reclaim (memory is short)"

_MARKED = (
    "while in-kernel DAMON {} physical memory, pages of files and shared memory count as touched in all processes that "
    "map them when one touched them: take what refs says of these mappings for an upper bound."
)


class OtherMonitors(NamedTuple):
    """`marking`: whether pages count as touched in all processes that map them when one touched them. `taking`: who
    clears accessed bits beside this monitor, so that it may see less than there is."""

    marking: Literal["yes", "no", "maybe"] = "no"
    taking: tuple[str, ...] = ()

    def notes(self, via: str) -> tuple[str, ...]:
        """A sentence on each."""
        marked = {"yes": _MARKED.format("watches"), "maybe": _MARKED.format("may be watching")}
        notes = (marked[self.marking],) if self.marking != "no" else ()
        return (*notes, *(taken(who, via) for who in self.taking))


NOBODY = OtherMonitors()


def find(
    via: str,
    roots: Roots = Roots(),  # noqa: B008 (immutable)
    kernel: KernelDamon | None = None,
) -> OtherMonitors:
    """Other programs that are active as a monitor via `via` begins. Changes nothing and never raises. `kernel`: the
    state of in-kernel DAMON; None: it is read now."""
    if via != "refs" and via not in NEED_UNCLEARED_BITS:
        return NOBODY
    kernel = kernel_damon(roots) if kernel is None else kernel
    if via == "refs":
        return OtherMonitors(marking=kernel.physical)
    taking = [f"in-kernel DAMON ({'; '.join(kernel.users)})"] if kernel.busy else []
    holder = lock_holder("paddr", roots)
    if holder not in ("", f"process {os.getpid()}"):  # it may be this one that watches it
        taking.append(f"another udamon on the physical memory ({holder})")
    return OtherMonitors(taking=tuple(taking))


def taken(who: str, via: str) -> str:
    """What it means that somebody clears bits."""
    return f"{who} clears the same accessed bits, so {via} may see less than there is."


def reclaimed(via: str) -> str:
    """The same of reclaim, which goes by those bits: who clears all of a process's makes it take what is warm
    (docs/limits.md#what-looking-changes-under-pressure)."""
    found = primitive(via)
    if found is None or not found.clears:
        return taken(RECLAIM, via)
    return f"{taken(RECLAIM, via)[:-1]}; and clearing them makes it take more of what is used seldom."
