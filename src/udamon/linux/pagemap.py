"""/proc/PID/pagemap: what each page of a process is, told as runs of pages that are alike.

One entry of 64 bits a page: bit 63 present, 62 swapped, 61 file or shared, 55 soft-dirty, and in the low 55
bits the frame of a present page. Frame 0 means "not permitted", never "frame 0". A kernel that reads a hole
still writes an entry for each of its pages (2 s per TiB), so `pagemap_scan` is to be preferred.

Runs use the categories of PAGEMAP_SCAN. "Present" includes the zero page, which Rss leaves out. A mapping
that is new, has grown or was merged with a new one reads soft-dirty throughout (VM_SOFTDIRTY).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from udamon.linux.procfs import ProcessId, open_of
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE, USER_END, Range

PRESENT, SWAPPED, SOFT_DIRTY = 1 << 3, 1 << 4, 1 << 7
"""PAGE_IS_PRESENT, PAGE_IS_SWAPPED and PAGE_IS_SOFT_DIRTY of linux/fs.h."""

ENTRY_PRESENT, ENTRY_EXCLUSIVE, ENTRY_SOFT_DIRTY = 1 << 63, 1 << 56, 1 << 55
"""Bits of an entry; exclusive: no other process maps the page."""
ENTRY_FRAME = (1 << 55) - 1
"""Of the entry of a present page, the bits of its frame."""

_ENTRY = 8
_CHUNK = 1 << 16  # pages a read: half a MiB, whatever the range
_TOP, _SECOND = (7, 6) if sys.byteorder == "little" else (0, 1)
# One byte a page, made by slicing and table look-ups that run at the speed of C: the topmost byte of an entry
# has bits 63 and 62, the one below it has bit 55 as its own topmost bit.
_STATE = bytes((byte >> 7) * PRESENT | (byte >> 6 & 1) * SWAPPED for byte in range(256))
_DIRTY = bytes(byte & SOFT_DIRTY for byte in range(256))
_RUNS = re.compile(
    b"|".join(
        re.escape(bytes([state | dirty])) + b"+" for state in (PRESENT, SWAPPED) for dirty in (0, SOFT_DIRTY)
    )
)


class Run(NamedTuple):
    """[start, end) in bytes, all pages of which are `categories`: PRESENT or SWAPPED, maybe SOFT_DIRTY."""

    start: int
    end: int
    categories: int


def open_page_map(process: ProcessId, root: Path = PROC) -> int:
    """A descriptor of the page map; it goes on meaning this address space after an exec. Raises OSError."""
    return open_of(process, "pagemap", os.O_RDONLY, root)


def page_map_entry(fd: int, address: int) -> int:
    """One entry of a page map. Raises ProcessLookupError where the address space is gone, and other OSErrors."""
    data = os.pread(fd, _ENTRY, address // PAGE_SIZE * _ENTRY)
    if len(data) < _ENTRY:
        raise ProcessLookupError
    return int.from_bytes(data, "little")


def read_runs(fd: int, ranges: Iterable[Range]) -> Iterator[Run]:
    """Runs of present and of swapped pages in `ranges` (grown to whole pages), in the order of the ranges.

    Reads an entry for every page, holes too. Neighbouring runs may be alike where a read ended. Raises OSError.
    """
    for start, end in ranges:
        page, last = start // PAGE_SIZE, -(-min(end, USER_END) // PAGE_SIZE)
        while page < last:
            data = os.pread(fd, min(last - page, _CHUNK) * _ENTRY, page * _ENTRY)
            if len(data) < _ENTRY:
                break  # above the highest address of a process
            yield from parse_runs(data, page * PAGE_SIZE)
            page += len(data) // _ENTRY


def parse_runs(data: bytes, start: int) -> Iterator[Run]:
    """Runs in the entries `data`, whose first is of the page at address `start`."""
    for match in _RUNS.finditer(_categories(data)):
        first, last = match.span()
        yield Run(start + first * PAGE_SIZE, start + last * PAGE_SIZE, match[0][0])


def _categories(data: bytes) -> bytes:
    """One byte of categories for each entry."""
    state = data[_TOP::_ENTRY].translate(_STATE)
    dirty = data[_SECOND::_ENTRY].translate(_DIRTY)
    # bytes know no "or", integers of any length do
    both = int.from_bytes(state, "little") | int.from_bytes(dirty, "little")
    return both.to_bytes(len(state), "little")
