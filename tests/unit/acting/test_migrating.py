"""What is asked of move_pages(2), and what is counted, where folios are known and where they are not."""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.acting import folios, migrating
from udamon.acting.folios import by_frames, by_huge_pages, unknown
from udamon.acting.migrating import MigrationUnit, migrate, units
from udamon.acting.view import MappingPiece
from udamon.core.scheme import Action, ActionRequest, Destination
from udamon.linux.frame_files import BLOCK, COMPOUND_HEAD, COMPOUND_TAIL, FrameWords, folio_sizes
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range

BASE = 40 * HUGE_PAGE_SIZE
PRESENT = 1 << 63


class Folio(NamedTuple):
    """Its first page's address, and its size in bytes; the first pages need not be mapped."""

    first: int
    size: int

    def pages(self) -> range:
        return range(self.first, self.first + self.size, PAGE_SIZE)


class FakeKernel(FrameWords):
    """Moves a folio as a whole, whichever of its pages is asked for, to other frames. It is its own kpageflags."""

    def __init__(
        self, found: Sequence[Folio], random: Random, monkeypatch: pytest.MonkeyPatch, *, tells: bool = True
    ) -> None:
        """`tells` frame numbers."""
        self._tells = tells
        self._random = random
        self._folio_of = {page: folio for folio in found for page in folio.pages()}
        self._next_block = 1
        self._in_block: dict[int, tuple[int, int]] = {}  # the frames of the only folio in a block
        self.node = {folio: random.randrange(2) for folio in found}
        self._frame = {folio: self._frames_for(folio) for folio in found}
        monkeypatch.setattr(migrating, "nodes_of", lambda tid, pages: [self.of(page) for page in pages])
        monkeypatch.setattr(migrating, "move", self.move)
        monkeypatch.setattr(folios, "entries_of", self._entries_of)

    def of(self, page: int) -> int:
        return self.node[self._folio_of[page]]

    def move(self, tid: int, pages: Sequence[int], node: int, *, shared: bool) -> None:
        assert not shared
        for folio in {self._folio_of[page] for page in pages}:
            self.node[folio] = node
            self._frame[folio] = self._frames_for(folio)

    def read(self, frames: Iterable[int]) -> dict[int, int]:
        found = {}
        for frame in frames:
            first, last = self._in_block.get(frame // BLOCK, (0, 0))
            inside = first <= frame < last and last - first > 1
            found[frame] = 0 if not inside else COMPOUND_HEAD if frame == first else COMPOUND_TAIL
        return found

    def _frames_for(self, folio: Folio) -> int:
        count = folio.size // PAGE_SIZE
        first = self._next_block * BLOCK + self._random.randrange(0, BLOCK, count)
        self._in_block[self._next_block] = (first, first + count)
        self._next_block += 1
        return first

    def _entries_of(self, page_map: int, part: Range) -> Iterator[tuple[int, bytes]]:
        words = array("Q")
        for page in range(part.start, part.end, PAGE_SIZE):
            folio = self._folio_of[page]
            frame = self._frame[folio] + (page - folio.first) // PAGE_SIZE
            words.append(PRESENT | (frame if self._tells else 0))
        yield part.start, words.tobytes()


def piece(pages: int, first_page: int = BASE // PAGE_SIZE, *, anonymous: bool = True) -> MappingPiece:
    return MappingPiece(BASE, BASE + pages * PAGE_SIZE, True, False, False, first_page, anonymous)


def filled(start: int, pages: int, sizes: Sequence[int], random: Random) -> list[Folio]:
    """Folios of these sizes in pages, from `start` on, as far as their alignment and the room allow."""
    found, at = [], 0
    while at < pages:
        size = random.choice([size for size in sizes if not at % size and at + size <= pages])
        found.append(Folio(start + at * PAGE_SIZE, size * PAGE_SIZE))
        at += size
    return found


ORDERS = range(1, 10)


@pytest.fixture(scope="module")
def sys_of(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """/sys of machines that give large pages of 2 MiB, and of so many pages."""
    made = {}
    for order in ORDERS:
        root = made[1 << order] = tmp_path_factory.mktemp("sys")
        for other in ORDERS:
            place = root / f"kernel/mm/transparent_hugepage/hugepages-{PAGE_SIZE << other >> 10}kB"
            place.mkdir(parents=True)
            given = other in (order, ORDERS[-1])
            (place / "enabled").write_text(
                "[always] inherit madvise never" if given else "always inherit madvise [never]"
            )
    return made


@given(
    smallest=st.sampled_from([1 << order for order in ORDERS]),
    of_file=st.booleans(),
    tells=st.booleans(),
    pages=st.integers(1, 3 * BLOCK),
    cut=st.integers(0, BLOCK - 1),
    shift=st.integers(0, BLOCK - 1),
    weights=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    random=st.randoms(use_true_random=False),
)
def test_what_moved_is_what_is_elsewhere(
    sys_of: dict[int, Path], smallest: int, of_file: bool, tells: bool, pages: int, cut: int, shift: int,
    weights: tuple[int, int], random: Random,
) -> None:  # fmt: skip
    """Folios of any size beside single pages, the outer ones mapped in part; no later pass moves anything."""
    every = of_file or smallest < BLOCK
    sizes = [1, *(1 << order for order in ORDERS if of_file or 1 << order >= smallest)]
    room = -(-(cut + pages) // BLOCK) * BLOCK
    # Memory that was moved (mremap) is not aligned as its folios are: there only frames tell them.
    first_page = BASE // PAGE_SIZE + (shift if tells and every else 0)
    mapped = piece(room, first_page, anonymous=not of_file)
    mapped = mapped.part(BASE + cut * PAGE_SIZE, BASE + (cut + pages) * PAGE_SIZE)
    with pytest.MonkeyPatch.context() as patched:
        kernel = FakeKernel(filled(BASE, room, sizes, random), random, patched, tells=tells)
        split = by_frames(0, kernel, sys_of[smallest])
        request = ActionRequest(
            Action.MIGRATE_HOT, dests=(Destination(0, weights[0]), Destination(1, weights[1]))
        )

        def passed(taken: Range) -> int:
            return migrate(os.getpid, units([taken], [mapped], request, split), shared=False)

        before = {page: kernel.of(page) for page in range(mapped.start, mapped.end, PAGE_SIZE)}
        moved = passed(Range(mapped.start, mapped.end))
        assert moved == PAGE_SIZE * sum(kernel.of(page) != node for page, node in before.items())
        assert passed(Range(mapped.start, mapped.end)) == 0
        low, high = sorted(random.randrange(pages + 1) for _ in range(2))
        assert passed(Range(mapped.start + low * PAGE_SIZE, mapped.start + high * PAGE_SIZE)) == 0


def spread(found: Sequence[Folio], mapped: MappingPiece, sys: Path) -> list[MigrationUnit]:
    request = ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 1), Destination(1, 1)))
    with pytest.MonkeyPatch.context() as patched:
        split = by_frames(0, FakeKernel(found, Random(1), patched), sys)
        return list(units([Range(mapped.start, mapped.end)], [mapped], request, split))


def test_folios_are_spread_by_their_own_place(sys_of: dict[int, Path]) -> None:
    """As the kernel's DAMON does: the number of a folio in its mapping, counted in folios of its size."""
    found = [
        Folio(BASE, 16 * PAGE_SIZE),
        Folio(BASE + 16 * PAGE_SIZE, 16 * PAGE_SIZE),
        Folio(BASE + 32 * PAGE_SIZE, PAGE_SIZE),
        Folio(BASE + 33 * PAGE_SIZE, PAGE_SIZE),
    ]
    assert spread(found, piece(34), sys_of[16]) == [
        (BASE, 16 * PAGE_SIZE, 0),
        (BASE + 16 * PAGE_SIZE, 16 * PAGE_SIZE, 1),
        (BASE + 32 * PAGE_SIZE, PAGE_SIZE, 0),
        (BASE + 33 * PAGE_SIZE, PAGE_SIZE, 1),
    ]


def test_single_pages_are_hardly_looked_at_where_only_huge_pages_are_given(
    sys_of: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def counting(flags: FrameWords, frames: list[int]) -> object:
        looked.extend(frames)
        return folio_sizes(flags, frames)

    monkeypatch.setattr(folios, "folio_sizes", counting)
    single = [Folio(BASE + at * PAGE_SIZE, PAGE_SIZE) for at in range(BLOCK)]
    found = [*single, Folio(BASE + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE)]
    assert spread(found, piece(2 * BLOCK), sys_of[BLOCK])[BLOCK:] == [
        (BASE + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, 1)
    ]
    assert BLOCK <= len(looked) < BLOCK + 16
    looked.clear()
    spread(found, piece(2 * BLOCK), sys_of[2])
    assert len(looked) == 2 * BLOCK
    looked.clear()
    spread(found, piece(2 * BLOCK, anonymous=False), sys_of[BLOCK])
    assert len(looked) == 2 * BLOCK


def test_unknown_folios_are_spread_by_2_mib() -> None:
    """As the kernel counts the pages of the mapping, so that none lies in two."""
    request = ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 1), Destination(1, 1)))
    mapped = piece(3 * BLOCK, first_page=BASE // PAGE_SIZE + 2)
    found = list(units([Range(mapped.start, mapped.end)], [mapped], request, unknown))
    assert {unit.size for unit in found} == {PAGE_SIZE}
    assert [unit.node for unit in found] == [0] * (BLOCK - 2) + [1] * BLOCK + [0] * BLOCK + [1] * 2


def test_one_destination_needs_no_folios() -> None:
    mapped, whole = piece(2 * BLOCK), Range(BASE + HUGE_PAGE_SIZE, BASE + 2 * HUGE_PAGE_SIZE)
    for request in (
        ActionRequest(Action.MIGRATE_COLD, target_nid=1),
        ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 0), Destination(1, 2))),
    ):
        assert migrating.nodes(request) == {1}
        found = list(units([Range(mapped.start, mapped.end)], [mapped], request, by_huge_pages([whole])))
        assert found == [(BASE + at * PAGE_SIZE, PAGE_SIZE, 1) for at in range(BLOCK)] + [
            (*whole[:1], HUGE_PAGE_SIZE, 1)
        ]
    no_weight = ActionRequest(Action.MIGRATE_COLD, dests=(Destination(0, 0),))
    assert list(units([Range(mapped.start, mapped.end)], [mapped], no_weight, unknown)) == []


@pytest.mark.parametrize("error", [errno.ESRCH, errno.EINVAL])
def test_a_thread_that_ends_meanwhile(error: int) -> None:
    """Another one that has the memory is asked; where there is none, the process has ended."""
    numbers = iter([1, 2, 2, 2, 2])

    def of(thread: int) -> int:
        if thread == 1:
            raise OSError(error, os.strerror(error))
        return 0

    with pytest.MonkeyPatch.context() as patched:
        kernel = FakeKernel([Folio(BASE, PAGE_SIZE)], Random(0), patched)
        kernel.node[Folio(BASE, PAGE_SIZE)] = 0
        patched.setattr(
            migrating, "nodes_of", lambda thread, pages: [of(thread) or kernel.of(p) for p in pages]
        )
        unit = MigrationUnit(BASE, PAGE_SIZE, 1)
        assert migrate(lambda: next(numbers), [unit], shared=False) == PAGE_SIZE
        with pytest.raises(OSError, match=os.strerror(error)):
            migrate(lambda: 1, [unit], shared=False)
