"""What an actor knows of a process: its pieces, of real mappings of this very process and of lines made up here."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from tests.capabilities import _address_of
from udamon.acting import view as module
from udamon.acting.view import FRESH_NS, MappingPiece, Views, _piece, _special_mappings
from udamon.core.target import Target
from udamon.linux.procfs import read_stat
from udamon.linux.smaps import read_smaps
from udamon.model import PAGE_SIZE


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def me() -> Target:
    return Target(0, os.getpid(), read_stat(os.getpid()).start_time)


LINE = b"7f0000000000-7f0000010000 r-xp 00003000 08:01 131 /usr/lib/x.so"


def test_a_line_is_a_piece() -> None:
    assert _piece(LINE, {}) == MappingPiece(0x7F0000000000, 0x7F0000010000, True, True, False, 3)
    anonymous = _piece(b"10000-20000 rw-s 00000000 00:00 0", {0x10000: b" rd lo "})
    assert anonymous == MappingPiece(0x10000, 0x20000, False, False, True, 16, True), (
        "as the kernel counts pages of such"
    )


def test_what_is_the_kernels_own_or_of_hugetlb_pages_is_no_piece() -> None:
    assert _piece(b"10000-20000 r-xp 00000000 00:00 0 [vdso]", {}) is None
    assert _piece(b"10000-20000 rw-p 00000000 00:00 0", {0x10000: b" rd ht "}) is None


def test_a_part_of_a_piece_keeps_count_of_its_pages() -> None:
    piece = MappingPiece(0x10000, 0x20000, True, False, False, 100)
    assert piece.part(0x12000, 0x99000) == MappingPiece(0x12000, 0x20000, True, False, False, 102)
    assert piece.part(0, 0x11000) == MappingPiece(0x10000, 0x11000, True, False, False, 100)


def test_flags_of_locked_and_hugetlb_mappings_are_found() -> None:
    smaps = (
        b"1000-2000 rw-p 00000000 00:00 0 \nSize: 4 kB\nVmFlags: rd wr lo ac \n"
        b"2000-3000 rw-p 00000000 00:00 0 [heap]\nSize: 4 kB\nVmFlags: rd wr ac \n"
        b"3000-4000 rw-p 00000000 00:00 0 \nSize: 4 kB\nVmFlags: rd ht\n"
    )
    assert set(_special_mappings(smaps)) == {0x1000, 0x3000}


def test_pieces_are_cut_to_the_range_and_refreshed_after_a_second() -> None:
    clock = Clock()
    views = Views(now_ns=clock)
    with mmap.mmap(-1, 16 * PAGE_SIZE) as area:
        start = _address_of(area)
        view = views.of(me())
        inside = view.pieces(start + PAGE_SIZE, start + 3 * PAGE_SIZE)
        assert [(p.start, p.end) for p in inside] == [(start + PAGE_SIZE, start + 3 * PAGE_SIZE)]
    assert view.pieces(start, start + PAGE_SIZE), "not known yet to be gone"
    clock.now += FRESH_NS + 1
    assert views.of(me()) is view
    views.close()


def test_locked_memory_is_known_and_smaps_is_not_read_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0

    def counted(*arguments: object) -> bytes:
        nonlocal reads
        reads += 1
        return read_smaps(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "read_smaps", counted)
    libc, clock = ctypes.CDLL(None), Clock()
    views = Views(now_ns=clock)
    views.of(me())
    assert reads == 0, "nothing is locked"
    with mmap.mmap(-1, 4 * PAGE_SIZE) as area:
        start = _address_of(area)
        if libc.mlock(ctypes.c_void_p(start), ctypes.c_size_t(4 * PAGE_SIZE)):
            pytest.skip("this user may lock nothing")
        clock.now += FRESH_NS + 1
        (piece,) = views.of(me()).pieces(start, start + PAGE_SIZE)
        assert piece.locked
        assert reads == 1
    views.close()


def test_the_least_used_process_is_closed_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 1)
    views = Views()
    view = views.of(me())
    parent = Target(1, os.getppid(), read_stat(os.getppid()).start_time)
    try:
        views.of(parent)
    except PermissionError:
        pytest.skip("the parent may not be looked at")
    assert view.pidfd == view.page_map == -1
    views.close()


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(ProcessLookupError):
        Views().of(Target(0, 2**22 - 1, 1))
