"""Idle times from generations: exact of the young ones, bounds of what has joined the oldest; figures by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from udamon.core.generations import Generations, PageGeneration, told

S = 1_000_000_000


def shown(accessed: list[int], window: int, most: int = 4) -> list[PageGeneration]:
    """What a kernel shows at the end of window `window` of one second each (numbered from 1), where page i was accessed
    last in window accessed[i] (0: before): generation k has those of window k, and the newest none; the oldest of
    `most` has all before it."""
    oldest = max(0, window + 2 - most)
    return [
        PageGeneration(k, max(k - 1, 0) * S, sum(max(last, oldest) == k for last in accessed))
        for k in range(oldest, window + 2)
    ]


def cold(one: Generations, seconds: int) -> tuple[float | None, float | None]:
    found = told([one], one.end_ns)
    at = {1: 0, 10: 1}[seconds]
    return found.low[at], found.high[at]


def test_young_ones_are_exact() -> None:
    """8 pages: 1 accessed in window 3, 2 in window 2, 5 before that."""
    one = Generations(0)
    one.window(shown([0] * 8, 0), 0)
    one.window(shown([1] * 8, 1), S)
    assert one.touched == 8
    one.window(shown([2] * 3 + [1] * 5, 2), 2 * S)
    assert one.touched == 3
    one.window(shown([3] + [2] * 2 + [1] * 5, 3), 3 * S)
    assert one.touched == 1
    assert cold(one, 1) == (7, 7), "not in the last window"
    assert cold(one, 10) == (None, None), "nobody watched for so long"
    assert told([one], one.end_ns).size == 8


def test_of_the_oldest_only_bounds_are_known() -> None:
    """Six pages idle from window 1 on, six from window 8 on; in window 14 six of the twelve are accessed: either kind
    may be what is left."""
    one = Generations(0)
    one.window(shown([0] * 12, 0), 0)
    for window in range(1, 14):
        last = [min(window, 1)] * 6 + [min(window, 8)] * 6
        one.window(shown(last, window), window * S)
    assert cold(one, 10) == (6, 6), "who joined when is known while nobody leaves"
    one.window(shown([14] * 6 + [8] * 6, 14), 14 * S)
    assert one.touched == 6
    assert cold(one, 10) == (0, 6)
    assert cold(one, 1) == (6, 6)


def test_what_comes_into_the_oldest_is_new() -> None:
    """Pages that are read and not mapped begin there."""
    one = Generations(0)
    for window in range(12):
        one.window([PageGeneration(k, k * S, 0) for k in range(window, window + 4)], window * S)
    one.window([PageGeneration(12, 12 * S, 5), *(PageGeneration(k, k * S, 0) for k in (13, 14, 15))], 12 * S)
    assert cold(one, 10) == (0, 0)
    assert cold(one, 1) == (5, 5)


def test_another_group_with_the_same_number_begins_anew() -> None:
    one = Generations(0)
    for window in range(1, 12):
        one.window(shown([1] * 4, window), window * S)
    one.window(shown([1] * 2, 1), 12 * S)
    assert told([one], 12 * S).size == 2
    assert one.touched == 0


def test_several_together() -> None:
    one, other = Generations(0), Generations(0)
    for window in range(13):
        one.window(shown([min(window, 1)] * 4, window), window * S)
        other.window(shown([window] * 2, window), window * S)
    found = told([one, other], 12 * S)
    assert (found.size, found.low[0], found.low[1]) == (6, 4, 4)
    assert told([], S).size == 0


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=30))
def test_the_truth_is_between_the_bounds(accesses: list[list[bool]]) -> None:
    """Any pages may be accessed in any window."""
    one, last = Generations(0), [0] * 6
    one.window(shown(last, 0), 0)
    for window, row in enumerate(accesses, 1):
        last = [window if hit else before for before, hit in zip(last, row, strict=True)]
        one.window(shown(last, window), window * S)
        assert one.touched == sum(row)
        found = told([one], window * S)
        for at, seconds in ((0, 1), (1, 10)):
            low, high = found.low[at], found.high[at]
            truth = sum(window - before >= seconds for before in last)
            if low is not None and high is not None:
                assert low <= truth <= high
