"""Times of pages in 4 bits: against a dictionary, and what is no record."""

from __future__ import annotations

import random

import pytest

from udamon.native._native import (
    AGE_GROUP_BYTES,
    AGE_TIMES,
    PAGE_ACCESSED,
    PAGE_MAPPED,
    PAGE_NOT_COUNTED,
    RESIDENT,
    TOUCHED,
    page_ages,
)

KINDS = bytearray(256)
KINDS[PAGE_MAPPED] = RESIDENT
KINDS[PAGE_MAPPED | PAGE_ACCESSED] = RESIDENT | TOUCHED
SAME = bytes(range(AGE_TIMES)) + b"\0"
IDLE, USED, NONE, OTHER = PAGE_MAPPED, PAGE_MAPPED | PAGE_ACCESSED, 0, PAGE_MAPPED | PAGE_NOT_COUNTED
GIB_PAGES = 1 << 18


def fold(states: bytes, record: bytes = b"", remap: bytes = SAME, newest: int = 0, room: int = 10_000):  # type: ignore[no-untyped-def]
    return page_ages(states=states, kinds=KINDS, record=record, remap=remap, newest=newest, room=room)


def test_against_a_dictionary() -> None:
    """Many looks at pages that come, go, are accessed or not, while times are joined."""
    chance = random.Random(5)
    number = 64 * 40
    record, known = b"", dict[int, int]()
    for look in range(60):
        newest = min(look, AGE_TIMES - 1)
        remap = SAME if look < AGE_TIMES else bytes([0, 0, *range(1, AGE_TIMES - 1), 0])
        sparse = chance.random()
        states = bytes(
            NONE
            if (at // 64 + look) % 3 == 0
            else chance.choices((NONE, OTHER, IDLE, USED), (sparse, 0.1, 2, 1))[0]
            for at in range(number)
        )
        again, now = [0] * AGE_TIMES, dict[int, int]()
        for at, state in enumerate(states):
            before = remap[known[at]] if at in known else None
            if state == USED and before is not None:
                again[before] += 1
            if state in (USED, IDLE):
                now[at] = newest if state == USED or before is None else before
        found = fold(states, record, remap, newest)
        assert list(found.again) == again
        assert list(found.pages) == [list(now.values()).count(age) for age in range(AGE_TIMES)]
        assert found.left_out == 0
        record, known = found.record, now


def test_what_is_resident_alone_takes_room() -> None:
    """A page at each end of a GiB takes two groups; all of it takes 4 bits a page and 6 bytes."""
    states = bytearray(GIB_PAGES)
    states[0] = states[-1] = IDLE
    assert len(fold(bytes(states)).record) == 2 + 2 * 4 + 2 * AGE_GROUP_BYTES
    assert len(fold(bytes([IDLE]) * GIB_PAGES).record) == GIB_PAGES // 2 + 6
    assert fold(bytes(GIB_PAGES)).record == b""


def test_where_there_is_no_room() -> None:
    """New groups are left out, and counted; those that are there already stay."""
    found = fold(bytes([IDLE]) * 256, room=1)
    assert (found.pages[0], found.left_out) == (64, 192)
    again = fold(bytes([USED]) * 256, found.record, newest=1, room=0)
    assert (again.pages[1], again.again[0], again.left_out) == (64, 64, 192)


@pytest.mark.parametrize(
    ("record", "remap", "newest"),
    [
        (b"\1", SAME, 0), (b"\1\0", SAME, 0), (b"\1\0\0\0\1\0", SAME, 0), (b"\1\0\xff\xff\1\0" + bytes(32), SAME, 0),
        (b"\0\0x", SAME, 0), (b"", bytes([15] * 16), 0), (b"", SAME, AGE_TIMES),
        (b"\2\0\1\0\1\0\0\0\1\0" + bytes(64), SAME, 0),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(record: bytes, remap: bytes, newest: int) -> None:
    with pytest.raises(ValueError, match="make no sense"):
        fold(bytes([IDLE]) * 64, record, remap, newest)
    with pytest.raises(ValueError, match="make no sense"):
        fold(bytes([IDLE]) * (GIB_PAGES + 1))
