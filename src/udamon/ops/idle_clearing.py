"""Clearing accessed bits by idle page tracking: frame by frame, of the accessed pages only, no lock of the target held.

To mark a frame idle clears the accessed bits of all who map it, so other processes' bits go, too. A frame that is on
no LRU list yet does not take the mark and goes on reading as accessed. It is expensive, because the kernel looks up
all mappings of a frame.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from udamon.linux.page_tables import PageTables
from udamon.linux.roots import SYS
from udamon.model import PAGE_SIZE, Range
from udamon.native._native import PAGE_ACCESSED, PAGE_NOT_COUNTED, PAGE_UNKNOWN
from udamon.ops.idle import open_bitmap

_GIB_PAGES = (1 << 30) // PAGE_SIZE
_WORD = 64


class IdleClearing:
    """Holds the bitmap open. Raises NotSupported, NotPermitted or another CannotError when made."""

    def __init__(self, tables: PageTables, root: Path = SYS) -> None:
        self._tables = tables
        self._entries = array("Q", bytes(8 * _GIB_PAGES))
        self._bitmap = open_bitmap(root, "for --clear idle, or clear another way")

    def clear(self, root: int, ranges: Sequence[Range]) -> None:
        """Clear all accessed pages in `ranges` of the process whose topmost table is at `root`. Raises OSError."""
        masks: dict[int, int] = {}
        for r in ranges:
            for looked in self._tables.look(root, r.start, r.end, self._entries):
                for frame in self._accessed(looked.states):
                    masks[frame // _WORD] = masks.get(frame // _WORD, 0) | 1 << frame % _WORD
        self._write(masks)

    def _accessed(self, states: memoryview) -> Iterator[int]:
        """Frames of accessed pages; of a huge page its head's."""
        before = -1
        for at, state in enumerate(states):
            if state & (PAGE_ACCESSED | PAGE_NOT_COUNTED | PAGE_UNKNOWN) == PAGE_ACCESSED:
                frame = self._tables.head(state, self._entries[at])
                if frame != before:
                    yield frame
                before = frame

    def _write(self, masks: dict[int, int]) -> None:
        words = sorted(masks)
        for _, group in groupby(enumerate(words), lambda pair: pair[1] - pair[0]):
            neighbours = [word for _, word in group]
            data = array("Q", [masks[word] for word in neighbours]).tobytes()
            done = 0
            while done < len(data):  # one call writes at most a page of the bitmap: the bits of 128 MiB
                written = os.pwrite(self._bitmap, data[done:], neighbours[0] * 8 + done)
                if not written:
                    break  # a last word that memory ends in: the kernel takes its bits, and does not count it
                done += written

    def close(self) -> None:
        """Idempotent."""
        if self._bitmap >= 0:
            os.close(self._bitmap)
            self._bitmap = -1
