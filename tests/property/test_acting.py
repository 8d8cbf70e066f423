"""Acting: whatever is a hole, refused or shared, exactly the rest is done, with bounded calls."""

from __future__ import annotations

import errno
import struct
import tempfile
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from udamon.acting.advising import STRETCH, advise_all
from udamon.acting.page_filters import PageFilters
from udamon.acting.pages import judge
from udamon.core.scheme import Action, ActionRequest
from udamon.linux.process_madvise import MAX_VECTORS, PAGEOUT
from udamon.model import Range
from udamon.ranges import minus, total

PAGE = 4096

steps = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=60)
"""Gaps and sizes in pages, from which sorted, disjoint ranges are made."""


def ranges_of(gaps: Sequence[tuple[int, int]]) -> list[Range]:
    at, found = 0, []
    for gap, size in gaps:
        at += gap * PAGE
        found.append(Range(at, at + size * PAGE))
        at += size * PAGE
    return found


def pages_of(ranges: Sequence[Range]) -> set[int]:
    return {page for r in ranges for page in range(r.start // PAGE, r.end // PAGE)}


@given(steps, st.sets(st.integers(0, 2000)))
def test_what_is_mapped_is_advised_and_nothing_else(gaps: list[tuple[int, int]], holes: set[int]) -> None:
    """A kernel in which some pages are not mapped; what is left of a vector with a hole is tried once more."""
    vectors = ranges_of(gaps)
    advised: set[int] = set()
    calls = 0

    def call(pidfd: int, batch: Sequence[Range], advice: int) -> int:
        nonlocal calls
        calls += 1
        assert 0 < len(batch) <= MAX_VECTORS
        assert len(batch) == 1 or total(batch) <= STRETCH
        done = 0
        for vector in batch:
            if pages_of([vector]) & holes:
                if not done:
                    raise OSError(errno.ENOMEM, "hole")
                return done
            advised.update(pages_of([vector]))
            done += vector.size
        return done

    def cut_again(vector: Range) -> list[Range]:
        return minus([vector], [Range(page * PAGE, page * PAGE + PAGE) for page in sorted(holes)])

    done = advise_all(1, vectors, PAGEOUT, cut_again, call)
    assert pages_of(done) == advised == pages_of(vectors) - holes
    assert total(done) == len(advised) * PAGE, "nothing is counted twice"
    with_holes = [v for v in vectors if pages_of([v]) & holes]
    parts = sum(len(cut_again(v)) for v in with_holes)
    assert calls <= 1 + 2 * len(with_holes) + parts


@given(steps, steps)
def test_minus_is_minus(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    found = minus(ranges_of(a), ranges_of(b))
    assert pages_of(found) == pages_of(ranges_of(a)) - pages_of(ranges_of(b))
    assert found == sorted(found)
    assert total(found) == len(pages_of(found)) * PAGE


PRESENT, OWN = 1 << 63, 1 << 56


@given(st.lists(st.sampled_from([0, PRESENT, PRESENT | OWN]), max_size=1500))
def test_vectors_hold_every_page_that_is_taken_and_none_that_is_left(entries: list[int]) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(struct.pack(f"={len(entries)}Q", *entries))
        file.flush()
        test = PageFilters().test(ActionRequest(Action.PAGEOUT), spare_shared=True)
        found = judge(file.fileno(), [Range(0, len(entries) * PAGE)], test)
    mine = {page for page, entry in enumerate(entries) if entry & OWN}
    shared = {page for page, entry in enumerate(entries) if entry == PRESENT}
    assert pages_of(found.taken) == mine
    assert pages_of([run for run, _ in found.left]) == shared
    assert pages_of(found.vectors) >= mine
    assert not pages_of(found.vectors) & shared
