"""Bounds of a group's total contain the truth: processes of known frames, mappings and accesses, of many kinds."""

from __future__ import annotations

from array import array
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from tests.unit.snapshots import recorded
from udamon.core.group_total import GroupTotal, group_total
from udamon.linux.smaps import MappingPages, Referenced
from udamon.model import PAGE_SIZE, Sharing, Snapshot
from udamon.ops.base import Shared
from udamon.ops.sharing import _of
from udamon.report.groups import query_of
from udamon.report.source import RecordingSource

pytestmark = pytest.mark.native

Frame = tuple[object, ...]
FILE, OWN = "file", "own"


class Space(NamedTuple):
    """A mapping: its frame at each page (None is a hole), and the pages that the process accessed."""

    start: int
    inode: int
    offset: int
    frames: list[Frame | None]
    accessed: set[int]


Row = tuple[Space, Shared, int, int]
"""A mapping, what is known of others who map it, and its resident and referenced bytes."""


def processes_of(random: Random, families: int) -> list[list[Space]]:
    """Processes of one or two families that map files, some of them twice, and memory that fork left shared. The
    last ones are nobody of the group: they map, and access, and read(2)."""
    count = random.randint(1, 5) + random.randint(0, 2)
    files = {inode: random.randint(1, 24) for inode in range(1, random.randint(1, 4))}
    found = []
    for process in range(count):
        family, at, spaces = process % families, 1, []
        for inode, length in files.items():
            for again in range(random.choice((0, 1, 1, 1, 3))):
                begin = random.randint(0, length - 1)
                end = random.randint(begin + 1, length)
                own = random.choice((0.0, 0.0, 0.4))
                frames = [
                    _page(random, inode, page, process, family, own, again) for page in range(begin, end)
                ]
                spaces.append(_space(random, at, inode, begin, frames))
                at += end - begin + 1
        for area in range(random.randint(0, 3)):
            length, own = random.randint(1, 24), random.choice((0.0, 0.3, 1.0))
            # mremap may have moved a child's copy: where it lies says nothing.
            at += random.randint(0, 2)
            frames = [
                _page(random, f"a{area}", page, process, family, own, 0, cow=True) for page in range(length)
            ]
            spaces.append(_space(random, at, 0, 0, frames))
            at += length + 1
        found.append(spaces)
    return found


def _page(
    random: Random, name: object, page: int, process: int, family: int, own: float, again: int,
    *, cow: bool = False,
) -> Frame | None:  # fmt: skip
    if random.random() < 0.2:
        return None
    if random.random() < own:  # written: the process's own, or still shared with one it was forked from
        return OWN, name, again, page, random.choice((process, process, f"forked {family}"))
    return ("cow", name, page, family) if cow else (FILE, name, page)


def _space(random: Random, at: int, inode: int, offset: int, frames: list[Frame | None]) -> Space:
    share = random.choice((0.0, 0.3, 0.9, 1.0))
    accessed = {page for page, frame in enumerate(frames) if frame and random.random() < share}
    return Space(at * PAGE_SIZE, inode, offset * PAGE_SIZE, frames, accessed)


def rows_of(
    group: list[list[Space]], outside: list[list[Space]], marked: set[Frame], families: int,
    order: list[int], *, seen: bool,
) -> list[list[Row]]:  # fmt: skip
    """What smaps says of the group's mappings, looked at in any order, and page frames with their flags where they are
    `seen`."""
    maps: dict[Frame, int] = {}
    for space in (space for spaces in group + outside for space in spaces):
        for frame in space.frames:
            if frame:
                maps[frame] = maps.get(frame, 0) + 1
    known: set[tuple[int, Frame]] = set()
    found: list[list[Row]] = [[] for _ in group]
    for process in order:
        for space in group[process]:
            there = [frame for frame in space.frames if frame]
            if not there:
                continue
            referenced = sum(
                1 for page, f in enumerate(space.frames) if f and (page in space.accessed or f in marked)
            )
            private = sum(1 for frame in there if maps[frame] == 1)
            anonymous = sum(1 for frame in there if frame[0] != FILE)
            size = PAGE_SIZE * len(space.frames)
            one = _of(
                Referenced(space.start, space.start + size, PAGE_SIZE * len(there), PAGE_SIZE * referenced),
                MappingPages(
                    PAGE_SIZE * private, PAGE_SIZE * anonymous, 0, "fe:00", space.inode, space.offset
                ),
                1000 + process % families,
                alone=True,
            )
            if seen:
                fresh = {(one.object, frame) for frame in there} - known
                known |= fresh
                sure = sum(1 for page in space.accessed if space.frames[page] not in marked)
                one = one._replace(distinct=PAGE_SIZE * len(fresh), touched_min=PAGE_SIZE * sure)
            found[process].append((space, one, PAGE_SIZE * len(there), PAGE_SIZE * referenced))
    return found


def snapshot(seq: int, target: int, rows: list[Row]) -> Snapshot:
    starts = array("Q", [space.start for space, *_ in rows])
    ends = array("Q", [space.start + PAGE_SIZE * len(space.frames) for space, *_ in rows])
    sharing = Sharing.of(zip(*(shared for _, shared, *_ in rows), strict=True))
    zeros = array("I", bytes(4 * len(rows)))
    return Snapshot(
        target, 100 + target, seq, seq * 10, seq * 10 + 10, 1, 10, starts, ends, zeros, zeros,
        array("Q", [touched for *_, touched in rows]), array("Q", [rss for _, _, rss, _ in rows]), sharing,
    )  # fmt: skip


def check(tmp_path: Path, seed: int, moments: int) -> None:
    random = Random(seed)
    items, truths = [], []
    for seq in range(moments):
        families = random.choice((1, 2))
        everybody = processes_of(random, families)
        size = random.randint(1, len(everybody))
        group, outside = everybody[:size], everybody[size:]
        # Marked in the page itself: page cache that anybody read(2)s, or had touched when it unmapped it.
        marked = {
            f for spaces in everybody for s in spaces for f in s.frames
            if f and f[0] == FILE and random.random() < 0.2
        }  # fmt: skip
        order = random.sample(range(size), size)
        rows = rows_of(group, outside, marked, families, order, seen=random.random() < 0.5)
        items += [snapshot(seq, target, each) for target, each in enumerate(rows)]
        touched = {s.frames[page] for spaces in group for s in spaces for page in s.accessed}
        there = {frame for spaces in group for s in spaces for frame in s.frames if frame}
        truths.append((PAGE_SIZE * len(touched), PAGE_SIZE * len(there)))
    with RecordingSource(recorded(tmp_path / f"{seed}.udamon", items, via="refs")) as source:
        found = source.query(
            f"SELECT seq, low, high, resident_low, resident_high FROM ({query_of(source)}) AS b ORDER BY seq"
        )
    assert len(found) == moments
    for seq in range(moments):  # what is watched and what was recorded is told alike
        moment = [item for item in items if item.seq == seq]
        assert group_total(moment, marked_by_others=True) == GroupTotal(*map(round, found[seq][1:])), (
            seed,
            seq,
        )
    for (seq, low, high, resident_low, resident_high), (touched_bytes, resident) in zip(
        found, truths, strict=True
    ):
        assert low <= touched_bytes <= high, (seed, seq)
        assert resident_low <= resident <= resident_high, (seed, seq)


# The last one has, at its end, a page of a file that is mapped twice, once beside pages that were written.
@pytest.mark.parametrize(("seed", "moments"), [(1, 150), (2, 150), (899609981, 1189)])
def test_the_truth_lies_within_the_bounds(tmp_path: Path, seed: int, moments: int) -> None:
    """Whatever is shared by whom, and whoever else maps and reads it."""
    check(tmp_path, seed, moments)


@pytest.mark.slow
def test_the_truth_lies_within_the_bounds_of_many(tmp_path: Path) -> None:
    """Thousands of groups from fresh seeds, which are printed."""
    for seed in (first := Random().randrange(1 << 32), first + 1):
        print("seed", seed)
        check(tmp_path, seed, 3000)


def test_pages_of_a_file_that_are_private_are_no_other_object(tmp_path: Path) -> None:
    """Each of two processes has four pages that others outside of the group have, too; one has ten pages more that are
    its own, nine of them of a file: all 18 are there for sure."""

    def shared(private: int, anonymous: int, distinct: int) -> Shared:
        sizes = [PAGE_SIZE * pages for pages in (private, anonymous, 0, distinct)]
        return Shared(sizes[0], sizes[1], sizes[2], object=1, file_offset=None, distinct=sizes[3])

    space = Space(PAGE_SIZE, 0, 0, [None] * 10, set())
    other = Space(20 * PAGE_SIZE, 0, 0, [None] * 4, set())
    items = [
        snapshot(
            0, 0, [(space, shared(10, 1, 10), 10 * PAGE_SIZE, 0), (other, shared(0, 4, 4), 4 * PAGE_SIZE, 0)]
        ),
        snapshot(0, 1, [(other, shared(0, 4, 4), 4 * PAGE_SIZE, 0)]),
    ]
    assert group_total(items, marked_by_others=True).resident_low == 18 * PAGE_SIZE
    with RecordingSource(recorded(tmp_path / "a.udamon", items, via="refs")) as source:
        assert source.query(f"SELECT resident_low FROM ({query_of(source)}) AS b") == [(18 * PAGE_SIZE,)]
