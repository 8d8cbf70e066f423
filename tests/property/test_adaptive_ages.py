"""Ages against an array that has one for every byte of a small space."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udamon.core.adaptive.ages import Ages
from udamon.core.adaptive.parameters import Parameters

P = Parameters()

BEGIN, END = 40, 140


def per_byte(ages: Ages) -> dict[int, int]:
    bounds = [*ages.starts, ages.end]
    assert all(a < b for a, b in pairwise(bounds))
    return {
        byte: since
        for start, end, since in zip(bounds, bounds[1:], ages.since, strict=False)
        for byte in range(start, end)
    }


class Model:
    """Since when each byte has had its rate."""

    def __init__(self) -> None:
        self.since = dict.fromkeys(range(BEGIN, END), 0)

    def change(self, start: int, end: int, now: int) -> None:
        self.since |= {byte: now for byte in range(start, end) if byte in self.since}

    def stretch(self, start: int, end: int, now: int) -> None:
        bytes_ = range(min(start, *self.since), max(end, *(byte + 1 for byte in self.since)))
        self.since = {byte: self.since.get(byte, now) for byte in bytes_}

    def shift(self, was: int, now: int, _: int) -> None:
        """To the right: what is between has the age of what was left of it. To the left: of what was right."""
        if was in self.since and was - 1 in self.since:
            other = self.since[was - 1] if now > was else self.since[was]
            self.change(min(was, now), max(was, now), other)


ADDRESS = st.integers(0, 180)
OPERATION = st.tuples(st.sampled_from(["change", "change", "change", "stretch", "shift"]), ADDRESS, ADDRESS)


def apply(ages: Ages, model: Model, operation: tuple[str, int, int], now: int) -> None:
    name, a, b = operation
    if name == "shift":
        ages.shift(a, b)
        model.shift(a, b, now)
    elif name == "change":
        ages.change(a, b, now)
        model.change(a, b, now)
    elif a < b:
        ages.stretch(a, b, now)
        model.stretch(a, b, now)


@given(st.lists(OPERATION, max_size=20))
def test_ages_are_those_of_every_byte(operations: list[tuple[str, int, int]]) -> None:
    ages, model = Ages(BEGIN, END, 0, P), Model()
    for now, operation in enumerate(operations, start=1):
        apply(ages, model, operation, now)
        assert per_byte(ages) == model.since


def aged(*pieces: tuple[int, int]) -> Ages:
    """Pieces of a size and since when, one after the other from 0 on."""
    ages = Ages(0, sum(size for size, _ in pieces), 0, P)
    at = 0
    for size, since in pieces:
        ages.change(at, at + size, since)
        at += size
    return ages


def settle(ages: Ages, now: int, aggregation: int, steps: tuple[int, ...] = ()) -> list[tuple[int, int]]:
    """The next time that neighbours are joined; nothing happens before that."""
    before = ages.starts[:], ages.since[:]
    for _ in range(9):
        ages.settle(now, aggregation, steps)
        assert (ages.starts, ages.since) == before
    ages.settle(now, aggregation, steps)
    return list(zip(ages.starts, ages.since, strict=True))


def test_neighbours_become_one_when_their_ages_differ_by_a_tenth() -> None:
    """At 1000, since 0 and since 100 are a tenth apart: a quarter of the bytes is 100 younger. 101 are more."""
    assert settle(aged((30, 0), (10, 100)), 1000, 1) == [(0, 25)]
    assert settle(aged((30, 0), (10, 101)), 1000, 1) == [(0, 0), (30, 101)]
    assert settle(aged((10, 101), (30, 0)), 1000, 1) == [(0, 101), (10, 0)]


def test_or_by_no_more_than_an_aggregation() -> None:
    assert settle(aged((10, 980), (10, 1000)), 1000, 20) == [(0, 990)]
    assert settle(aged((10, 979), (10, 1000)), 1000, 20) == [(0, 979), (10, 1000)]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1000)), min_size=1, max_size=12),
    st.integers(0, 500),
    st.integers(1, 200),
)
def test_joining_keeps_the_total_and_joins_only_what_is_alike(
    pieces: list[tuple[int, int]], later: int, aggregation: int
) -> None:
    """Means are rounded down to a microsecond, once for each joint."""
    now = 1000 + later
    ages = aged(*pieces)
    before = per_byte(ages)
    settle(ages, now, aggregation)
    after = per_byte(ages)
    assert 0 <= sum(before.values()) - sum(after.values()) <= len(before) * len(pieces)
    at = 0
    mean, size = Fraction(pieces[0][1]), 0
    for length, since in pieces:
        older = now - min(Fraction(since), mean)
        apart = abs(since - mean) - max(Fraction(P.alike_ages) * older, Fraction(aggregation))
        if at in ages.starts:
            assert at == 0 or apart > -len(pieces)
            mean, size = Fraction(since), length
        elif before[at] != before[at - 1]:
            assert apart < len(pieces)
        if at not in ages.starts:
            mean = (mean * size + since * length) / (size + length)
            size += length
        at += length


LARGE = 2 * P.left_over


@pytest.mark.parametrize("since", [3000, 9999])
def test_a_sliver_that_a_step_left_behind_takes_the_age_of_what_it_lies_in(since: int) -> None:
    """A step at LARGE turned out to be at LARGE + 1, so that the byte between is one with what is left of it; or
    the other way round."""
    left_behind = (LARGE, 1000), (1, since), (LARGE, 9000)
    after = [(0, 1000), (LARGE + 1, 9000)]
    assert settle(aged(*left_behind), 10_000, 1, (0, LARGE + 1, 2 * LARGE + 1)) == after
    after = [(0, 1000), (LARGE, 9000)]
    assert settle(aged(*left_behind), 10_000, 1, (0, LARGE, 2 * LARGE + 1)) == after


def test_an_island_of_a_page_is_no_sliver() -> None:
    """There is a step on both of its sides."""
    pieces = (LARGE, 1000), (1, 5000), (LARGE, 9000)
    steps = (0, LARGE, LARGE + 1, 2 * LARGE + 1)
    assert settle(aged(*pieces), 10_000, 1, steps) == [(0, 1000), (LARGE, 5000), (LARGE + 1, 9000)]


def test_what_is_not_so_small_is_no_sliver() -> None:
    pieces = (P.left_over, 1000), (1, 5000)
    assert len(settle(aged(*pieces), 10_000, 1, (0, P.left_over + 1))) == 2
    assert len(settle(aged((P.left_over + 1, 1000), (1, 5000)), 10_000, 1, (0, P.left_over + 2))) == 1
