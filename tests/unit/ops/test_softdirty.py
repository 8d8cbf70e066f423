"""softdirty on a fake /proc without PAGEMAP_SCAN, and the ranges that any census of pages is joined to."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.linux.test_fake import FakeProc, smaps_entry
from udamon.core.target import Target
from udamon.errors import PauseTooLong, TargetGone, UsageError
from udamon.linux.held import Held
from udamon.linux.residency import resident, swapped
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.ops.opening import open_census, open_ops
from udamon.ops.softdirty import SoftDirty
from udamon.ops.touched_ranges import TouchedRanges
from udamon.ranges import joined, overlap

HERE, OUT, DIRTY = 1 << 63, 1 << 62, 1 << 55
HEADS = [f"{start:x}-{end:x} rw-p 00000000 00:00 0 " for start, end in ((0x1000, 0x9000), (0x9000, 0xD000))]
MAPS = "\n".join(HEADS) + "\n"
SMAPS = smaps_entry(HEADS[0], rss=24) + smaps_entry(HEADS[1], rss=16)
ENTRIES = [
    0,
    *(HERE, HERE | DIRTY, HERE | DIRTY, 0, HERE | DIRTY, HERE, OUT | DIRTY, OUT),
    *(HERE | DIRTY, HERE | DIRTY, HERE, HERE),
]
FOUND = [
    (0x1000, 0x2000, 4096, 0),
    (0x2000, 0x4000, 8192, 8192),
    (0x5000, 0x6000, 4096, 4096),
    (0x6000, 0x7000, 4096, 0),
    (0x7000, 0x8000, 4096, 4096),
    (0x9000, 0xB000, 8192, 8192),
    (0xB000, 0xD000, 8192, 0),
]


@pytest.fixture
def fake(tmp_path: Path) -> FakeProc:
    fake = FakeProc(tmp_path)
    fake.process(9, start_time=100, maps=MAPS, smaps=SMAPS)
    (tmp_path / "9/pagemap").write_bytes(struct.pack(f"={len(ENTRIES)}Q", *ENTRIES))
    return fake


@pytest.fixture
def target() -> Target:
    return Target(4, 9, 100)


def test_look(fake: FakeProc, target: Target) -> None:
    """Runs end at mappings; pages written and swapped out count; swapped out and clean ones do not."""
    census = SoftDirty(Roots(fake.root))
    census.prepare(target)
    assert (fake.root / "9/clear_refs").read_text() == "4"
    assert census.look(target) == FOUND
    assert census.unsure == {4: 0}
    assert census.unseen == {4: 0}


def test_after_pauses_that_were_too_long_it_rests(fake: FakeProc, target: Target) -> None:
    census = SoftDirty(Roots(fake.root), max_pause_ns=1_000_000)
    long = Held()
    long.longest_ns = long.total_ns = 2_000_000
    census.prepare(target)
    census.pauses.cleared(target, long)
    census.pauses.window_over({target.index})
    (fake.root / "9/clear_refs").write_text("")
    with pytest.raises(PauseTooLong, match="a look at process 9 took longer") as refused:
        census.prepare(target)
    assert refused.value.temporary
    assert (fake.root / "9/clear_refs").read_text() == ""


def test_a_mapping_that_changed_is_unsure_unless_a_clean_page_speaks_for_it(
    fake: FakeProc, target: Target
) -> None:
    census = SoftDirty(Roots(fake.root))
    fake.process(9, start_time=100, maps=HEADS[0] + "\n", smaps=SMAPS)
    census.prepare(target)
    fake.process(9, start_time=100, maps=MAPS, smaps=SMAPS)
    assert census.look(target) == FOUND
    assert census.unsure == {4: 0}, "its own pages differ, so its bits are theirs"
    entries = [*ENTRIES[:9], *[HERE | DIRTY] * 3, OUT | DIRTY]
    (fake.root / "9/pagemap").write_bytes(struct.pack(f"={len(entries)}Q", *entries))
    assert census.look(target)[-1] == (0x9000, 0xC000, 0x3000, 0x3000)
    assert census.unsure == {4: 0x3000}
    (told,) = census.news()
    assert told.startswith(
        "softdirty counted 12.0 KiB of process 9 as written in a window that may not have been:"
    )
    census.look(target)
    assert census.news() == []


def test_look_within_ranges(fake: FakeProc, target: Target) -> None:
    census = SoftDirty(Roots(fake.root), only_ranges=True)
    target.ranges = [Range(0x3000, 0x6000), Range(0x8000, 0xA000)]
    census.prepare(target)
    assert census.look(target) == [
        (0x3000, 0x4000, 4096, 4096),
        (0x5000, 0x6000, 4096, 4096),
        (0x9000, 0xA000, 4096, 4096),
    ]


def test_over_the_budget_is_unseen(fake: FakeProc, target: Target) -> None:
    """The smallest mappings first."""
    census = SoftDirty(Roots(fake.root), budget=5)
    census.prepare(target)
    assert census.look(target) == FOUND[-2:]
    assert census.unseen == {4: 24 << 10}
    (told,) = census.news()
    assert told.startswith("softdirty leaves out up to 24.0 KiB of process 9: without PAGEMAP_SCAN")
    assert "a look reads 20.0 KiB of addresses at most; use another --via." in told
    census.look(target)
    assert census.news() == []


def test_of_ranges_only_what_lies_in_them_is_unseen(fake: FakeProc, target: Target) -> None:
    """The part of a mapping that was read is not unseen, nor is a mapping that no range is in."""
    census = SoftDirty(Roots(fake.root), budget=1, only_ranges=True)
    census.prepare(target)
    target.ranges = [Range(0x3000, 0x4000), Range(0x5000, 0x7000)]
    assert census.look(target) == [(0x3000, 0x4000, 4096, 4096)]
    assert census.unseen == {4: 2 << 12}
    target.ranges = [Range(0x3000, 0x4000)]
    assert census.look(target) == [(0x3000, 0x4000, 4096, 4096)]
    assert census.unseen == {4: 0}


def test_a_reused_pid_is_neither_cleared_nor_read(fake: FakeProc, target: Target) -> None:
    fake.process(9, start_time=200, maps=MAPS, smaps=SMAPS)
    census = SoftDirty(Roots(fake.root))
    for step in (census.prepare, census.look):
        with pytest.raises(TargetGone, match="given to another"):
            step(target)
    assert (fake.root / "9/clear_refs").read_text() == ""


def test_a_zombie_has_ended(fake: FakeProc, target: Target) -> None:
    census = SoftDirty(Roots(fake.root))
    census.prepare(target)
    fake.process(9, start_time=100, state="Z", maps="", smaps="")
    with pytest.raises(TargetGone, match="has ended"):
        census.look(target)


def test_physical_memory_has_no_census(fake: FakeProc) -> None:
    (fake.root / "iomem").write_text("00100000-7fffffff : System RAM\n")
    ops = open_ops("paddr", roots=Roots(fake.root))
    with pytest.raises(UsageError, match="softdirty sees the memory of processes"):
        open_census("softdirty", ops, Roots(fake.root))


def test_residency_without_scan(fake: FakeProc, target: Target) -> None:
    """Full mappings are not read, partly resident ones are while the budget lasts."""
    process, everything = fake.process(9, maps=MAPS, smaps=SMAPS), [Range(0, 0x100000)]
    (fake.root / "9/pagemap").write_bytes(struct.pack("=9Q", *ENTRIES[:9]))
    assert resident(process, everything, fake.root) == [
        Range(0x1000, 0x4000), Range(0x5000, 0x7000), Range(0x9000, 0xD000),
    ]  # fmt: skip
    assert resident(process, everything, fake.root, budget=7) == [Range(0x1000, 0xD000)]
    assert resident(process, [Range(0x3000, 0x5800)], fake.root) == [
        Range(0x3000, 0x4000), Range(0x5000, 0x6000),
    ]  # fmt: skip
    assert swapped(process, everything, fake.root) is None


RANGES = st.lists(st.integers(0, 200), unique=True, max_size=20).map(
    lambda ends: [Range(a, b) for a, b in zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False)]
)


def bytes_of(ranges: list[Range]) -> set[int]:
    return {byte for r in ranges for byte in range(r.start, r.end)}


@given(RANGES, RANGES)
def test_overlap_is_what_both_have(one: list[Range], other: list[Range]) -> None:
    found = list(overlap(one, other))
    assert bytes_of(found) == bytes_of(one) & bytes_of(other)
    assert found == sorted(found)


@given(RANGES, st.integers(1, 20))
def test_joined_closes_gaps_below_the_grain(ranges: list[Range], grain: int) -> None:
    found = joined(ranges, grain)
    assert bytes_of(found) >= bytes_of(ranges)
    assert all(b.start - a.end >= grain for a, b in pairwise(found))
    gaps = {(a.end, b.start) for a, b in pairwise(ranges) if b.start - a.end < grain}
    assert bytes_of(found) - bytes_of(ranges) == {byte for start, end in gaps for byte in range(start, end)}


# (pages of hole before, pages, touched, whether a new mapping begins)
RUNS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 40), st.booleans(), st.sampled_from([0, 0, 0, 1]))
)


# A reader cut the last run in two, where the parts were joined in between.
@example(
    [
        (0, 1, False, 0),
        (0, 1, True, 0),
        (0, 1, False, 0),
        (0, 4, True, 0),
        (0, 1, False, 0),
        (0, 1, False, 0),
    ],
    1,
)
@given(RUNS, st.integers(1, 30))
def test_few_ranges_and_no_byte_lost(runs: list[tuple[int, int, bool, int]], limit: int) -> None:
    found, mapping, at = TouchedRanges(limit), 0, 0x10000
    maximal: list[list[int]] = []
    for hole, pages, touched, new in runs:
        mapping += new
        start, at = at + hole * PAGE_SIZE, at + (hole + pages) * PAGE_SIZE
        size = pages * PAGE_SIZE
        found.add(mapping, start, at, size, size if touched else 0)
        if maximal and maximal[-1][:2] == [mapping, touched] and not hole:
            maximal[-1][3] = at
        else:
            maximal.append([mapping, touched, start, at])
    ranges = found.ranges()
    assert len(ranges) <= limit + len({run[0] for run in maximal})
    assert sum(r.touched for r in ranges) == sum(e - s for _, touched, s, e in maximal if touched)
    assert sum(r.resident for r in ranges) == sum(e - s for _, _, s, e in maximal)
    assert all(0 <= r.touched <= r.resident <= r.end - r.start for r in ranges)
    assert all(a.end <= b.start for a, b in pairwise(ranges))
    starts = {run[2] for run in maximal}
    assert all(r.start in starts for r in ranges)
    for r in ranges:
        assert len({run[0] for run in maximal if run[2] < r.end and r.start < run[3]}) == 1, (
            "one mapping only"
        )
    if len(maximal) <= limit:
        assert [(r.start, r.end, r.touched > 0) for r in ranges] == [(s, e, t) for _, t, s, e in maximal]


def test_large_parts_keep_their_ends_and_scattered_ones_get_a_share() -> None:
    """8 MiB written, 8 MiB with every third page written, 8 MiB clean: three ranges or a few more."""
    found = TouchedRanges(12)
    found.add(0, 0, 8 << 20, 8 << 20, 8 << 20)
    for start in range(8 << 20, 16 << 20, 3 * PAGE_SIZE):
        found.add(0, start, start + 2 * PAGE_SIZE, 2 * PAGE_SIZE, 0)
        found.add(0, start + 2 * PAGE_SIZE, start + 3 * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE)
    found.add(0, 17 << 20, 25 << 20, 8 << 20, 0)
    ranges = found.ranges()
    assert len(ranges) <= 12
    assert ranges[0] == (0, 8 << 20, 8 << 20, 8 << 20)
    assert ranges[-1] == (17 << 20, 25 << 20, 8 << 20, 0)
    assert len(ranges) <= 5, ranges
    assert 0.3 < ranges[1].touched / ranges[1].resident < 0.4
    assert ranges[1].end >= (16 << 20) - 64 * PAGE_SIZE
