"""What was left alone: each byte once, however often passes meet it, and whatever the runs of its pages are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from udamon.acting.left_alone import LeftAlone, UniquePages, UniqueRanges
from udamon.model import PAGE_SIZE, Range

pages = st.integers(0, 3000)
RUNS = st.lists(st.tuples(st.sampled_from(["a", "b"]), pages, pages), max_size=30)


@given(RUNS)
def test_each_page_counts_once(runs: list[tuple[str, int, int]]) -> None:
    met: set[tuple[str, int]] = set()
    by_page, by_range = UniquePages(), UniqueRanges()
    for space, one, other in runs:
        first, last = min(one, other), max(one, other) + 1
        met |= {(space, page) for page in range(first, last)}
        for unique in (by_page, by_range):
            unique.add(space, first * PAGE_SIZE, last * PAGE_SIZE)
    assert by_page.bytes == by_range.bytes == len(met) * PAGE_SIZE


def test_what_a_process_that_is_gone_had_stays_counted() -> None:
    left = LeftAlone()
    for _ in range(3):
        left.add("shared", 1, [Range(0, 8 * PAGE_SIZE), Range(16 * PAGE_SIZE, 17 * PAGE_SIZE)])
        left.add("locked", 1, [Range(0, 1 << 46)], kind=UniqueRanges)
    left.forget(1)
    left.add("shared", 1, [Range(0, PAGE_SIZE)])
    assert left.bytes == Counter(shared=10 * PAGE_SIZE, locked=1 << 46)
