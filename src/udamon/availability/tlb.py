"""How well accesses that a TLB hides are seen here: measured on a child with a working set of a known size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from udamon.errors import CannotError
from udamon.model import primitive
from udamon.ops.base import Census
from udamon.ops.refs import Refs
from udamon.ops.tlb import HotSet, Way, hot_set, way
from udamon.units import format_size

State = Literal["flushed", "displaced", "stale"]

SIZES = (256 << 10, 1 << 20, 4 << 20)
"""Working sets that are tried, bytes; BEYOND as well where even the largest is not seen."""
BEYOND = (16 << 20, 64 << 20)
TRIES = 3
_STATES: dict[Way, State] = {"flush": "flushed", "visit": "displaced", "none": "stale"}
_SEEN = 0.95


class Tlb(NamedTuple):
    """What became of accesses through a TLB: "flushed" or "displaced", so they are seen; or "stale".

    Working sets smaller than `missed_below` bytes may be missed: 0 none, None up to the reach of the TLB.
    """

    state: State
    missed_below: int | None


def touched(census: Census, child: HotSet, size: int) -> int | None:
    """Bytes that a census saw touched in a window in which `size` bytes were; None when the child did not run.

    The window is as short as can be, and nothing is touched after it: what else runs on that processor would displace
    the TLB in time.
    """
    if not child.access(size):
        return None
    census.prepare(child.target)
    census.expose([child.target])
    ran = child.rounds()
    child.rest()
    seen = next((found.touched for found in census.look(child.target) if found.start == child.address), 0)
    return seen if ran else None


def measure(census: Census, used: Way, sizes: Sequence[int] = SIZES) -> Tlb:
    """Try on a child which working sets are seen; takes about 0.1 s. `census` is one that uses `used`."""
    unseen = 0
    try:
        with hot_set(max(BEYOND)) as child:
            for size in (*sizes, *BEYOND):
                if not _is_seen(census, child, size):
                    unseen = size
                elif size >= sizes[-1]:
                    break
            else:
                return Tlb("stale", None)
    except (OSError, CannotError):
        return Tlb("stale", None)
    if unseen:
        return Tlb("stale", 4 * unseen)  # the next larger one was seen
    # Where nothing flushes TLBs, that they were displaced by chance says nothing about sets smaller than those tried.
    return Tlb(_STATES[used], sizes[0] if used == "none" else 0)


def measured(via: str, *, same_cpu: bool = False, sampled: bool = False) -> Tlb | None:
    """What becomes of accesses through a TLB when looking so; None where it is no question (a simulation).

    What clears accessed bits one page at a time (idle, in-kernel DAMON) is as blind without a visit as clear_refs is,
    so that is what is measured for it. `sampled`: single pages are cleared, where that is a choice. Takes about 0.1 s.
    Raises UsageError as `way`.
    """
    found = primitive(via)
    if found is not None and found.simulated:
        return None
    if sampled and found is not None and found.samples:
        return Tlb("flushed", 0)  # MADV_COLD flushes what it clears (tests/guest/test_pte_sampler_tlb.py)
    if found is not None and found.kind == "census" and not found.clears:
        return Tlb("flushed", 0)  # or else the kernel would miss writes itself
    used: Way = way() if found is not None and found.clears else "visit" if same_cpu else "none"
    return measure(Refs(tlb=used), used)


def sentence(found: Tlb) -> str:
    """What it means for results."""
    if found.state != "stale":
        return f"small working sets are seen: what TLBs hold is {found.state} in each window."
    if found.missed_below is None:
        return "small working sets may be missed: accesses through a TLB are not seen here."
    return f"working sets below {format_size(found.missed_below)} may be missed: accesses through a TLB are not seen."


def _is_seen(census: Census, child: HotSet, size: int) -> bool:
    """In most of TRIES windows."""
    needed, seen = TRIES // 2 + 1, 0
    for tried in range(TRIES):
        found = touched(census, child, size)
        seen += found is not None and found >= _SEEN * size
        if seen == needed or seen + TRIES - tried - 1 < needed:
            break
    return seen >= needed
