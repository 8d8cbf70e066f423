"""maps and smaps: odd names, addresses and fields, and that the fast readers agree with a slow one."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linux.test_fake import MAPS, smaps_entry
from udamon.linux import maps, procfs, smaps
from udamon.linux.held import Held
from udamon.model import Range


def test_maps_of_a_process() -> None:
    """[vsyscall] is the kernel's; names are what the kernel prints."""
    found = [maps.parse_line(line) for line in maps.split_lines(MAPS.encode())]
    assert [m.name for m in found] == ["/usr/bin/sleep", "[heap]", "", "[stack]"]
    assert found[0].range == Range(0x55D000000000, 0x55D000002000)
    assert (found[0].perms, found[0].offset, found[0].inode) == ("r-xp", 0, 131)


@pytest.mark.parametrize(
    "name",
    [
        "/tmp/a file with  blanks ",
        "/tmp/new\\012line",
        "/tmp/x (deleted)",
        "[anon:my heap]",
        "/memfd:a (deleted)",
    ],
)
def test_names(name: str) -> None:
    """Blanks inside and at the end belong to the name; newlines come escaped."""
    line = f"7fffffffe000-7ffffffff000 rw-s 00001000 fe:00 18446744073709551615        {name}\n"
    (found,) = map(maps.parse_line, maps.split_lines(line.encode()))
    assert (found.name, found.offset, found.end) == (name, 4096, 0x7FFFFFFFF000)
    assert found.inode == 2**64 - 1


def test_empty_maps() -> None:
    assert maps.split_lines(b"") == []
    assert smaps.parse_referenced(b"") == []


def test_referenced_of_each_mapping() -> None:
    """Empty mappings are left out and do not lend their address to the next; hugetlb counts apart."""
    data = (
        smaps_entry("1000-2000 rw-p 00000000 00:00 0 ", rss=0)
        + smaps_entry("2000-5000 rw-p 00000000 00:00 0    /tmp/Rss: 12 kB", rss=12, referenced=8)
        + smaps_entry("200000-600000 rw-p 00000000 00:0f 77    /dev/hugepages/x", hugetlb=4096)
        + smaps_entry("7fffffffe000-7ffffffff000 rw-p 00000000 00:00 0    [stack]", rss=4)
        + smaps_entry("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]")
    ).encode()
    assert smaps.parse_referenced(data) == [
        (0x2000, 0x5000, 12 << 10, 8 << 10),
        (0x7FFFFFFFE000, 0x7FFFFFFFF000, 4 << 10, 0),
    ]
    assert smaps.hugetlb_bytes(data) == 4 << 20


def test_fields_of_later_kernels_may_come_in_between() -> None:
    text = smaps_entry("1000-9000 rw-p 0 00:00 0", rss=8, referenced=4)
    text = text.replace("Rss:", "Rsss_New:  3 kB\nRss:").replace("Referenced:", "Refer:  1 kB\nReferenced:")
    assert smaps.parse_referenced(text.encode()) == [(0x1000, 0x9000, 8 << 10, 4 << 10)]


def _slow(data: bytes) -> list[tuple[int, int, int, int]]:
    found, start, end, rss = [], 0, 0, 0
    for line in data.decode().splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            start, end = int(header[1], 16), int(header[2], 16)
        elif line.startswith("Rss:"):
            rss = int(line.split()[1])
        elif line.startswith("Referenced:") and rss:
            found.append((start, end, rss << 10, int(line.split()[1]) << 10))
    return found


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "/a b", "Rss: 5 kB"]))))
def test_the_pattern_agrees_with_a_plain_reader(entries: list[tuple[int, int, str]]) -> None:
    data = "".join(
        smaps_entry(
            f"{i * 4096 + 4096:x}-{i * 4096 + 8192:x} rw-p 0 00:00 0   {name}", rss=rss, referenced=ref
        )
        for i, (rss, ref, name) in enumerate(entries)
    ).encode()
    assert smaps.parse_referenced(data) == _slow(data)


@st.composite
def _grown(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Page numbers of mappings as the kernel gives them while some grow over what it gave before, as it does from
    Linux 6.17 on, and as they are in the end."""
    given: list[tuple[int, int]] = []
    final: list[tuple[int, int]] = []
    at = 1
    for gap, size, over in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 3)), max_size=12)
    ):
        start = at + gap
        at = start + size
        if over and final:  # it begins where one of those before it began
            final, start = final[:-over], final[-over:][0][0]
        given.append((start, at))
        final.append((start, at))
    return given, final


@given(_grown())
def test_mappings_that_grow_while_they_are_read_count_once(
    both: tuple[list[tuple[int, int]], list[tuple[int, int]]],
) -> None:
    heads, expected = ([f"{a << 12:x}-{b << 12:x} rw-p 0 00:00 0" for a, b in pages] for pages in both)
    assert maps.current([head.encode() for head in heads]) == [head.encode() for head in expected]
    data = "".join(smaps_entry(head, rss=4, referenced=4) for head in heads).encode()
    found = smaps.parse_referenced(data)
    assert [(one.start >> 12, one.end >> 12) for one in found] == both[1]
    assert [seen for seen, _ in smaps.parse_mapped(data)] == found


def test_huge_pages_of_mappings() -> None:
    """By the start of the mapping, of all three kinds together; small pages say nothing."""
    small = smaps_entry("1000-9000 rw-p 0 00:00 0", rss=8)
    huge = smaps_entry("200000-800000 rw-p 0 00:00 0   AnonHugePages: 5 kB", rss=6144)
    huge = huge.replace("AnonHugePages:         0 kB", "AnonHugePages:      4096 kB")
    huge = huge.replace("FilePmdMapped:         0 kB", "FilePmdMapped:      2048 kB")
    assert smaps.huge_bytes((small + huge + small).encode()) == {0x200000: 6 << 20}


def test_reading_counts_how_long_it_took() -> None:
    held = Held()
    assert smaps.read_smaps(procfs.read_stat(os.getpid()).id, held=held, prioritized=True)
    assert 0 < held.longest_ns <= held.total_ns


def test_own_memory() -> None:
    """On the real files: everything resident is in some mapping, and nothing is referenced beyond it."""
    me = procfs.read_stat(os.getpid()).id
    lines = maps.read_lines(me)
    found = smaps.parse_referenced(smaps.read_smaps(me))
    assert found
    assert all(entry.referenced <= entry.rss <= entry.end - entry.start for entry in found)
    starts = {maps.line_range(line).start for line in lines}
    assert sum(entry.start in starts for entry in found) >= len(found) - 2


def test_advised_mappings() -> None:
    """Those with rr or sr among their flags; a file whose name looks like them is none."""
    entry = b"%x-%x r--p 00000000 fe:00 7 /srv/a rr sr\nSize: 8 kB\nRss: 0 kB\nVmFlags: rd mr %b \n"
    data = b"".join(
        entry % (start, start + 0x2000, flags)
        for start, flags in ((0x1000, b"rr sd"), (0x5000, b"mw"), (0x9000, b"sr"), (0xD000, b"srx"))
    )
    assert smaps.advised(data) == [(0x1000, 0x3000, "random"), (0x9000, 0xB000, "sequential")]
    assert smaps.advised(entry % (1, 2, b"mw")) == []
