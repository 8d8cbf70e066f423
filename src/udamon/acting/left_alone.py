"""What was met of address spaces, each byte once, and by that what was left alone: a pass meets it again and again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Protocol

from udamon.model import PAGE_SIZE, Range

_BLOCK = 512


class _Unique(Protocol):
    bytes: int

    def add(self, space: Hashable, start: int, end: int) -> object: ...

    def forget(self, space: Hashable) -> None: ...


class UniqueRanges:
    """Memory that was met once or more: `bytes` has each byte once. For ranges that are few."""

    def __init__(self) -> None:
        self.bytes = 0
        self._of: dict[Hashable, tuple[list[int], list[int]]] = {}  # starts and ends, sorted and disjoint

    def add(self, space: Hashable, start: int, end: int) -> list[Range]:
        """Take in [start, end) of an address space; what of it was not met before, in address order."""
        starts, ends = self._of.setdefault(space, ([], []))
        first, last = bisect_left(ends, start), bisect_right(starts, end)
        known = list(zip(starts[first:last], ends[first:last], strict=True))  # these overlap or touch
        new, at = [], start
        for low, high in known:
            if at < low:
                new.append(Range(at, low))
            at = max(at, high)
        if at < end:
            new.append(Range(at, end))
        starts[first:last] = [min([start, *(low for low, _ in known)])]
        ends[first:last] = [max([end, *(high for _, high in known)])]
        self.bytes += sum(part.size for part in new)
        return new

    def forget(self, space: Hashable) -> None:
        """It is gone: what was met of it stays counted, and what comes is another one's."""
        self._of.pop(space, None)


class UniquePages:
    """As UniqueRanges, for whole pages in any number of runs: a bit for each, in blocks, so that a GiB of single pages
    takes no more than 100 KiB."""

    def __init__(self) -> None:
        self.bytes = 0
        self._of: dict[Hashable, dict[int, int]] = {}

    def add(self, space: Hashable, start: int, end: int) -> None:
        """Take in [start, end) of an address space."""
        blocks = self._of.setdefault(space, {})
        page, last = start // PAGE_SIZE, -(-end // PAGE_SIZE)
        while page < last:
            block, at = divmod(page, _BLOCK)
            count = min(last - page, _BLOCK - at)
            met, mask = blocks.get(block, 0), (1 << count) - 1 << at
            if new := mask & ~met:
                blocks[block] = met | mask
                self.bytes += new.bit_count() * PAGE_SIZE
            page += count

    def forget(self, space: Hashable) -> None:
        """See UniqueRanges."""
        self._of.pop(space, None)


class LeftAlone:
    """Bytes that were left alone, by reason; each once for a reason and an address space, however often it was met."""

    def __init__(self) -> None:
        self._by: dict[str, _Unique] = {}

    def add(
        self, reason: str, space: Hashable, ranges: Iterable[Range], *, kind: type[_Unique] = UniquePages
    ) -> None:
        """Count `ranges`; whole mappings, which are few and may be of any size, as UniqueRanges."""
        met = self._by.setdefault(reason, kind())
        for start, end in ranges:
            met.add(space, start, end)

    def forget(self, space: Hashable) -> None:
        """See UniqueRanges."""
        for met in self._by.values():
            met.forget(space)

    @property
    def bytes(self) -> Counter[str]:
        return Counter({reason: met.bytes for reason, met in self._by.items()})
