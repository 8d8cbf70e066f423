"""Pages of the trace buffer, made by hand as the kernel makes them, and torn at will."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.linux.ring_buffer import Field, PageLayout, fields_of, page_layout, parse_page

HEADER_PAGE = """\
\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;
\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;
\tfield: char overwrite;\toffset:8;\tsize:1;\tsigned:0;
\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;
"""
LAYOUT = PageLayout(Field("commit", 8, 8), 16, 4096)
LOST, COUNTED = 1 << 31, 1 << 30


def word(kind: int, delta: int) -> bytes:
    return struct.pack("<I", delta << 5 | kind)


def data(payload: bytes, delta: int) -> bytes:
    """An event: short ones say their length in words, long ones in a word of its own."""
    padded = payload + bytes(-len(payload) % 4)
    if len(padded) <= 28 * 4:
        return word(len(padded) // 4, delta) + padded
    return word(0, delta) + struct.pack("<I", len(padded) + 4) + padded


def page(*events: bytes, time: int = 1000, flags: int = 0, lost: int = 0) -> bytes:
    body = b"".join(events)
    tail = struct.pack("<Q", lost) if flags & COUNTED else b""
    head = struct.pack("<QQ", time, len(body) | flags)
    return (head + body + tail).ljust(4096, b"\0")


def contents(whole: bytes) -> list[tuple[int, bytes]]:
    return [(time, whole[begin:end]) for time, begin, end in parse_page(whole, LAYOUT).events]


def test_the_layout_is_what_the_kernel_says() -> None:
    assert page_layout(HEADER_PAGE) == LAYOUT
    with pytest.raises(ValueError, match="commit"):
        page_layout("nothing of the kind")


def test_fields_of_a_format() -> None:
    text = "\tfield:__data_loc unsigned char[] hits;\toffset:44;\tsize:4;\tsigned:0;\n"
    text += "\tfield:char a[3];\toffset:48;\tsize:3;"
    assert fields_of(text) == [Field("hits", 44, 4), Field("a", 48, 3)]


def test_times_add_up_and_payloads_are_whole() -> None:
    long = bytes(range(200)) + b"...."
    whole = page(data(b"abcd", 0), data(b"efgh", 7), data(long, 3), data(b"ijkl", 1))
    assert contents(whole) == [(1000, b"abcd"), (1007, b"efgh"), (1010, long), (1011, b"ijkl")]


def test_long_deltas_and_full_timestamps() -> None:
    high = 0b10101 << 59
    extend = word(30, 5) + struct.pack("<I", 2)
    stamp = word(31, 9) + struct.pack("<I", 1)
    whole = page(extend, data(b"abcd", 1), stamp, data(b"efgh", 2), time=high)
    assert contents(whole) == [(high + (2 << 27) + 6, b"abcd"), (high + (1 << 27) + 11, b"efgh")]


def test_padding_is_skipped_or_ends_the_page() -> None:
    discarded = word(29, 1) + struct.pack("<I", 8) + bytes(4)
    end = word(29, 0) + struct.pack("<I", 0)
    whole = page(data(b"abcd", 0), discarded, data(b"efgh", 2), end, data(b"gone", 1))
    assert contents(whole) == [(1000, b"abcd"), (1002, b"efgh")]


def test_lost_events_are_told() -> None:
    events = (data(b"abcd", 0),)
    assert parse_page(page(*events), LAYOUT).lost == 0
    assert parse_page(page(*events, flags=LOST), LAYOUT).lost == -1
    assert parse_page(page(*events, flags=LOST | COUNTED, lost=41), LAYOUT).lost == 41


def test_what_is_not_committed_is_not_there() -> None:
    whole = bytearray(page(data(b"abcd", 0), data(b"efgh", 1)))
    whole[8:16] = struct.pack("<Q", 8)
    assert contents(bytes(whole)) == [(1000, b"abcd")]


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=150), st.integers(0, (1 << 27) - 1)), max_size=20))
def test_what_goes_in_comes_out(events: list[tuple[bytes, int]]) -> None:
    time, expected = 1000, []
    for payload, delta in events:
        time += delta
        expected.append((time, payload + bytes(-len(payload) % 4)))
    assert contents(page(*(data(payload, delta) for payload, delta in events))) == expected


@given(st.binary(max_size=300))
def test_no_bytes_are_too_bad(rubbish: bytes) -> None:
    """Nothing raises or loops, and every event lies within what was committed."""
    for whole in (rubbish, page(rubbish), rubbish.ljust(4096, b"\xff")):
        parsed = parse_page(whole, LAYOUT)
        assert all(16 <= begin <= end <= len(whole) for _, begin, end in parsed.events)
        assert [begin for _, begin, _ in parsed.events] == sorted(begin for _, begin, _ in parsed.events)
