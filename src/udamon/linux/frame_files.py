"""Files with one word of 64 bits a page frame (/proc/kpageflags, /proc/kpagecgroup), and the idle bitmap: root only."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from udamon.linux.roots import PROC, SYS
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE

ACTIVE, COMPOUND_HEAD, COMPOUND_TAIL = 1 << 6, 1 << 15, 1 << 16
"""Flags of /proc/kpageflags (KPF_…)."""

BLOCK = HUGE_PAGE_SIZE // PAGE_SIZE
"""Frames of a huge page; no folio that can be acted on reaches over the edge of such a block."""

IDLE_BITMAP = "kernel/mm/page_idle/bitmap"
"""Below /sys."""

_WORD = 8
_GAP = 128  # frames: reading this many for nothing costs less than another system call


class FrameWords:
    """One of the files with a word a frame."""

    def __init__(self, name: str, root: Path = PROC) -> None:
        """Raises OSError: EACCES without root, ENOENT where the kernel was built without it."""
        self._fd = os.open(root / name, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, frames: Iterable[int]) -> dict[int, int]:
        """The word of each frame; frames beyond the end of memory are left out. Neighbours share a system call:
        10 to 50 ns a frame, 1 µs for one that is far from the others. Raises OSError."""
        found: dict[int, int] = {}
        for first, last, wanted in _runs(sorted(set(frames))):
            data = os.pread(self._fd, (last - first + 1) * _WORD, first * _WORD)
            words = array("Q", data[: len(data) - len(data) % _WORD])
            found.update((frame, words[frame - first]) for frame in wanted if frame - first < len(words))
        return found

    def close(self) -> None:
        os.close(self._fd)


class IdleBits:
    """The bitmap of idle page tracking: a bit is set by us, and cleared when the page is accessed."""

    def __init__(self, root: Path = SYS) -> None:
        """Raises OSError."""
        self._fd = os.open(root / IDLE_BITMAP, os.O_RDWR | os.O_CLOEXEC)

    def accessed(self, frames: Iterable[int]) -> set[int]:
        """Those of `frames` that were accessed since they were last asked about, or never were asked about; they are
        marked idle again. About 3 µs for each 64 frames that lie together, and 0.1 µs a mapping. Raises OSError."""
        wanted: dict[int, int] = {}
        for frame in frames:
            wanted[frame // 64] = wanted.get(frame // 64, 0) | 1 << frame % 64
        found = set()
        for number, bits in wanted.items():
            data = os.pread(self._fd, _WORD, number * _WORD)
            if len(data) < _WORD:
                continue
            young = bits & ~array("Q", data)[0]
            if young:
                os.pwrite(self._fd, array("Q", [young]).tobytes(), number * _WORD)
                found |= {number * 64 + bit for bit in range(64) if young >> bit & 1}
        return found

    def close(self) -> None:
        os.close(self._fd)


def folio_sizes(flags: FrameWords, frames: Iterable[int]) -> Mapping[int, int]:
    """Frames in the folio of each frame: 1 for a small page. Raises OSError."""
    words = flags.read(frames)
    sizes = {frame: 1 for frame, word in words.items() if not word & (COMPOUND_HEAD | COMPOUND_TAIL)}
    compound = words.keys() - sizes.keys()
    for block in {frame // BLOCK for frame in compound}:
        found = _sizes_in(flags, block)
        sizes.update((frame, found[frame]) for frame in found.keys() & compound)
    return sizes


def _sizes_in(flags: FrameWords, block: int) -> Mapping[int, int]:
    """The same for a whole block: a folio is what has tails up to the next page that is none."""
    start, end = block * BLOCK, (block + 1) * BLOCK
    words = flags.read(range(start, end))
    sizes: dict[int, int] = {}
    for frame in range(start, end + 1):
        if frame == end or not words.get(frame, 0) & COMPOUND_TAIL:
            sizes.update(dict.fromkeys(range(start, frame), frame - start))
            start = frame
    return sizes


def _runs(frames: list[int]) -> Iterator[tuple[int, int, list[int]]]:
    """(first, last, frames) of each stretch of sorted frames without a large gap."""
    at = 0
    for index in range(1, len(frames) + 1):
        if index == len(frames) or frames[index] - frames[index - 1] > _GAP:
            yield frames[at], frames[index - 1], frames[at:index]
            at = index
