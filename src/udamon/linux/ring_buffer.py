"""Pages of the kernel's trace buffer, as `trace_pipe_raw` gives them: a header, then events with time deltas.

Each event begins with 32 bits, 5 for its type and 27 for the nanoseconds since the event before it. Types 1 to
28 are data of that many words, 0 is data whose length follows; 29 is padding, 30 a longer delta, 31 a full
timestamp.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_FIELD = re.compile(r"field:\s*(?P<declaration>[^;]*);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);")

_LONGEST_DATA, _PADDING, _TIME_EXTEND, _TIME_STAMP = 28, 29, 30, 31
_DELTA_BITS = 27
_TYPE_BITS = 5
_COMMITTED = 0xF_FFFF
"""Of the header's commit word: the bytes that are filled. The flags of lost events are above."""
_LOST, _LOST_COUNTED = 1 << 31, 1 << 30
_TIME_STAMP_BITS = 59  # a full timestamp leaves out the topmost five bits

_WORD = struct.Struct("=I")
_TIME = struct.Struct("=Q")


class Field(NamedTuple):
    """A member of a structure: its name, and where it lies in bytes."""

    name: str
    offset: int
    size: int


def fields_of(text: str) -> list[Field]:
    """The fields that a `format` or `header_page` file lists, in its order."""
    found = []
    for match in _FIELD.finditer(text):
        name = match["declaration"].split()[-1].partition("[")[0]
        found.append(Field(name, int(match["offset"]), int(match["size"])))
    return found


class PageLayout(NamedTuple):
    """Where things are in a page, in bytes; `size` is that of the whole page."""

    commit: Field
    data: int
    size: int


def page_layout(text: str) -> PageLayout:
    """The layout that events/header_page tells. Raises ValueError where it is no such text."""
    fields = {field.name: field for field in fields_of(text)}
    try:
        commit, data = fields["commit"], fields["data"]
    except KeyError as missing:
        raise ValueError(f"header_page names no field {missing}") from None
    return PageLayout(commit, data.offset, data.offset + data.size)


class BufferPage(NamedTuple):
    """`events` are (time in ns, begin, end): the event's bytes lie in [begin, end) of the page.

    `lost` is how many events were overwritten before the first of these, or -1 where that is not told.
    """

    events: list[tuple[int, int, int]]
    lost: int


def parse_page(page: bytes, layout: PageLayout) -> BufferPage:
    """Parse a page, up to the first malformed record. Never raises, for any bytes (little-endian machines)."""
    if len(page) < layout.data:
        return BufferPage([], 0)
    header = layout.commit
    commit = int.from_bytes(page[header.offset : header.offset + header.size], "little")
    end = min(layout.data + (commit & _COMMITTED), len(page))
    time = _TIME.unpack_from(page)[0]
    events = []
    at = layout.data
    word_at = _WORD.unpack_from
    while at + 4 <= end:
        word = word_at(page, at)[0]
        kind, delta = word & 31, word >> _TYPE_BITS
        at += 4
        if 0 < kind <= _LONGEST_DATA:
            time += delta
            begin, at = at, at + kind * 4
        elif at + 4 > end:
            break
        elif kind == 0:
            time += delta
            length = word_at(page, at)[0]  # counts itself
            if length < 4:
                break
            begin, at = at + 4, at + (length + 3 & ~3)
        else:
            argument = word_at(page, at)[0]
            if kind == _PADDING:
                if delta == 0:
                    break  # the rest of the page is empty
                at += argument
            else:
                at += 4
                stretched = (argument << _DELTA_BITS) + delta
                time = time + stretched if kind == _TIME_EXTEND else _whole(stretched, time)
            continue
        if at > end:
            break
        events.append((time, begin, at))
    return BufferPage(events, _lost(page, commit, end))


def _whole(stamp: int, before: int) -> int:
    """A full timestamp with the bits it lacks taken from the time before it."""
    low = (1 << _TIME_STAMP_BITS) - 1
    return before & ~low | stamp & low


def _lost(page: bytes, commit: int, end: int) -> int:
    if not commit & _LOST:
        return 0
    # The count, where there was room for it, stands behind the last event.
    if commit & _LOST_COUNTED and end + 8 <= len(page):
        return int(_TIME.unpack_from(page, end)[0])
    return -1
