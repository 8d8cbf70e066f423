"""The actor of paddr: physical memory, acted on through the processes that map it.

The page maps of all processes are inverted (reverse_map: 0.2 s of CPU a GiB that is mapped), at most so often that it
takes 1 % of a CPU: every 20 s for each GiB. By that, each region of frames becomes ranges of processes, and what was
said of them (acting/vaddr) holds; a page is only taken if the very frame still backs it. Frames that nobody maps
(page cache that was only read, the kernel's own memory, free memory) are out of reach from outside:
`left["out of reach"]` counts their bytes. Acting itself reads the entries once more, run by run: 3.4 s of CPU a GiB
where memory lies scattered in runs of 10 KiB (measured), so a quota is in place.

As in the kernel, pageout rejects pages that were accessed since they were last looked at
(docs/damon.md#actions), where idle page tracking can tell and no filter says otherwise.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace

from udamon.acting.base import Applied
from udamon.acting.exclusions import LEAVE_ALL, Exclusions
from udamon.acting.left_alone import UniquePages
from udamon.acting.pages import NOT_MEANT, PageTest
from udamon.acting.refaults import Refaults
from udamon.acting.reverse_map import ReverseMap, mapped_frames
from udamon.acting.vaddr import VaddrActor
from udamon.core.scheme import Action, ActionRequest, Filter, FilterType
from udamon.core.target import Target
from udamon.errors import NotPermitted
from udamon.linux import features
from udamon.linux.pagemap import ENTRY_FRAME
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined, minus

SHARE = 0.01
"""Of a CPU, for inverting page maps."""

SHORTEST_NS = 5_000_000_000
_NEAR = 64 << 10
_NOT_YOUNG = Filter(FilterType.YOUNG, matching=True, allow=False)


class PaddrActor:
    """Acts on frames. Arguments and `left` as of VaddrActor."""

    def __init__(
        self,
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        *,
        exclusions: Exclusions = LEAVE_ALL,
        refaults: Refaults | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._roots = roots
        self._now_ns = now_ns
        self._processes = VaddrActor(roots, exclusions=exclusions, refaults=refaults, now_ns=now_ns)
        self._sees_young = features.idle_bitmap(roots.sys) == "open"
        self._map: ReverseMap | None = None
        self._next_ns = 0
        self._out_of_reach = UniquePages()

    @property
    def left(self) -> Counter[str]:
        """Bytes that were left, by why."""
        return self._processes.left + Counter({"out of reach": self._out_of_reach.bytes})

    def missing(self, request: ActionRequest) -> str | None:
        """See acting.base."""
        if (why := self._processes.missing(request)) is not None:
            return why
        if request.action in (Action.WILLNEED, Action.COLLAPSE):
            return f"{request.action} is about addresses of a process, not about frames; use --ops vaddr."
        if not features.frame_numbers():
            return "page frame numbers are kept from you; run udamon as root (CAP_SYS_ADMIN)."
        return None

    def apply(self, target: Target, start: int, end: int, request: ActionRequest) -> Applied:
        """See acting.base; physical addresses. Raises NotPermitted where frame numbers are withheld."""
        if request.action in (Action.WILLNEED, Action.COLLAPSE):
            return Applied(0, 0)
        if request.action is Action.STAT and not request.page_filters:
            return Applied(0, 0)
        if request.action is Action.PAGEOUT and self._sees_young and not _has_young(request):
            request = replace(request, page_filters=(*request.page_filters, _NOT_YOUNG))
        first, last = -(-start // PAGE_SIZE), end // PAGE_SIZE
        in_reach = list(self._fresh_map().find(first, last))
        for frames in minus([Range(first * PAGE_SIZE, last * PAGE_SIZE)], mapped_frames(in_reach)):
            self._out_of_reach.add("frames", *frames)
        by_process: dict[ProcessId, list[Range]] = defaultdict(list)
        for mapped in in_reach:
            by_process[mapped.process].append(Range(mapped.start, mapped.end))
        found = [
            self._on_process(process, joined(sorted(ranges), _NEAR), request, Range(first, last))
            for process, ranges in by_process.items()
        ]
        moved = [each.moved for each in found if each.moved is not None]
        return Applied(
            sum(each.applied for each in found),
            sum(each.passed for each in found),
            sum(moved) if moved or request.action is Action.PAGEOUT else None,
        )

    def close(self) -> None:
        """See acting.base."""
        self._processes.close()
        self._map = None

    def _on_process(
        self, process: ProcessId, ranges: list[Range], request: ActionRequest, frames: Range
    ) -> Applied:
        target = Target(0, process.pid, process.start_time)

        def only(test: PageTest) -> PageTest:
            return _WithinFrames(test, frames)

        try:
            return self._processes.apply_to(target, ranges, request, only)
        except NotPermitted:
            return Applied(0, 0)  # one process that is protected keeps nobody from the others

    def _fresh_map(self) -> ReverseMap:
        began = self._now_ns()
        if self._map is None or began >= self._next_ns:
            try:
                self._map = ReverseMap(self._roots.proc, frozenset({os.getpid()}))
            except PermissionError:
                raise NotPermitted(
                    "page frame numbers are kept from you; run udamon as root (CAP_SYS_ADMIN)."
                ) from None
            now = self._now_ns()
            self._next_ns = now + max(SHORTEST_NS, int((now - began) / SHARE))
        return self._map


class _WithinFrames:
    """Means only pages that are backed by the frames [first, last); the others are not even asked about."""

    def __init__(self, test: PageTest, frames: Range) -> None:
        self._test = test
        self._frames = frames

    def judge(self, start: int, entries: bytes) -> bytes:
        first, last = self._frames
        words = array("q", entries)
        meant = array("q", [entry if first <= entry & ENTRY_FRAME < last else 0 for entry in words])
        states = bytearray(self._test.judge(start, meant.tobytes()))
        for at, entry in enumerate(words):
            if entry < 0 and not meant[at]:  # present
                states[at] = NOT_MEANT
        return bytes(states)


def _has_young(request: ActionRequest) -> bool:
    return any(filter.type is FilterType.YOUNG for filter in request.page_filters)
