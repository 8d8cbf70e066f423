"""Frames by who maps them, from page-map entries made up here."""

from __future__ import annotations

from array import array

import pytest

from udamon.acting.reverse_map import LONGEST, Chunk, MappedFrames, mapped_frames
from udamon.linux.procfs import ProcessId

PAGE = 4096
WHO = ProcessId(7, 70)
BASE = 0x7F00_0000_0000


def chunk(*frames: int | None) -> Chunk:
    """One page for each frame; None is a page that is not present. The bits above the frame do not matter."""
    words = [0 if frame is None else 1 << 63 | 1 << 56 | 1 << 61 | frame for frame in frames]
    return Chunk(WHO, BASE, array("q", array("Q", words).tobytes()))


def mapped(page: int, frame: int, pages: int = 1) -> MappedFrames:
    return MappedFrames(WHO, BASE + page * PAGE, BASE + (page + pages) * PAGE, frame)


def test_neighbours_are_one_run_and_others_are_not() -> None:
    found = chunk(10, 11, 12, None, 13, 5, 6, 20)
    assert len(found.frames) == 4
    assert list(found.find(0, 100)) == [mapped(5, 5, 2), mapped(0, 10, 3), mapped(4, 13), mapped(7, 20)]


def test_a_run_is_cut_to_what_was_asked_for() -> None:
    found = chunk(*range(100, 200))
    assert list(found.find(150, 160)) == [mapped(50, 150, 10)]
    assert list(found.find(90, 101)) == [mapped(0, 100)]
    assert list(found.find(199, 300)) == [mapped(99, 199)]
    assert list(found.find(200, 300)) == []


def test_long_runs_are_found_from_their_middle() -> None:
    found = chunk(*range(1000, 1000 + 2 * LONGEST + 5))
    assert len(found.frames) == 3
    for frame in (1000 + LONGEST - 1, 1000 + LONGEST, 1000 + 2 * LONGEST + 4):
        assert list(found.find(frame, frame + 1)) == [mapped(frame - 1000, frame)]


def test_a_frame_mapped_twice_is_found_twice_and_counted_once() -> None:
    found = list(chunk(8, 9, None, 9, 8).find(8, 10))
    assert sum(m.end - m.start for m in found) == 4 * PAGE
    assert sum(r.size for r in mapped_frames(found)) == 2 * PAGE


def test_every_page_of_any_order_is_found() -> None:
    frames = [(n * 7919) % 65536 + 1 for n in range(65536)]
    found = chunk(*frames)
    for page in (0, 1, 40_000, 65_535):
        assert mapped(page, frames[page]) in list(found.find(frames[page], frames[page] + 1))


def test_frame_0_means_that_frames_are_withheld() -> None:
    with pytest.raises(PermissionError):
        chunk(0, 0)


def test_nothing_present_is_nothing() -> None:
    assert list(chunk(None, None).find(0, 1 << 40)) == []
