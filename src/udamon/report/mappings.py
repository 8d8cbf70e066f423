"""Which mapping a region is of: the one it shares most bytes with, among those valid at its time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from udamon.record.naming import ANONYMOUS, FILE, LIBRARY, SHARED, kind_of


class Mapped(NamedTuple):
    """A mapping of a target: [start, end) in bytes, and the kernel's words for it."""

    start: int
    end: int
    perms: str
    name: str

    @property
    def kind(self) -> str:
        return kind_of(self.name)

    @property
    def label(self) -> str:
        """A short name for people: "heap", "libc.so.6", "anonymous"."""
        return label_of(self.name)


def label_of(name: str) -> str:
    """A mapping's name for people: files without their directories, kinds without brackets."""
    kind = kind_of(name)
    if kind in (FILE, LIBRARY):
        return name.removesuffix(" (deleted)").rsplit("/", 1)[-1] or name
    if kind == ANONYMOUS:
        return f"anon:{name[6:-1]}" if name else ANONYMOUS
    if kind == SHARED:
        return name.removesuffix(" (deleted)").removeprefix("/") if name.startswith("/memfd:") else SHARED
    return name.strip("[]")


class MappingTable:
    """The mappings of one target, kept current by the deltas of `mappings` events."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._by_start: dict[int, Mapped] = {}

    def apply(self, data: Mapping[str, Any]) -> None:
        """Take in one event's `remove` and `add`."""
        gone = [start for start in data.get("remove", ()) if self._by_start.pop(start, None)]
        if gone:
            self._starts = sorted(self._by_start)
        for start, end, perms, _offset, _inode, name in data.get("add", ()):
            if start not in self._by_start:
                insort(self._starts, start)
            self._by_start[start] = Mapped(start, end, perms, name)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Mapped]:
        return (self._by_start[start] for start in self._starts)

    def largest_overlap(self, start: int, end: int) -> Mapped | None:
        """The mapping that shares most bytes with [start, end); the lower one when two share as much."""
        best, most = None, 0
        index = max(0, bisect_left(self._starts, start) - 1)
        while index < len(self._starts) and self._starts[index] < end:
            mapped = self._by_start[self._starts[index]]
            shared = min(end, mapped.end) - max(start, mapped.start)
            if shared > most:
                best, most = mapped, shared
            index += 1
        return best
