"""Residency on real kernels: three ways of asking agree, and reserved memory costs nothing."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from random import Random
from unittest.mock import Mock

import pytest

from tests.guest.pages import PAGE, Pages, entries, pages
from udamon.linux import pagemap, pagemap_scan, residency
from udamon.linux.pagemap_scan import NoScan
from udamon.linux.procfs import ProcessId, read_stat
from udamon.linux.residency import resident, swapped
from udamon.model import Range
from udamon.ranges import joined, overlap

pytestmark = [
    pytest.mark.guest_arm64,
    pytest.mark.guest_version,
    pytest.mark.guest_boot(smp=1),
    pytest.mark.needs("root", "pagemap_scan"),
]

TIB = 1 << 40


@pytest.fixture(scope="module")
def program() -> Iterator[Pages]:
    with pages() as started:
        yield started


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NoScan

    monkeypatch.setattr(residency, "scan_runs", refuse)


def process(program: Pages) -> ProcessId:
    return read_stat(program.pid).id


def plainly(program: Pages, area: Range, bit: int) -> list[Range]:
    """The truth: one page-map entry after the other."""
    found: list[Range] = []
    for page, entry in enumerate(entries(program.pid, area)):
        if entry >> bit & 1:
            start = area.start + page * PAGE
            begin = found.pop().start if found and found[-1].end == start else start
            found.append(Range(begin, start + PAGE))
    return found


def scatter(program: Pages, name: str, pages: int, seed: int) -> None:
    """Some pages written, some only read (the zero page), most left alone."""
    random = Random(seed)
    for _ in range(12):
        first = random.randrange(pages)
        what = random.choice(["write", "write", "read"])
        program.tell(what, name, first, min(pages, first + random.randrange(1, 60)), random.choice([1, 1, 2]))


@pytest.mark.parametrize("kind", ["small", "huge", "file", "private"])
def test_every_way_agrees_with_the_page_map(
    program: Pages, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        name = f"{kind}{seed}"
        area = program.map(name, 1500 * PAGE, kind)
        scatter(program, name, 1500, seed)
        truth = plainly(program, area, 63)
        assert truth
        assert resident(process(program), [area]) == truth
        some = [
            Range(area.start + 10 * PAGE, area.start + 500 * PAGE),
            Range(area.start + 900 * PAGE, area.end),
        ]
        assert resident(process(program), some) == list(overlap(truth, some))
        with monkeypatch.context() as patch:
            patch.setattr(residency, "scan_runs", _refuse)
            assert resident(process(program), [area]) == truth


def _refuse(*_: object, **__: object) -> None:
    raise NoScan


def test_swapped_out_is_not_resident(program: Pages, swap: None) -> None:
    area = program.map("out", 512 * PAGE)
    program.write("out", 0, 512)
    program.tell("advise", "out", 21)  # MADV_PAGEOUT
    program.read("out", 100, 200, 7)
    out, back = plainly(program, area, 62), plainly(program, area, 63)
    assert out, "nothing was paged out; nothing is proved"
    assert back
    assert swapped(process(program), [area]) == out
    assert resident(process(program), [area]) == back


def test_a_terabyte_of_reservation_costs_nothing(program: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few MiB in it, far apart, take as many calls of the kernel as the same pages side by side, or one more each."""
    area = program.map("terabyte", TIB, "small")
    places = [0, TIB // PAGE // 3, TIB // PAGE - 512]
    for place in places:
        program.write("terabyte", place, place + 512)
    dense = program.map("dense", len(places) * 512 * PAGE, "small")
    program.write("dense", 0, len(places) * 512)
    scan = Mock(side_effect=pagemap_scan._scan)
    monkeypatch.setattr(pagemap_scan, "_scan", scan)
    assert resident(process(program), [dense]) == [dense]
    calls = scan.call_count
    found = resident(process(program), [area])
    assert found == [Range(area.start + p * PAGE, area.start + (p + 512) * PAGE) for p in places]
    assert 0 < calls <= scan.call_count - calls <= calls + len(places)


def test_a_terabyte_without_scan_is_taken_whole(
    program: Pages, no_scan: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the budget: the mapping stands for what is in it. Within it: exact."""
    area = program.map("terabyte2", TIB, "small")
    program.write("terabyte2", 5, 6)
    small = program.map("beside", 100 * PAGE)
    program.write("beside", 3, 9)
    read = Mock(side_effect=pagemap.read_runs)
    monkeypatch.setattr(residency, "read_runs", read)
    found = resident(process(program), sorted([area, small]))
    assert [call.args[1] for call in read.call_args_list] == [[small]]
    near = Range(small.start + 3 * PAGE, small.start + 9 * PAGE)
    assert found == joined(sorted([area, near]))
    assert swapped(process(program), [area]) is None


def test_grain_bounds_the_answer(program: Pages) -> None:
    area = program.map("grain", 512 * PAGE)
    program.write("grain", 0, 512, 4)
    assert len(resident(process(program), [area])) == 128
    assert resident(process(program), [area], grain=4 * PAGE) == [Range(area.start, area.end - 3 * PAGE)]


def test_ranges_no_process_can_have(program: Pages) -> None:
    """Given by a user: nothing is there, and nothing goes wrong."""
    assert resident(process(program), [Range(1 << 60, (1 << 60) + mmap.PAGESIZE)]) == []
    everything = resident(process(program), [Range(0, 1 << 62)])
    area = program.map("known", 8 * PAGE)
    program.write("known", 0, 8)
    assert any(
        r.start <= area.start and area.end <= r.end for r in resident(process(program), [Range(0, 1 << 62)])
    )
    assert everything
