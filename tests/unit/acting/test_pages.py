"""Pages that may be acted on: told from page-map entries, which are made up here by their documented bits."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from udamon.acting.page_filters import PageFilters
from udamon.acting.pages import NOT_MEANT, REJECTED, SHARED, TAKE, PageVerdicts, judge
from udamon.core.scheme import Action, ActionRequest, Filter, FilterType
from udamon.model import Range
from udamon.ranges import minus

PAGE = 4096
PRESENT, SWAPPED, FILE, OWN = 1 << 63, 1 << 62, 1 << 61, 1 << 56


class PageMap:
    """A file in the layout of /proc/PID/pagemap."""

    def __init__(self, path: Path, *entries: int) -> None:
        path.write_bytes(struct.pack(f"={len(entries)}Q", *entries))
        self.file = path.open("rb")
        self.all = Range(0, len(entries) * PAGE)


def found(page_map: PageMap, request: ActionRequest, *, spare_shared: bool = True) -> PageVerdicts:
    return judge(
        page_map.file.fileno(), [page_map.all], PageFilters().test(request, spare_shared=spare_shared)
    )


def pages(*numbers: int) -> list[Range]:
    return [Range(n * PAGE, (n + 1) * PAGE) for n in numbers]


def test_what_others_map_is_left_and_what_is_absent_does_not_part(tmp_path: Path) -> None:
    page_map = PageMap(tmp_path / "m", PRESENT | OWN, 0, PRESENT | OWN, PRESENT, PRESENT | OWN, SWAPPED)
    judged = found(page_map, ActionRequest(Action.PAGEOUT))
    assert judged.taken == pages(0, 2, 4)
    assert [run for run, _ in judged.left] == pages(3)
    assert judged.vectors == [Range(0, 3 * PAGE), *pages(4)]
    assert judged.bytes[TAKE] == 3 * PAGE
    assert judged.bytes[SHARED] == PAGE


def test_shared_pages_are_taken_when_asked_for(tmp_path: Path) -> None:
    page_map = PageMap(tmp_path / "m", PRESENT, PRESENT | OWN)
    assert found(page_map, ActionRequest(Action.PAGEOUT), spare_shared=False).taken == [Range(0, 2 * PAGE)]


class Odd:
    """Means every second page."""

    def judge(self, start: int, entries: bytes) -> bytes:
        return bytes(TAKE if at % 2 else NOT_MEANT for at in range(len(entries) // 8))


def test_pages_that_are_not_meant_never_lie_in_a_vector(tmp_path: Path) -> None:
    page_map = PageMap(tmp_path / "m", *[PRESENT | OWN] * 6)
    assert judge(page_map.file.fileno(), [page_map.all], Odd()).vectors == pages(1, 3, 5)


def test_nothing_present_is_nothing_to_do(tmp_path: Path) -> None:
    page_map = PageMap(tmp_path / "m", 0, SWAPPED, 0)
    judged = found(page_map, ActionRequest(Action.PAGEOUT))
    assert judged.vectors == []
    assert judged.left == []


@pytest.mark.parametrize(
    ("matching", "allow", "default", "taken"),
    [
        (True, False, True, [1]),  # reject anon; what remains is allowed (the last filter rejects)
        (False, False, True, [0]),  # reject what is not anon
        (True, True, False, [0]),  # allow anon; what remains is rejected (the last filter allows)
        (False, True, False, [1]),
        (True, True, True, [0, 1]),
    ],
)
def test_the_filter_anon(
    tmp_path: Path, matching: bool, allow: bool, default: bool, taken: list[int]
) -> None:
    """Page 0 is anonymous, page 1 of a file (docs/damon.md#filters)."""
    page_map = PageMap(tmp_path / "m", PRESENT | OWN, PRESENT | OWN | FILE)
    filters = (Filter(FilterType.ANON, matching=matching, allow=allow),)
    judged = found(page_map, ActionRequest(Action.PAGEOUT, filters, pages_allowed_by_default=default))
    assert [r.start // PAGE + n for r in judged.taken for n in range(r.size // PAGE)] == taken
    assert judged.bytes[REJECTED] == (2 - len(taken)) * PAGE


def test_the_first_filter_that_applies_decides(tmp_path: Path) -> None:
    page_map = PageMap(tmp_path / "m", PRESENT | OWN, PRESENT | OWN | FILE)
    filters = (
        Filter(FilterType.ANON, matching=True, allow=True),
        Filter(FilterType.ANON, matching=True, allow=False),
        Filter(FilterType.ANON, matching=False, allow=False),
    )
    assert found(page_map, ActionRequest(Action.PAGEOUT, filters)).taken == pages(0)


@pytest.mark.parametrize(
    ("ranges", "others", "expected"),
    [
        ([(0, 10)], [], [(0, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(0, 10)], [(2, 4), (6, 20)], [(0, 2), (4, 6)]),
        ([(0, 4), (6, 9)], [(3, 7)], [(0, 3), (7, 9)]),
        ([(5, 9)], [(0, 6), (8, 9)], [(6, 8)]),
    ],
)
def test_minus(
    ranges: list[tuple[int, int]], others: list[tuple[int, int]], expected: list[tuple[int, int]]
) -> None:
    assert minus([Range(*r) for r in ranges], [Range(*r) for r in others]) == [Range(*r) for r in expected]
