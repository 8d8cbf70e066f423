"""Acting on simulated memory: pages that are moved out stay away until the workload accesses them again.

Everything is known here: how much was really out and for how long, and what of it was wanted back.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence

from udamon.acting.base import Applied
from udamon.acting.refaults import WINDOW_NS
from udamon.core.scheme import Action, ActionRequest
from udamon.core.target import Target
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined, minus, overlap, total
from udamon.workload.truth import Truth

Accessed = Callable[[Sequence[int], int, int, int], list[int]]
"""(page addresses, workload time, ticks, tick length) -> those of the pages that are accessed then."""

_WITHOUT_EFFECT = (Action.COLD, Action.LRU_PRIO, Action.LRU_DEPRIO)


class SimMemory:
    """Which pages of a workload are in memory. All that it maps is, until some of it is moved out.

    A page that is accessed in a stretch of ticks is back from the beginning of that stretch on. Times are the
    workload's, in ns from its beginning.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._all = truth.resident()
        self._out: list[tuple[int, list[Range]]] = []  # when they were moved, and what of it is still away
        self._now_ns = 0
        self.moved_bytes = 0
        """All that was ever moved out."""
        self.refault_bytes = 0
        """Of that, what was accessed again within a minute."""
        self.returned_bytes = 0
        """Of that, what was accessed again at any time."""
        self.out_byte_ns = 0
        """Bytes that were out times how long: what was saved."""

    @property
    def out_bytes(self) -> int:
        return sum(total(ranges) for _, ranges in self._out)

    def resident(self) -> list[Range]:
        """Sorted, disjoint."""
        return minus(self._all, joined(sorted(r for _, ranges in self._out for r in ranges)))

    def move_out(self, start: int, end: int) -> int:
        """Bytes of [start, end) that were there and are out now."""
        ranges = list(overlap(self.resident(), [Range(start, end)]))
        if ranges:
            self._out.append((self._now_ns, ranges))
        size = total(ranges)
        self.moved_bytes += size
        return size

    def bring_in(self, start: int, end: int) -> int:
        """Bytes of [start, end) that were out and are here now, without having been accessed."""
        before = self.out_bytes
        self._out = [(since, minus(ranges, [Range(start, end)])) for since, ranges in self._out]
        return before - self.out_bytes

    def advance(self, t_ns: int, ticks: int, tick_ns: int, accessed: Accessed) -> None:
        """The stretch of `ticks` ticks from `t_ns` on: what is accessed in it comes back."""
        self._now_ns = t_ns + ticks * tick_ns
        if not self._out or ticks <= 0:
            return
        touched = [Range(e.start, e.end) for e in self._truth.expected(t_ns, ticks, tick_ns) if e.mean > 0]
        kept = []
        for since, ranges in self._out:
            pages = [p for r in overlap(ranges, joined(touched)) for p in _pages(r)]
            back = accessed(pages, t_ns, ticks, tick_ns) if pages else []
            size = len(back) * PAGE_SIZE
            self.returned_bytes += size
            if t_ns - since < WINDOW_NS:
                self.refault_bytes += size
            left = minus(ranges, joined(sorted(Range(p, p + PAGE_SIZE) for p in back)))
            if left:
                kept.append((since, left))
        self._out = kept
        self.out_byte_ns += self.out_bytes * ticks * tick_ns

    def resident_arrays(self) -> tuple[array[int], array[int]]:
        """Starts and ends of `resident`."""
        found = self.resident()
        return array("Q", [r.start for r in found]), array("Q", [r.end for r in found])


class SimActor:
    """Acts on a SimMemory. `pageout` moves out, `willneed` brings in; cold, lru_prio and lru_deprio count what is there
    and change nothing."""

    def __init__(self, memory: SimMemory) -> None:
        self.memory = memory

    def missing(self, request: ActionRequest) -> str | None:
        """See acting.base."""
        if request.page_filters:
            return (
                "simulated pages are all alike and no page filter can tell them apart; leave the filter out."
            )
        if request.action in (Action.PAGEOUT, Action.WILLNEED, Action.STAT, *_WITHOUT_EFFECT):
            return None
        return f"simulated memory has no huge pages and no nodes for {request.action}; use another action."

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        """See acting.base."""
        if self.missing(request) is not None or request.action is Action.STAT:
            return Applied(0, 0)
        if request.action is Action.WILLNEED:
            return Applied(end - start, end - start, self.memory.bring_in(start, end))
        there = total(overlap(self.memory.resident(), [Range(start, end)]))
        moved = self.memory.move_out(start, end) if request.action is Action.PAGEOUT else None
        return Applied(there, end - start, moved)

    def close(self) -> None:
        """Nothing is open."""


def _pages(part: Range) -> range:
    return range(part.start - part.start % PAGE_SIZE, part.end, PAGE_SIZE)
