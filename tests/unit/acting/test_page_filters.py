"""Page filters that look at frames: in which order they decide, and what they read of files made up here."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest

from udamon.acting.page_filters import PageFilters
from udamon.acting.pages import judge
from udamon.acting.view import MappingPiece
from udamon.core.scheme import Action, ActionRequest, Bounds, Filter, FilterType
from udamon.linux.frame_files import (
    ACTIVE,
    BLOCK,
    COMPOUND_HEAD,
    COMPOUND_TAIL,
    FrameWords,
    IdleBits,
    folio_sizes,
)
from udamon.linux.roots import Roots
from udamon.model import Range

PAGE = 4096
PRESENT, FILE, OWN = 1 << 63, 1 << 61, 1 << 56


class Machine:
    """Frames 1 to 8 back pages 0 to 7 of a process; frames 8 and 9 are one folio of two pages.

    Frames 2 and 4 are active; 3 and 4 are charged to the cgroup /a, the others to none. Idle bits are set for
    frames 1 and 2. Page 5 is of a file.
    """

    def __init__(self, tmp_path: Path) -> None:
        proc, sys, cgroups = tmp_path / "proc", tmp_path / "sys", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (cgroups / "a").mkdir(parents=True)
        (cgroups / "a/cgroup.procs").write_text("")
        (cgroups / "a/memory.stat").write_text("")
        (proc / "self/mountinfo").write_text(f"30 23 0:26 / {cgroups} rw - cgroup2 cgroup2 rw\n")
        flags = [0] * 10
        flags[2] = flags[4] = ACTIVE
        flags[8], flags[9] = COMPOUND_HEAD, COMPOUND_TAIL
        inode = (cgroups / "a").stat().st_ino
        (proc / "kpageflags").write_bytes(struct.pack("=10Q", *flags))
        (proc / "kpagecgroup").write_bytes(struct.pack("=10Q", 0, 0, 0, inode, inode, *[0] * 5))
        bitmap = sys / "kernel/mm/page_idle/bitmap"
        bitmap.parent.mkdir(parents=True)
        bitmap.write_bytes(struct.pack("=Q", 1 << 1 | 1 << 2))
        self.bitmap = bitmap
        entries = [PRESENT | OWN | frame for frame in range(1, 9)]
        entries[5] |= FILE
        (tmp_path / "pagemap").write_bytes(struct.pack("=8Q", *entries))
        self.page_map = (tmp_path / "pagemap").open("rb")
        self.filters = PageFilters(Roots(proc, sys))

    def taken(self, *filters: Filter, default: bool) -> list[int]:
        request = ActionRequest(Action.PAGEOUT, filters, pages_allowed_by_default=default)
        test = self.filters.test(request, spare_shared=True)
        found = judge(self.page_map.fileno(), [Range(0, 8 * PAGE)], test)
        return [page for r in found.taken for page in range(r.start // PAGE, r.end // PAGE)]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def allow(type: FilterType, **more: object) -> Filter:
    return Filter(type, matching=True, allow=True, **more)  # type: ignore[arg-type]


def reject(type: FilterType, **more: object) -> Filter:
    return Filter(type, matching=True, allow=False, **more)  # type: ignore[arg-type]


def test_active_pages(machine: Machine) -> None:
    assert machine.taken(allow(FilterType.ACTIVE), default=False) == [1, 3]
    assert machine.taken(reject(FilterType.ACTIVE), default=True) == [0, 2, 4, 5, 6, 7]


def test_pages_charged_to_a_cgroup(machine: Machine) -> None:
    assert machine.taken(allow(FilterType.MEMCG, memcg_path="/a"), default=False) == [2, 3]
    assert machine.taken(allow(FilterType.MEMCG, memcg_path="/removed"), default=False) == []


def test_folios_by_size(machine: Machine) -> None:
    two = allow(FilterType.HUGEPAGE_SIZE, size=Bounds(2 * PAGE, 2 * PAGE))
    assert machine.taken(two, default=False) == [7]
    assert machine.taken(reject(FilterType.HUGEPAGE_SIZE, size=Bounds(0, PAGE)), default=True) == [7]


def test_folios_of_memory_by_the_flags_of_their_frames(tmp_path: Path) -> None:
    """Without frame numbers or flags, pages have the place of their aligned 2 MiB."""
    (tmp_path / "kpageflags").write_bytes(struct.pack("=4Q", 0, 0, COMPOUND_HEAD, COMPOUND_TAIL))
    page_map = tmp_path / "pagemap"
    page_map.write_bytes(struct.pack("=3Q", PRESENT | 3, PRESENT | 2, PRESENT | 3))
    mapped = MappingPiece(0, 3 * PAGE, True, False, False, 2 * BLOCK + 1)
    singly = [(0, PAGE, 2), (PAGE, 2 * PAGE, 2), (2 * PAGE, 3 * PAGE, 2)]
    with contextlib.closing(PageFilters(Roots(tmp_path, tmp_path))) as filters, page_map.open("rb") as file:
        found = list(filters.folios(file.fileno())(mapped, Range(0, 3 * PAGE)))
        # That a folio is mapped twice in a row does not make it longer.
        assert found == [(0, PAGE, BLOCK), (PAGE, 3 * PAGE, BLOCK + 1)]
        page_map.write_bytes(struct.pack("=3Q", *[PRESENT] * 3))
        assert list(filters.folios(file.fileno())(mapped, Range(0, 3 * PAGE))) == singly
    nowhere = Roots(proc=tmp_path / "none")
    with contextlib.closing(PageFilters(nowhere)) as filters, page_map.open("rb") as file:
        assert list(filters.folios(file.fileno())(mapped, Range(0, 3 * PAGE))) == singly


def test_unmapped_matches_nothing_that_is_mapped(machine: Machine) -> None:
    assert machine.taken(allow(FilterType.UNMAPPED), default=False) == []
    assert machine.taken(Filter(FilterType.UNMAPPED, matching=False, allow=True), default=False) == list(
        range(8)
    )


def test_young_pages_and_that_asking_makes_them_old(machine: Machine) -> None:
    """Frames whose idle bit is set were not accessed. A match sets it (docs/damon.md#filters)."""
    assert machine.taken(reject(FilterType.YOUNG), default=True) == [0, 1]
    (written,) = struct.unpack("=Q", machine.bitmap.read_bytes())
    assert written == sum(1 << frame for frame in range(3, 9)), (
        "a real kernel sets these and keeps the others"
    )


def test_who_is_decided_on_is_not_asked_again(machine: Machine) -> None:
    """Anonymous pages are allowed by the first filter, so the second ages no bit of theirs."""
    taken = machine.taken(allow(FilterType.ANON), reject(FilterType.YOUNG), default=True)
    assert taken == [0, 1, 2, 3, 4, 6, 7]
    (bits,) = struct.unpack("=Q", machine.bitmap.read_bytes())
    assert bits == 1 << 6, "only the page of the file was asked about (a real kernel keeps the other bits)"


def test_a_page_map_without_frames_is_an_error(tmp_path: Path, machine: Machine) -> None:
    (tmp_path / "pagemap").write_bytes(struct.pack("=8Q", *[PRESENT | OWN] * 8))
    with pytest.raises(PermissionError):
        machine.taken(allow(FilterType.ACTIVE), default=False)


def test_what_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    filters = PageFilters(Roots(tmp_path, tmp_path))
    for type, word in (
        (FilterType.YOUNG, "CONFIG_IDLE_PAGE_TRACKING"),
        (FilterType.ACTIVE, "CONFIG_PROC_PAGE_MONITOR"),
        (FilterType.MEMCG, "CONFIG_MEMCG"),
    ):
        assert word in (filters.missing([Filter(FilterType.ANON), Filter(type)]) or "")
    assert filters.missing([Filter(FilterType.ANON), Filter(FilterType.UNMAPPED)]) is None


def test_words_of_far_and_near_frames(tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(struct.pack("=1000Q", *range(1000)))
    words = FrameWords("words", tmp_path)
    assert words.read([]) == {}
    assert words.read([999, 3, 4, 500, 3, 5000]) == {3: 3, 4: 4, 500: 500, 999: 999}
    words.close()


def test_folios_end_where_their_tails_do(tmp_path: Path) -> None:
    head, tail = COMPOUND_HEAD, COMPOUND_TAIL
    flags = [0, 0, head, tail, tail, tail, head, tail, *[0] * 504]
    (tmp_path / "kpageflags").write_bytes(struct.pack("=512Q", *flags))
    sizes = folio_sizes(FrameWords("kpageflags", tmp_path), range(9))
    assert [sizes[frame] for frame in range(9)] == [1, 1, 4, 4, 4, 4, 2, 2, 1]


def test_idle_bits_of_frames_in_several_words(tmp_path: Path) -> None:
    path = tmp_path / "kernel/mm/page_idle/bitmap"
    path.parent.mkdir(parents=True)
    path.write_bytes(struct.pack("=2Q", 1 << 5, (1 << 64) - 1))
    bits = IdleBits(tmp_path)
    assert bits.accessed([5, 6, 63, 64, 100, 1000]) == {6, 63}
    bits.close()
