"""Which mapping a region is of: the one it shares most bytes with, among those valid at its time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingType
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from udamon.record.naming import ANONYMOUS, FILE, LIBRARY, SHARED, kind_of
from udamon.record.reader import Recording

NO_MAPPING = "[memory]"
"""Stands for the name of memory of which no mapping is known."""


class NamedMapping(NamedTuple):
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
        self._by_start: dict[int, NamedMapping] = {}

    def apply(self, data: MappingType[str, Any]) -> None:
        """Take in one event's `remove` and `add`."""
        gone = [start for start in data.get("remove", ()) if self._by_start.pop(start, None)]
        if gone:
            self._starts = sorted(self._by_start)
        for start, end, perms, _offset, _inode, name in data.get("add", ()):
            if start not in self._by_start:
                insort(self._starts, start)
            self._by_start[start] = NamedMapping(start, end, perms, name)

    def __len__(self) -> int:
        return len(self._starts)

    def begins_at(self, start: int) -> bool:
        """Whether one of them begins at this address."""
        return start in self._by_start

    def __iter__(self) -> Iterator[NamedMapping]:
        return (self._by_start[start] for start in self._starts)

    def largest_overlap(self, start: int, end: int) -> NamedMapping | None:
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


class Mapping(NamedTuple):
    """A mapping of a target; `offset` is into the file, in bytes."""

    start: int
    end: int
    perms: str
    offset: int
    name: str


def history_of(recording: Recording) -> dict[int, list[Mapping]]:
    """Every target's mappings of all times, sorted and disjoint: where two were in one place, the later one has it. Of
    a mapping that became smaller the rest stays: earlier windows saw that memory."""
    found: dict[int, dict[Mapping, None]] = {}
    newest: dict[tuple[int, int], Mapping] = {}  # by target and start
    for event in recording.events():
        if event.name == "mappings":
            data: Any = event.data
            target = data["target"]
            known = found.setdefault(target, {})
            for start, end, perms, offset, _inode, name in data.get("add", ()):
                mapping = Mapping(start, end, perms, offset, name)
                before = newest.get((target, start))
                if before is not None and before.end <= end:
                    known.pop(before, None)  # nothing of it is left, as of a heap that grows all the time
                known.pop(mapping, None)  # so that the order is that of time
                known[mapping] = None
                newest[target, start] = mapping
    return {target: sorted(_latest(known)) for target, known in found.items()}


def _latest(known: Iterable[Mapping]) -> list[Mapping]:
    """Those in order of time, each cut where a later one lies."""
    taken: list[Mapping] = []  # sorted and disjoint
    for mapping in reversed(list(known)):
        at = bisect_left(taken, mapping.start, key=lambda one: one.end - 1)
        low, added = mapping.start, []
        while at < len(taken) and taken[at].start < mapping.end:
            if low < taken[at].start:
                added.append(_cut(mapping, low, taken[at].start))
            low = max(low, taken[at].end)
            at += 1
        if low < mapping.end:
            added.append(_cut(mapping, low, mapping.end))
        for one in added:
            taken.insert(bisect_left(taken, one.start, key=lambda each: each.start), one)
    return taken


def _cut(mapping: Mapping, low: int, high: int) -> Mapping:
    return mapping._replace(start=low, end=high, offset=mapping.offset + low - mapping.start)


def matches(pattern: str, words: Iterable[str]) -> bool:
    """Whether one of the words of a mapping (name, label, kind) is the pattern, or matches its * and ?."""
    return any(fnmatchcase(word, pattern) for word in words)


def pieces_of(recording: Recording, pattern: str) -> list[tuple[int, int, int]]:
    """(target, start, end) of the mappings whose name, label or kind `pattern` is or matches (* and ?).

    Neighbours are one piece. The pattern "anonymous" is anonymous memory without a name.
    """
    found: list[tuple[int, int, int]] = []
    for target, mappings in sorted(history_of(recording).items()):
        for mapping in mappings:
            words = (mapping.name, label_of(mapping.name), kind_of(mapping.name))
            if mapping.perms.startswith("---") or not matches(pattern, words):
                continue
            if found and found[-1][0] == target and found[-1][2] == mapping.start:
                found[-1] = (target, found[-1][1], mapping.end)
            else:
                found.append((target, mapping.start, mapping.end))
    return found
