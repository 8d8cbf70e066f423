"""Which processes map a page frame: the page maps of all processes, inverted.

Making it reads an entry for each page that is present in any process: 0.2 s of CPU a GiB that is mapped (measured:
4.5 GiB in 0.92 s), and 12 bytes a run of neighbouring frames. It may be old: who acts by it compares the frames again.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from udamon.acting.pages import entries_of, present
from udamon.linux.maps import line_range, read_lines
from udamon.linux.pagemap import ENTRY_FRAME, open_page_map
from udamon.linux.procfs import ProcessId, list_pids, read_stat
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined

LONGEST = 512
"""Pages of a run: a look need not search further back for one that reaches into its range."""

_OFFSET_BITS, _COUNT_BITS = 16, 9  # a chunk has at most 65536 pages, a run at most LONGEST
_FRAME_SHIFT = _OFFSET_BITS + _COUNT_BITS
_NEAR = 2 << 20


class MappedFrames(NamedTuple):
    """[start, end) of a process's addresses, backed by neighbouring frames from `frame` on."""

    process: ProcessId
    start: int
    end: int
    frame: int


class Chunk:
    """Some neighbouring pages of one process: their runs of frames, sorted by frame."""

    def __init__(self, process: ProcessId, address: int, entries: array[int]) -> None:
        """`entries` of the page map as signed words, the first of the page at `address`. Raises PermissionError
        for frame 0."""
        self._process = process
        self._address = address
        runs = sorted(_runs(entries))
        if runs and not runs[0] >> _FRAME_SHIFT:
            raise PermissionError("the page map withholds frame numbers")
        self.frames = array("Q", [run >> _FRAME_SHIFT for run in runs])
        self._offsets = array("H", [run >> _COUNT_BITS & (1 << _OFFSET_BITS) - 1 for run in runs])
        self._counts = array("H", [(run & LONGEST - 1) + 1 for run in runs])

    def find(self, first: int, last: int) -> Iterator[MappedFrames]:
        """What is mapped of the frames [first, last)."""
        for at in range(bisect_left(self.frames, first - LONGEST), bisect_left(self.frames, last)):
            frame = self.frames[at]
            begin, end = max(frame, first), min(frame + self._counts[at], last)
            if begin < end:
                base = self._address + (self._offsets[at] - frame) * PAGE_SIZE
                yield MappedFrames(self._process, base + begin * PAGE_SIZE, base + end * PAGE_SIZE, begin)


class ReverseMap:
    """Frames by number. `unreadable` counts processes that could not be looked at."""

    def __init__(self, root: Path = PROC, leave_out: frozenset[int] = frozenset()) -> None:
        """Look at all processes but those in `leave_out`. Raises PermissionError where frames are withheld."""
        self.unreadable = 0
        self._chunks: list[Chunk] = []
        for pid in list_pids(root):
            if pid not in leave_out:
                self._add(pid, root)

    def find(self, first: int, last: int) -> Iterator[MappedFrames]:
        """All that is mapped of the frames [first, last); a frame as often as it is mapped."""
        for chunk in self._chunks:
            yield from chunk.find(first, last)

    def __len__(self) -> int:
        """Runs."""
        return sum(len(chunk.frames) for chunk in self._chunks)

    def _add(self, pid: int, root: Path) -> None:
        try:
            stat = read_stat(pid, root)
            if stat.kernel_thread or stat.ended:
                return
            mappings = joined(map(line_range, read_lines(stat.id, root)))
            page_map = open_page_map(stat.id, root)
        except ProcessLookupError:
            return
        except OSError:
            self.unreadable += 1
            return
        try:
            for part in joined(present(page_map, mappings), _NEAR):
                for address, data in entries_of(page_map, part):
                    self._chunks.append(Chunk(stat.id, address, array("q", data)))
        except ProcessLookupError:
            pass  # it ended; what was read of it will be found wrong
        finally:
            os.close(page_map)


def mapped_frames(found: list[MappedFrames]) -> list[Range]:
    """The frames of `found` as ranges of physical addresses, sorted and disjoint."""
    frames = sorted(Range(m.frame * PAGE_SIZE, m.frame * PAGE_SIZE + m.end - m.start) for m in found)
    return joined(frames)


def _runs(entries: array[int]) -> list[int]:
    """Runs in which frames and addresses are neighbours, each in one word: frame, offset in the chunk, pages - 1."""
    found: list[int] = []
    begin = count = 0
    wanted = -1  # the frame that goes on with the run
    for offset, entry in enumerate(entries):  # the hot loop: some 50 ns a page
        if entry < 0:  # bit 63: present
            frame = entry & ENTRY_FRAME
            if frame == wanted and count < LONGEST:
                count += 1
            else:
                if count:
                    found.append(begin << _COUNT_BITS | count - 1)
                begin, count = frame << _OFFSET_BITS | offset, 1
            wanted = frame + 1
        else:
            wanted = -1
    if count:
        found.append(begin << _COUNT_BITS | count - 1)
    return found
