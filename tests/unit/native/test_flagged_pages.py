"""Which pages may be called referenced for another reason: made-up page maps and flags of frames."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from udamon.native._native import flagged_pages, new_frames

if TYPE_CHECKING:
    from udamon.native._native import Frames

PRESENT, FILE = 1 << 63, 1 << 61
REFERENCED, ACTIVE, HEAD, TAIL, IDLE = 1 << 2, 1 << 6, 1 << 15, 1 << 16, 1 << 25
UPTODATE = 1 << 3


class Memory:
    """Files as /proc/PID/pagemap and /proc/kpageflags are."""

    def __init__(self, place: Path, entries: list[int], flags: list[int]) -> None:
        self.map, self.flags = (
            self._open(place / name, words) for name, words in (("map", entries), ("flags", flags))
        )

    @staticmethod
    def _open(path: Path, words: list[int]) -> int:
        path.write_bytes(array("Q", words).tobytes())
        return os.open(path, os.O_RDONLY)

    def count(self, first: int, last: int, before: Frames, now: Frames) -> tuple[int, int]:
        found = flagged_pages(map=self.map, flags=self.flags, first=first, last=last, before=before, now=now)
        return found.pages, found.flagged

    def close(self) -> None:
        os.close(self.map)
        os.close(self.flags)


@pytest.fixture
def eight(tmp_path: Path) -> Iterator[Memory]:
    """Pages of frames 1 to 8 and one hole: nothing special, referenced, active, both, head, tail, idle, anonymous."""
    flags = [0, UPTODATE, REFERENCED, ACTIVE, ACTIVE | REFERENCED, HEAD, TAIL, IDLE, REFERENCED]
    entries = [PRESENT | FILE | frame for frame in range(1, 8)] + [PRESENT | 8, FILE | 1]
    memory = Memory(tmp_path, entries, flags)
    yield memory
    memory.close()


def test_what_counts(eight: Memory) -> None:
    """Of seven pages of files one has no flag, and one is only active: that counts unless it was so last time."""
    first, second, third = new_frames(), new_frames(), new_frames()
    assert eight.count(0, 9, first, second) == (7, 6)
    assert eight.count(0, 9, second, third) == (7, 5)
    assert eight.count(2, 3, second, third) == (1, 0)
    assert eight.count(2, 3, first, third) == (1, 1)
    assert eight.count(0, 1, first, third) == (1, 0)
    assert eight.count(100, 200, first, third) == (0, 0)


def test_frames_that_lie_anywhere(tmp_path: Path) -> None:
    """Far from one another, in any order, some more than once, and some beyond the end of the flags: those may be
    anything."""
    random = Random(5)
    flags = [random.choice((0, REFERENCED)) for _ in range(30_000)]
    frames = [random.randrange(1, 40_000) for _ in range(10_000)]
    memory = Memory(tmp_path, [PRESENT | FILE | frame for frame in frames], flags)
    expected = sum(frame >= len(flags) or flags[frame] != 0 for frame in frames)
    assert memory.count(0, 10_000, new_frames(), new_frames()) == (10_000, expected)
    memory.close()


def test_what_is_refused(eight: Memory) -> None:
    with pytest.raises(ValueError, match="pages are in order"):
        eight.count(2, 1, new_frames(), new_frames())
    with pytest.raises(ValueError, match="Capsule"):
        flagged_pages(map=0, flags=0, first=0, last=1, before=(), now=new_frames())
    with pytest.raises(OSError, match="Bad file descriptor"):
        flagged_pages(map=-1, flags=eight.flags, first=0, last=1, before=new_frames(), now=new_frames())
    with pytest.raises(OSError, match="Bad file descriptor"):
        flagged_pages(map=eight.map, flags=-1, first=0, last=1, before=new_frames(), now=new_frames())
