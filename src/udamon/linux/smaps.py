"""/proc/PID/smaps: how much of each mapping is resident, was referenced, and is shared.

A mapping of hugetlb pages (flag "ht") always shows Rss and Referenced 0: the kernel accounts such pages
apart and clear_refs passes them by, so nothing can be said of them from here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from udamon.linux.held import Held
from udamon.linux.maps import line_range, newest
from udamon.linux.procfs import ProcessId, open_of
from udamon.linux.roots import PROC
from udamon.linux.urgent import urgent

# Fields are found by name, others may come in between. No name of a mapping can look like one, for the
# kernel prints a newline in a name as \012. Twice as fast as one pattern for all of an entry.
_RESIDENT = re.compile(rb"\nRss: +([1-9][0-9]*) kB\n")
_AMOUNTS = re.compile(
    rb"\nPrivate_Clean: +([0-9]+) kB\nPrivate_Dirty: +([0-9]+) kB\nReferenced: +[0-9]+ kB\nAnonymous: +([0-9]+) kB\n"
    rb"(?:KSM: +([0-9]+) kB\n)?"
)
_HUGE = re.compile(rb"\n(?:AnonHugePages|ShmemPmdMapped|FilePmdMapped): +([1-9][0-9]*) kB\n")
_ADVISED = re.compile(rb"\nVmFlags:[^\n]* (rr|sr)\b")
_ADVICE = {b"rr": "random", b"sr": "sequential"}
_HUGETLB = re.compile(
    rb"^[0-9a-f]+-[0-9a-f]+ [^\n]*\n(?:(?!Shared_Hugetlb:)[A-Z][^\n]*\n)*"
    rb"Shared_Hugetlb: +([0-9]+) kB\nPrivate_Hugetlb: +([0-9]+) kB\n",
    re.MULTILINE,
)


class Referenced(NamedTuple):
    """A mapping [start, end) with something resident; sizes in bytes.

    `referenced` counts pages with the accessed bit set in this process, or marked referenced in the page
    itself (page cache read through read(2) by anyone, say).
    """

    start: int
    end: int
    rss: int
    referenced: int


class MappingPages(NamedTuple):
    """What a mapping's pages are. `private`: bytes of the resident ones that nothing else maps; `anonymous`: of
    those that are no page cache (and no shared memory); `merged`: of those that KSM may share with anybody.
    `device` ("fe:00") and `inode` are of its file, inode 0 for none, and `offset` is in it, in bytes.
    """

    private: int
    anonymous: int
    merged: int
    device: str
    inode: int
    offset: int


def read_smaps(
    process: ProcessId, root: Path = PROC, *, held: Held | None = None, prioritized: bool = False
) -> bytes:
    """The file as it is; the kernel walks every resident page for it. Raises OSError.

    Each read holds the target's mapping lock for as many mappings as fit into it (one at least): `held` counts that;
    `prioritized`: as a real-time thread, which nothing preempts.
    """
    held = held or Held()
    fd = open_of(process, "smaps", os.O_RDONLY, root)
    chunks: list[bytes] = []
    try:
        with urgent(prioritized):
            while True:
                with held.call():
                    chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
    finally:
        os.close(fd)


def parse_referenced(data: bytes) -> list[Referenced]:
    """Mappings with anything resident, in address order and without overlap."""
    found = [_referenced(data, match, _head(data, match.start())) for match in _RESIDENT.finditer(data)]
    return newest(found, found)


def parse_mapped(data: bytes) -> list[tuple[Referenced, MappingPages | None]]:
    """Each mapping that `parse_referenced` finds, with what its pages are; None where a kernel does not say."""
    found: list[Referenced] = []
    pages: list[MappingPages | None] = []
    for match in _RESIDENT.finditer(data):
        head = _head(data, match.start())
        found.append(_referenced(data, match, head))
        pages.append(_pages(data, match.start(), head))
    return newest(list(zip(found, pages, strict=True)), found)


def _head(data: bytes, position: int) -> bytes:
    """The head of the entry in which `position` is, as a line of maps; "Size:" is the first line below it."""
    end = data.rindex(b"\nSize:", 0, position)
    return data[data.rfind(b"\n", 0, end) + 1 : end]


def _referenced(data: bytes, rss: re.Match[bytes], head: bytes) -> Referenced:
    """Of the entry with that line of Rss."""
    at = data.index(b"\nReferenced:", rss.start()) + len(b"\nReferenced:")
    referenced_kib = int(data[at : data.index(b"kB", at)])
    return Referenced(*line_range(head), int(rss[1]) << 10, referenced_kib << 10)


def _pages(data: bytes, position: int, head: bytes) -> MappingPages | None:
    """Of the entry in which `position` is."""
    fields = head.split(None, 5)
    end = data.find(b"\nSize:", position)  # of the next mapping
    end = len(data) if end < 0 else end
    amounts = _AMOUNTS.search(data, position, end)
    if amounts is None or len(fields) < 5:
        return None
    clean, dirty, anonymous, merged = (int(word or 0) << 10 for word in amounts.groups())
    if amounts[4] is None and re.search(rb"\nVmFlags:[^\n]* mg\b", data[position:end]):
        merged = anonymous  # a kernel before 6.6 does not tell how much
    return MappingPages(
        clean + dirty, anonymous, merged, fields[3].decode(), int(fields[4]), int(fields[2], 16)
    )


def advised(data: bytes) -> list[tuple[int, int, str]]:
    """Start, end and advice of the mappings for which MADV_RANDOM or MADV_SEQUENTIAL holds, in address order."""
    if b" rr" not in data and b" sr" not in data:
        return []
    return [(*line_range(_head(data, match.start())), _ADVICE[match[1]]) for match in _ADVISED.finditer(data)]


def huge_bytes(data: bytes) -> dict[int, int]:
    """Bytes in transparent huge pages of the mappings that have any, by their start."""
    found: dict[int, int] = {}
    for match in _HUGE.finditer(data):
        start = line_range(_head(data, match.start())).start
        found[start] = found.get(start, 0) + (int(match[1]) << 10)
    return found


def hugetlb_bytes(data: bytes) -> int:
    """Bytes of hugetlb pages of the process, which `parse_referenced` cannot see."""
    if b" ht" not in data:
        return 0
    return sum(int(shared) + int(private) for shared, private in _HUGETLB.findall(data)) << 10
