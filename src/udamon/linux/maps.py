"""/proc/PID/maps: the mappings of a process.

Read whole at every update, so lines are compared as bytes and only those that changed are parsed. Names
stay as the kernel prints them: a newline is "\\012", a file that was removed ends with " (deleted)".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from udamon.linux.procfs import ProcessId, open_of, read_fd
from udamon.linux.roots import PROC
from udamon.model import MemoryMapping, Range

_KERNEL_HALF = 1 << 63
"""Lines from here on are no memory of the process: [vsyscall] is one page of the kernel's own."""


_T = TypeVar("_T")


class _Extent(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


def newest(entries: Sequence[_T], extents: Sequence[_Extent]) -> list[_T]:
    """The entries, which the kernel gave in address order, without those that a later one overlaps; `extents` has the
    range of each. Between two reads, and from Linux 6.17 on within one, a mapping may grow over one that was given
    before: then the kernel gives it again, in its new extent."""
    if not any(one.end > after.start for one, after in pairwise(extents)):
        return list(entries)
    kept: list[int] = []
    for number, one in enumerate(extents):
        while kept and extents[kept[-1]].end > one.start:
            kept.pop()
        kept.append(number)
    return [entries[number] for number in kept]


def current(lines: list[bytes]) -> list[bytes]:
    """Without lines of mappings that a later line replaces."""
    return newest(lines, [line_range(line) for line in lines])


def read_lines(process: ProcessId, root: Path = PROC) -> list[bytes]:
    """The lines of mappings of a process, in address order and without overlap, [vsyscall] left out. Raises OSError."""
    return current(read_raw_lines(process, root))


def read_raw_lines(process: ProcessId, root: Path = PROC) -> list[bytes]:
    """The same with the lines that later ones replace, for comparison with an earlier reading. Raises OSError."""
    fd = open_of(process, "maps", os.O_RDONLY, root)
    try:
        return split_lines(read_fd(fd))
    finally:
        os.close(fd)


def split_lines(data: bytes) -> list[bytes]:
    """Lines of a maps file that speak of user memory."""
    lines = data.split(b"\n")
    while lines and (not lines[-1] or line_range(lines[-1]).start >= _KERNEL_HALF):
        lines.pop()
    return lines


def line_range(line: bytes) -> Range:
    """[start, end) of one line."""
    start, _, rest = line.partition(b"-")
    return Range(int(start, 16), int(rest[: rest.index(b" ")], 16))


def anonymous(lines: Iterable[bytes]) -> list[Range]:
    """The mappings of no file; without the kernel's own ([vvar], [vdso]), which take no advice."""
    mappings = map(parse_line, lines)
    return [m.range for m in mappings if m.inode == 0 and not m.name.startswith("[v")]


def parse_line(line: bytes) -> MemoryMapping:
    """One line of a maps file."""
    fields = line.split(None, 5)
    start, end = fields[0].split(b"-")
    # the name is padded with blanks before it; those after it would be its own
    name = os.fsdecode(fields[5]) if len(fields) > 5 else ""
    return MemoryMapping(
        int(start, 16), int(end, 16), fields[1].decode(), int(fields[2], 16), int(fields[4]), name
    )
