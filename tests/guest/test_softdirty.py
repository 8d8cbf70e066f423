"""softdirty on real kernels: what is written is found, to the page, and nothing that is only read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.pages import MIB, PAGE, Pages, entries, pages
from tests.integration.recorder import forked_udamon
from udamon.availability.choice import choose
from udamon.availability.primitives import probe
from udamon.core.target import Target
from udamon.linux.pagemap_scan import NoScan
from udamon.linux.procfs import read_stat
from udamon.model import Range
from udamon.ops import softdirty
from udamon.ops.base import Touched
from udamon.ops.softdirty import SoftDirty

pytestmark = [pytest.mark.guest_612, pytest.mark.guest_boot(smp=1), pytest.mark.needs("root", "soft_dirty")]

N = 512  # pages of an area: 2 MiB


@pytest.fixture(scope="module")
def program() -> Iterator[Pages]:
    with pages() as started:
        yield started


@pytest.fixture
def census() -> SoftDirty:
    return SoftDirty()


def within(found: list[Touched], area: Range) -> list[tuple[int, int, int, int]]:
    """(first page, last page, resident pages, touched pages) of what was found inside an area."""
    return [
        ((start - area.start) // PAGE, (end - area.start) // PAGE, resident // PAGE, touched // PAGE)
        for start, end, resident, touched in found
        if start < area.end and area.start < end
    ]


@pytest.mark.guest_version
def test_written_pages_are_found_and_read_ones_are_not(program: Pages, census: SoftDirty) -> None:
    """To the page; phases are followed; a window without writes is empty."""
    area = program.map("a", N * PAGE)
    program.write("a", 0, N)
    target = program.target()
    for first, last in ((0, 100), (200, 201), (300, N), (0, N)):
        census.prepare(target)
        program.read("a", 0, N)
        program.write("a", first, last)
        found = within(census.look(target), area)
        assert [(s, e) for s, e, _, touched in found if touched] == [(first, last)]
        assert sum(resident for _, _, resident, _ in found) == N
    census.prepare(target)
    program.read("a", 0, N)
    assert within(census.look(target), area) == [(0, N, N, 0)]


@pytest.mark.guest_version
def test_without_pagemap_scan_the_answers_are_the_same(
    program: Pages, census: SoftDirty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux before 6.7: entries are read one by one, of mappings with anything resident only."""
    area = program.map("noscan", N * PAGE)
    program.write("noscan", 0, N // 2)
    target = program.target()
    census.prepare(target)
    program.write("noscan", 7, 90, 2)
    scanned = within(census.look(target), area)

    def refuse(*_: object, **__: object) -> None:
        raise NoScan

    monkeypatch.setattr(softdirty, "scan_runs", refuse)
    assert within(census.look(target), area) == scanned
    assert census.unseen == {0: 0}
    assert len(scanned) == 1 + 2 * 42


@pytest.mark.guest_version
def test_a_huge_page_counts_as_a_whole(program: Pages, census: SoftDirty) -> None:
    area = program.map("huge", 8 * MIB, "huge")
    program.write("huge", 0, 2048, 16)
    target = program.target()
    census.prepare(target)
    first = -(-area.start // (2 * MIB)) * 2 * MIB  # the first aligned huge page within
    page = (first - area.start) // PAGE
    program.read("huge", 0, 2048, 16)
    program.write("huge", page + 5, page + 6)
    touched = [(s, e) for s, e, _, touched in within(census.look(target), area) if touched]
    assert touched == [(page, page + 512)], "huge pages were not given, or were split"


@pytest.mark.guest_version
def test_swapped_out_pages_keep_what_is_known(program: Pages, census: SoftDirty, swap: None) -> None:
    """Written and then swapped out: touched. Swapped out before: neither resident nor touched. Read back in:
    resident, not touched."""
    area = program.map("swapped", N * PAGE)
    program.write("swapped", 0, N)
    target = program.target()
    census.prepare(target)
    program.write("swapped", 0, 64)
    program.tell("advise", "swapped", 21)  # MADV_PAGEOUT
    out = [bool(entry >> 62 & 1) for entry in entries(program.pid, area)]
    assert sum(out) >= 0.9 * N, "nothing was paged out; nothing is proved"
    found = within(census.look(target), area)
    assert [(s, e) for s, e, _, touched in found if touched] == [(0, 64)]
    assert sum(resident for _, _, resident, _ in found) == 64 + out[64:].count(False)
    census.prepare(target)
    program.read("swapped", 0, N)
    found = within(census.look(target), area)
    assert sum(resident for _, _, resident, _ in found) == N
    assert sum(touched for _, _, _, touched in found) == 0


@pytest.mark.guest_version
@pytest.mark.parametrize("kind", ["file", "private"])
def test_pages_of_files(program: Pages, census: SoftDirty, kind: str) -> None:
    """Shared and private mappings; reads that bring pages in are not writes."""
    area = program.map(kind, N * PAGE, kind)
    program.read(kind, 0, 100)
    target = program.target()
    census.prepare(target)
    program.read(kind, 0, N)
    program.write(kind, 10, 20)
    found = within(census.look(target), area)
    assert [(s, e) for s, e, _, touched in found if touched] == [(10, 20)]
    assert sum(resident for _, _, resident, _ in found) == N


def test_parent_and_child_are_told_apart(program: Pages, census: SoftDirty) -> None:
    """After a fork both share the pages; a write of the one is not the other's."""
    area = program.map("forked", N * PAGE)
    program.write("forked", 0, N)
    child = int(program.tell("fork"))
    try:
        target = program.target()
        other = Target(1, child, read_stat(child).start_time)
        for each in (target, other):
            census.prepare(each)
        program.write("forked", 3, 9)
        found = within(census.look(target), area)
        assert [(s, e) for s, e, _, touched in found if touched] == [(3, 9)]
        assert sum(touched for _, _, _, touched in within(census.look(other), area)) == 0
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.fixture
def with_heap() -> Iterator[Pages]:
    with pages() as started:
        yield started


@pytest.mark.guest_version
def test_new_and_grown_mappings_read_written_and_are_called_unsure(
    with_heap: Pages, census: SoftDirty
) -> None:
    """The kernel has one bit for such a mapping, which covers those of its pages."""
    program = with_heap
    heap = program.map("heap", N * PAGE, "brk")
    program.write("heap", 0, N)
    target = program.target()
    census.prepare(target)
    program.read("heap", 0, N)
    assert sum(touched for _, _, _, touched in within(census.look(target), heap)) == 0
    assert census.unsure[0] == 0
    program.tell("grow", "heap", 16 * PAGE)
    new = program.map("new", 64 * PAGE)
    program.read("new", 0, 64)
    found = census.look(target)
    assert sum(touched for _, _, _, touched in within(found, heap)) == N
    assert sum(touched for _, _, _, touched in within(found, new)) == 64
    assert (N + 64) * PAGE <= census.unsure[0] <= (N + 64) * PAGE + 4 * MIB
    census.prepare(target)
    program.read("heap", 0, N)
    assert sum(touched for _, _, _, touched in within(census.look(target), heap)) == 0
    assert census.unsure[0] == 0


def test_many_scattered_writes_become_few_ranges(program: Pages) -> None:
    """The bound holds, and no byte is lost."""
    area = program.map("scattered", 4 * N * PAGE)
    program.write("scattered", 0, 4 * N)
    target, census = program.target(), SoftDirty(max_ranges=40)
    census.prepare(target)
    program.write("scattered", 0, 2 * N, 3)
    all_found = census.look(target)
    found = within(all_found, area)
    mappings = len(Path(f"/proc/{program.pid}/maps").read_text().splitlines())
    assert len(all_found) <= 40 + mappings
    assert sum(touched for _, _, _, touched in found) == len(range(0, 2 * N, 3))
    assert sum(resident for _, _, resident, _ in found) == 4 * N
    assert found[-1][3] == 0
    assert found[-1][1] - found[-1][0] >= 1.5 * N, "the untouched half is one range still"


def test_only_within_ranges(program: Pages) -> None:
    """fvaddr: not a page more than asked for."""
    area = program.map("ranges", N * PAGE)
    program.write("ranges", 0, N)
    target, census = program.target(), SoftDirty(only_ranges=True)
    target.ranges = [
        Range(area.start + 8 * PAGE, area.start + 16 * PAGE),
        Range(area.start + 90 * PAGE, area.start + 91 * PAGE),
    ]
    census.prepare(target)
    program.write("ranges", 0, 12)
    found = census.look(target)
    assert within(found, area) == [(8, 12, 4, 4), (12, 16, 4, 0), (90, 91, 1, 0)]
    assert len(found) == 3


@pytest.mark.guest_version
def test_it_is_offered_but_never_chosen() -> None:
    assert probe("softdirty").usable
    assert "writes only" in probe("softdirty").why
    assert choose("auto") != "softdirty"


@contextmanager
def looping(program: Pages, name: str, first: int, last: int) -> Iterator[None]:
    program.tell("loop", name, first, last, 50)
    yield
    program.tell("read", name, 0, 1, 1)


def test_a_recording_says_writes_only(program: Pages, tmp_path: Path) -> None:
    """record, from the command line: the hot pages are found in every window in which all of them were written."""
    area = program.map("hot", 4 * N * PAGE)
    program.write("hot", 0, 4 * N)
    file = tmp_path / "r.udamon"
    words = ("record", "-p", program.pid, "--via", "softdirty", "-o", file)
    with looping(program, "hot", 0, N):
        done = forked_udamon(*words, "--sample", "50ms", "--aggr", "1s", "--duration", "4s")
    assert done.status == 0, done.stderr
    assert "writes only" in done.stderr

    from udamon.record.reader import Recording

    recording = Recording(file)
    assert recording.metadata["sees"] == "writes only"
    notes = [event.data["text"] for event in recording.events() if event.name == "note"]
    assert any("writes only" in str(note) for note in notes), notes
    touched: dict[int, int] = {}
    for batch in recording.batches():
        rows = zip(*(batch[c].to_pylist() for c in ("seq", "start", "end", "touched")), strict=True)
        for seq, start, end, size in rows:
            if start is not None and start < area.end and area.start < end:
                touched[seq] = touched.get(seq, 0) + size
    whole = program.whole_windows(recording)
    assert len(whole) >= 2
    assert all(touched[seq] == N * PAGE for seq in whole), touched
    assert max(touched.values()) == N * PAGE
