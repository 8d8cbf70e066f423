"""States of pages by idle page tracking, on made-up files."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fake_idle import HEAD, HUGETLB, LRU, PAGE, PRESENT, SWAPPED, TAIL, FakeIdle
from udamon.native._native import PAGE_ACCESSED, PAGE_MAPPED, PAGE_NOT_COUNTED, IdleStates, idle_states

PID, FIRST = 7, 1 << 30
FIRST_PAGE = FIRST // PAGE
IDLE, USED, UNKNOWN = PAGE_MAPPED, PAGE_MAPPED | PAGE_ACCESSED, PAGE_MAPPED | PAGE_NOT_COUNTED


class Pages:
    """A process whose pages from FIRST on have the frames that are given, a word of the bitmap apart."""

    def __init__(self, root: Path) -> None:
        self.fake = FakeIdle(root)
        self.fake.process(PID, {})
        self.fds = [
            os.open(self.fake.roots.proc / str(PID) / "pagemap", os.O_RDONLY),
            os.open(self.fake.flags, os.O_RDONLY),
            os.open(self.fake.bitmap, os.O_RDWR),
        ]
        self.states = bytearray(16)

    def map(self, *entries: int) -> None:
        self.fake.map(PID, {FIRST_PAGE + at: entry for at, entry in enumerate(entries)})

    def look(self, *, mark: bool, pieces: tuple[int, ...] = (0, 16)) -> IdleStates:
        bounds = array("Q", [FIRST + page * PAGE for page in pieces])
        page_map, flags, bitmap = self.fds
        return idle_states(
            page_map=page_map, flags_fd=flags, bitmap_fd=bitmap, first=FIRST, pieces=bounds,
            states=self.states, mark=mark,
        )  # fmt: skip


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    made = Pages(tmp_path)
    yield made
    for fd in made.fds:
        os.close(fd)


def test_marked_pages_are_idle_until_they_are_accessed(pages: Pages) -> None:
    pages.map(PRESENT | 64, SWAPPED, 0, PRESENT | 640, PRESENT | 128)
    pages.look(mark=True)
    assert list(pages.states[:5]) == [USED, 0, 0, USED, USED], "nobody has marked them yet"
    pages.fake.access([640])
    pages.look(mark=False)
    assert list(pages.states[:5]) == [IDLE, 0, 0, USED, IDLE]
    assert not pages.fake.is_idle(640), "looking alone marks nothing"
    pages.look(mark=True)
    assert pages.fake.is_idle(640)


def test_a_page_in_another_frame_was_accessed(pages: Pages) -> None:
    pages.map(PRESENT | 64)
    pages.look(mark=True)
    pages.map(PRESENT | 128)
    pages.look(mark=False)
    assert pages.states[0] == USED


def test_what_takes_no_idle_bit_is_not_counted(pages: Pages) -> None:
    pages.map(PRESENT | 64, PRESENT | 128, PRESENT | 192)
    pages.fake.flag(64, 0)
    pages.fake.flag(128, LRU | HUGETLB | HEAD)
    pages.look(mark=True)
    assert list(pages.states[:3]) == [UNKNOWN, UNKNOWN, USED]
    assert not pages.fake.is_idle(64)


def test_a_huge_page_answers_by_its_head(pages: Pages) -> None:
    pages.map(*(PRESENT | 1024 + at for at in range(4)))
    pages.fake.flag(1024, LRU | HEAD)
    for at in range(1, 4):
        pages.fake.flag(1024 + at, LRU | TAIL)
    pages.fake.flag(1028, LRU)
    pages.look(mark=True)
    pages.look(mark=False)
    assert list(pages.states[:4]) == [IDLE] * 4
    pages.fake.access([1024])
    pages.look(mark=False)
    assert list(pages.states[:4]) == [USED] * 4


def test_pieces_frames_that_are_not_told_and_the_end(pages: Pages) -> None:
    pages.map(*(PRESENT | 64 * at for at in range(16)))
    found = pages.look(mark=True, pieces=(0, 3, 5, 7))
    assert (found.withheld, found.gone) == (1, 0)
    assert [at for at in range(16) if pages.states[at]] == [0, 1, 2, 5, 6]
    os.truncate(pages.fake.roots.proc / str(PID) / "pagemap", 0)
    assert pages.look(mark=True).gone == 1


@pytest.mark.parametrize("pieces", [(0,), (3, 1), (0.5, 1)])
def test_what_makes_no_sense_is_refused(pages: Pages, pieces: tuple[float, ...]) -> None:
    bounds = array("Q", [FIRST + int(page * PAGE) for page in pieces])
    with pytest.raises(ValueError, match="make no sense"):
        idle_states(
            page_map=-1,
            flags_fd=-1,
            bitmap_fd=-1,
            first=FIRST,
            pieces=bounds,
            states=bytearray(4),
            mark=False,
        )
