"""/proc/PID/smaps: how much of each mapping is resident and was referenced.

A mapping of hugetlb pages (flag "ht") always shows Rss and Referenced 0: the kernel accounts such pages
apart and clear_refs passes them by, so nothing can be said of them from here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from udamon.linux.held import Held
from udamon.linux.procfs import ProcessId, open_of
from udamon.linux.roots import PROC
from udamon.linux.urgent import urgent

# Fields are found by name, others may come in between. No name of a mapping can look like one, for the
# kernel prints a newline in a name as \012. Twice as fast as one pattern for all of an entry.
_RESIDENT = re.compile(rb"\nRss: +([1-9][0-9]*) kB\n")
_HUGE = re.compile(rb"\n(?:AnonHugePages|ShmemPmdMapped|FilePmdMapped): +([1-9][0-9]*) kB\n")
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


def read_smaps(
    process: ProcessId, root: Path = PROC, *, held: Held | None = None, hurry: bool = False
) -> bytes:
    """The file as it is; the kernel walks every resident page for it. Raises OSError.

    Each read holds the target's mapping lock for as many mappings as fit into it (one at least): `held` counts that,
    and in a `hurry` the thread is not taken off its processor meanwhile.
    """
    held = held or Held()
    fd = open_of(process, "smaps", os.O_RDONLY, root)
    chunks: list[bytes] = []
    try:
        with urgent(hurry):
            while True:
                with held.call():
                    chunk = os.read(fd, 1 << 16)
                if not chunk:
                    return b"".join(chunks)
                chunks.append(chunk)
    finally:
        os.close(fd)


def parse_referenced(data: bytes) -> list[Referenced]:
    """Mappings with anything resident, in address order."""
    return [_entry_around(data, match.start(), int(match[1])) for match in _RESIDENT.finditer(data)]


def _entry_around(data: bytes, position: int, rss_kib: int) -> Referenced:
    """The entry whose Rss line is at `position`; "Size:" is the first line below an entry's head."""
    head_end = data.rindex(b"\nSize:", 0, position)
    head = data[data.rfind(b"\n", 0, head_end) + 1 : head_end]
    start, end = head[: head.index(b" ")].split(b"-")
    at = data.index(b"\nReferenced:", position) + len(b"\nReferenced:")
    referenced_kib = int(data[at : data.index(b"kB", at)])
    return Referenced(int(start, 16), int(end, 16), rss_kib << 10, referenced_kib << 10)


def huge_bytes(data: bytes) -> dict[int, int]:
    """Bytes in transparent huge pages of the mappings that have any, by their start."""
    found: dict[int, int] = {}
    for match in _HUGE.finditer(data):
        head_end = data.rindex(b"\nSize:", 0, match.start())
        line = data.rfind(b"\n", 0, head_end) + 1
        start = int(data[line : data.index(b"-", line)], 16)
        found[start] = found.get(start, 0) + (int(match[1]) << 10)
    return found


def hugetlb_bytes(data: bytes) -> int:
    """Bytes of hugetlb pages of the process, which `parse_referenced` cannot see."""
    if b" ht" not in data:
        return 0
    return sum(int(shared) + int(private) for shared, private in _HUGETLB.findall(data)) << 10
