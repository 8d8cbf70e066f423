"""pte cleared a second time within a window: by which look each page was first seen, on a made-up kcore."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.fake_kcore import ACCESSED
from tests.unit.ops.test_pte import FOUND, OWN, Machine
from udamon.core.rates import Look
from udamon.core.target import Target
from udamon.errors import PauseTooLong, TargetGone
from udamon.linux.roots import Roots
from udamon.model import PAGE_SIZE, Range
from udamon.ops import first_looks, hugetlb
from udamon.ops.base import FirstSeen
from udamon.ops.pte import Pte

MS = 1_000_000
SMALL, FILE, HUGE = Range(0x1000, 0x9000), Range(0x9000, 0xD000), Range(0x200000, 0x400000)


class Clocked:
    """A process of which a test says when its pages are accessed; calls take as long as it says."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.now = 0
        self.target = Target(4, 9, 100)
        self.census = Pte(machine.opened, Roots(machine.proc), now_ns=lambda: self.now)
        self.census.begin([self.target])

    def accessed(self, *pages: int) -> None:
        for page in pages:
            place = self.machine.kcore.place(self.machine.root, page * PAGE_SIZE)
            self.machine.kcore.put_word(place, self.machine.kcore.word(place) | ACCESSED)

    def cleared(self) -> None:
        """What the kernel does when clear_refs is written."""
        for page in (1, 2, 3, 5, 9, 0xA):
            place = self.machine.kcore.place(self.machine.root, page * PAGE_SIZE)
            self.machine.kcore.put_word(place, self.machine.kcore.word(place) & ~ACCESSED)
        place = self.machine.kcore.place(self.machine.root, 0x200000, 1)
        self.machine.kcore.put_word(place, self.machine.kcore.word(place) & ~ACCESSED)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clocked:
    monkeypatch.setattr(hugetlb, "_internal", lambda: frozenset([b"00:31"]))
    return Clocked(Machine(tmp_path))


def window(rig: Clocked) -> None:
    """Pages 1 and 9 before the second clear, 2 within 5 ms after it, 1 within 10, 3 and the huge page later."""
    rig.census.prepare(rig.target)
    rig.cleared()
    rig.now = 40 * MS
    rig.accessed(1, 9)
    rig.census.clear_again(rig.target)
    rig.cleared()
    rig.census.expose([rig.target])
    rig.now = 45 * MS
    rig.accessed(2)
    rig.census.look_midway(rig.target)
    rig.now = 50 * MS
    rig.accessed(1)
    rig.census.look_midway(rig.target)
    rig.now = 100 * MS
    rig.accessed(3)
    place = rig.machine.kcore.place(rig.machine.root, 0x200000, 1)
    rig.machine.kcore.put_word(place, rig.machine.kcore.word(place) | ACCESSED)


def first_seen(rig: Clocked, *pieces: Range) -> list[FirstSeen]:
    found = rig.census.first_seen(rig.target, pieces)
    assert found is not None
    return found


def test_each_page_by_its_first_look(rig: Clocked) -> None:
    """And the answer of the window is that of all of it: 1 and 9 count, whose bits were cleared meanwhile."""
    window(rig)
    found = rig.census.look(rig.target)
    assert [(one.start, one.end) for one in found if one.touched] == [
        (0x1000, 0x4000), (0x9000, 0xA000), (0x200000, 0x400000)
    ]  # fmt: skip
    spans = [5 * MS, 10 * MS, 60 * MS]
    small, file, huge = first_seen(rig, SMALL, FILE, HUGE)
    assert small == FirstSeen(
        4, 3, (40 * MS, 1), [Look(s, s, s, n) for s, n in zip(spans, (1, 2, 3), strict=True)]
    )
    assert file == FirstSeen(2, 1, (40 * MS, 1), [Look(s, s, s, 0) for s in spans])
    assert huge == FirstSeen(
        512, 512, (40 * MS, 0), [Look(s, s, s, n) for s, n in zip(spans, (0, 0, 512), strict=True)]
    )


def test_what_it_costs_the_target(rig: Clocked) -> None:
    """2 pages before the second clear; 3 small ones, one of them again, and 512 of a huge one after it."""
    window(rig)
    rig.census.look(rig.target)
    assert rig.census.pauses.touched_pages == 2 + 3 + 512


def test_a_window_of_its_own_each_time(rig: Clocked) -> None:
    window(rig)
    rig.census.look(rig.target)
    rig.census.prepare(rig.target)
    rig.cleared()
    assert rig.census.first_seen(rig.target, [SMALL]) is None
    assert not any(one.touched for one in rig.census.look(rig.target))


def test_spans_from_the_clear_to_the_look(rig: Clocked) -> None:
    """Clearing takes 12 ms, displacing what TLBs hold 1 ms, a look 2 ms: how long ago a page was cleared is between."""
    census = rig.census
    census.prepare(rig.target)
    rig.now = 10 * MS
    clear_all = census._clear_all

    def slowly(target: Target) -> None:
        clear_all(target)
        rig.now += 12 * MS

    census._clear_all = slowly  # type: ignore[method-assign]
    census.clear_again(rig.target)
    rig.now += 1 * MS
    census.expose([rig.target])
    rig.now = 30 * MS
    tables, look = census.opened.tables, census.opened.tables.look

    def looking(*args: object) -> object:
        rig.now += 1 * MS
        return look(*args)  # type: ignore[arg-type]

    tables.look = looking  # type: ignore[method-assign, assignment]
    census.look_midway(rig.target)
    (first,) = first_seen(rig, SMALL)
    # Cleared from 10 to 22 ms, until 23 ms perhaps hidden; looked at from 30 ms on, in one go for all that is near.
    assert first.looks[0][:3] == (7 * MS, (30 * MS + rig.now) // 2 - 16 * MS, rig.now - 10 * MS)
    assert first.before == (10 * MS, 0)


def test_a_clear_that_is_refused(rig: Clocked, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was accessed by then is kept; there is nothing to tell of rates."""
    rig.census.prepare(rig.target)
    rig.cleared()
    rig.accessed(1)

    def refuse(target: Target) -> None:
        raise PauseTooLong("it has grown")

    monkeypatch.setattr(rig.census, "_clear_all", refuse)
    with pytest.raises(PauseTooLong):
        rig.census.clear_again(rig.target)
    rig.census.look_midway(rig.target)
    rig.accessed(2)
    assert sum(one.touched for one in rig.census.look(rig.target)) == 2 * PAGE_SIZE
    assert rig.census.first_seen(rig.target, [SMALL]) is None


def test_memory_that_was_replaced(rig: Clocked) -> None:
    """A program that was executed since: the new memory has nothing of the old one's marks."""
    window(rig)
    rig.census._spaces.popitem()[1].close()
    found = rig.census.look(rig.target)
    assert sum(one.touched for one in found) == 3 * PAGE_SIZE + (2 << 20)
    assert rig.census.first_seen(rig.target, [SMALL]) is None
    (rig.machine.proc / "9/pagemap").write_bytes(b"")
    with pytest.raises(TargetGone):
        rig.census.clear_again(rig.target)


def test_more_addresses_than_marks(rig: Clocked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is told, rather than of some pages."""
    monkeypatch.setattr(first_looks, "MOST_CHUNKS", 0)
    window(rig)
    assert rig.census.look(rig.target)
    assert rig.census.first_seen(rig.target, [SMALL]) is None


def test_without_a_second_clear_nothing_is_different(rig: Clocked) -> None:
    rig.census.prepare(rig.target)
    assert rig.census.look(rig.target) == FOUND
    assert OWN
