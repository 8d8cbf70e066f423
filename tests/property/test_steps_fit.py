"""The fit of steps against Viterbi's algorithm as textbooks have it, and under bytes of any kind."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fits import NOTHING, Fit, Step, Tables, fit, fit_buffers
from tests.unit.native_calls import named
from tests.unit.points import HOLE, LAYOUT, PAGE, Point, pack
from udamon.core.adaptive import likelihood
from udamon.core.adaptive.parameters import LEVELS
from udamon.native._native import steps_fit

SPACE = 40_000  # pages


def distance_index(distance: int) -> int:
    """The logarithm of a distance in eighths of an octave, linear within one."""
    octave = int(math.log2(distance))
    return 8 * octave + int(8 * (distance / 2**octave - 1))


class Chain:
    """The hidden Markov chain that tables describe: its transitions and its chances, all as logarithms."""

    def __init__(self, points: list[Point], tables: Tables) -> None:
        self.points = points
        self.tables = tables
        self.states = range(len(tables.enter))

    def answer(self, i: int, state: int) -> float:
        point = self.points[i]
        row = 2 * point.kind + (point.age == 0)
        return self.tables.answers[row * len(self.states) + state] * self.tables.weight[point.age]

    def move(self, i: int, before: int, state: int) -> float:
        """From the state of point i - 1 to that of point i; points that share a page share it, too."""
        if before == state:
            return 0.0
        gap = self.points[i].start - max(p.end for p in self.points[:i])
        if gap < 0:
            return -math.inf
        sizes = [PAGE if p.kind == HOLE else p.end - p.start for p in self.points[i - 1 : i + 1]]
        return self.tables.jump[distance_index(gap + sum(sizes) // 2)] + self.tables.enter[state]

    def best(self) -> float:
        """The log-chance of the most probable states."""
        scores = [self.tables.enter[s] + self.answer(0, s) for s in self.states]
        for i in range(1, len(self.points)):
            scores = [
                max(scores[b] + self.move(i, b, s) for b in self.states) + self.answer(i, s)
                for s in self.states
            ]
        return max(scores)

    def score(self, states: list[int]) -> float:
        total = self.tables.enter[states[0]] + self.answer(0, states[0])
        for i in range(1, len(states)):
            total += self.move(i, states[i - 1], states[i]) + self.answer(i, states[i])
        return total


def states_of(found: Fit, points: list[Point]) -> list[int]:
    """The state of every point; in a hole that can only be the lowest level."""
    segments = [bisect_right(found.place, p.start) for p in points]
    assert all((found.state[k] == NOTHING) == (p.kind == HOLE) for k, p in zip(segments, points, strict=True))
    return [found.state[k] if found.state[k] != NOTHING else 0 for k in segments]


@st.composite
def point_lists(draw: st.DrawFn, holes: bool = True) -> list[Point]:
    """In order: single and huge pages, several of one page, old and new ones, holes that nothing reaches into."""
    points: list[Point] = []
    at = 0
    kinds = [0, 0, 1, 1, 2, 3, HOLE] if holes else [0, 0, 1, 1, 2, 3]
    for _ in range(draw(st.integers(1, 24))):
        kind = draw(st.sampled_from(kinds))
        pages = draw(st.sampled_from([1, 1, 1, 512] if kind != HOLE else [1, 70, 3000]))
        ends = max((p.end for p in points), default=0) // PAGE
        at += draw(st.sampled_from([0, 0, 1, 2, 17, 300]))
        if kind == HOLE or (points and points[-1].kind == HOLE):
            at = max(at, ends)
        if pages == 512:
            at = -(-at // 512) * 512
        points.append(Point(at * PAGE, kind, 0 if kind == HOLE else draw(st.integers(0, 3)), pages))
    return points


def tables_of(seed: int, states: int, unchanged: int) -> Tables:
    """Any chances at all; only holes are as they must be."""
    random = Random(seed)
    hole = [0.0] + [-1e9] * (states - 1)
    steepness, keep = random.uniform(0, 0.05), random.uniform(0.5, 1)
    return Tables(
        [random.uniform(-8, 0) for _ in range(8 * states)] + 2 * hole,
        [random.uniform(-8, 0) for _ in range(states)],
        [-0.7 - steepness * (512 - i) for i in range(512)],
        [keep**age for age in range(256)],
        [random.random() for _ in range(states)],
        min(unchanged, states),
    )


ANY_TABLES = st.builds(tables_of, st.integers(0, 2**32), st.integers(1, 16), st.integers(0, 16))


@cache
def own_tables(ticks: int = 20) -> Tables:
    """What the policy works with."""
    return Tables(
        likelihood.answer_table(ticks, 0.01), likelihood.enter_table(6.0, 6.0),
        likelihood.jump_table(64, SPACE * PAGE), likelihood.weight_table(0.4, 16), likelihood.STATE_RATES,
        len(LEVELS),
    )  # fmt: skip


def check_shape(found: Fit) -> None:
    """Segments are never empty, and each step lies in its gap."""
    assert all(a < b for a, b in pairwise([0, *found.place, SPACE * PAGE]))
    rows = zip(found.low, found.place, found.high, strict=True)
    assert all(low <= place <= high for low, place, high in rows)
    assert len(found.state) == len(found.place) + 1
    columns = (found.since, found.rate, found.touched, found.seen)
    assert {len(column) for column in columns} == {len(found.state)}


def check_best(points: list[Point], tables: Tables) -> None:
    found = fit(points, tables, end=SPACE)
    check_shape(found)
    chain = Chain(points, tables)
    # Scores are single-precision in C; the states that it finds are scored in double precision here.
    assert chain.score(states_of(found, points)) >= chain.best() - 0.01


@given(point_lists(), ANY_TABLES)
def test_no_states_are_more_probable_than_those_of_the_fit(points: list[Point], tables: Tables) -> None:
    check_best(points, tables)


@given(point_lists(), st.sampled_from([2, 20]))
def test_nor_are_they_with_the_tables_of_the_policy(points: list[Point], ticks: int) -> None:
    check_best(points, own_tables(ticks))


@st.composite
def step_lists(draw: st.DrawFn) -> list[Step]:
    """Steps as a fit leaves them: sorted, each in its gap, gaps one after the other."""
    cuts = sorted(draw(st.lists(st.integers(0, SPACE), max_size=18)))
    return [
        Step(place, low, high, draw(st.sampled_from([-1.0, 0.3])), draw(st.integers(0, 99)))
        for low, place, high in zip(cuts[::3], cuts[1::3], cuts[2::3], strict=False)
    ]


@given(point_lists(), step_lists(), st.floats(0, 0.1))
def test_what_was_known_of_steps_narrows_gaps_and_never_widens_them(
    points: list[Point], before: list[Step], drift: float
) -> None:
    afresh = fit(points, own_tables(), end=SPACE)
    found = fit(points, own_tables(), before, end=SPACE, drift=drift)
    check_shape(found)
    assert (found.state, found.rate) == (afresh.state, afresh.rate)
    assert all(a <= b for a, b in zip(afresh.low, found.low, strict=True))
    assert all(a >= b for a, b in zip(afresh.high, found.high, strict=True))
    bounds = [0, *found.place, SPACE * PAGE]
    moved = {now: was for was, now in found.moved}
    old = {step.place * PAGE for step in before}
    unmoved: list[int] = []
    for k, (place, reach) in enumerate(zip(found.place, found.reach, strict=True)):
        smaller = min(place - bounds[k], bounds[k + 2] - place)
        if NOTHING in found.state[k : k + 2]:
            assert reach == 0
        elif place in moved:
            assert moved[place] in old
            assert reach in (abs(moved[place] - place), 0)
        else:
            unmoved.append(place)
            assert place in old or reach == (smaller if smaller >= PAGE else 0)
    assert sum(place not in old for place in unmoved) <= found.appeared <= len(unmoved)


def differ(rate: float, other: float) -> bool:
    """By more than 0.21 in the angle in which the error of a measured rate is the same everywhere; downwards."""
    return math.asin(math.sqrt(rate)) - math.asin(math.sqrt(other)) > 0.21


def shares_differ(new: list[Point], old: list[Point]) -> bool:
    """Of the checks of one tick (kinds 0 and 1), where both have some, the accesses."""
    shares = [[p.kind for p in some if p.kind < 2] for some in (new, old)]
    if not all(shares):
        return True
    first, second = (sum(kinds) / len(kinds) for kinds in shares)
    return differ(first, second) or differ(second, first)


def since_of(points: list[Point], state: int, change: float) -> tuple[int, float]:
    """For how many aggregations a segment of these points has had its rate, by trying every split in time; and
    how far from a draw that was."""
    tables = own_tables()
    levels = range(tables.unchanged)

    def best(some: list[Point]) -> tuple[float, int]:
        scores = [sum(tables.answers[2 * p.kind * len(tables.rate) + s] for p in some) for s in levels]
        return max((score, -s) for s, score in zip(levels, scores, strict=True))

    found, gains = 0, [change]
    for age in range(1, max(p.age for p in points) + 1):
        new, old = ([p for p in points if (p.age < age) is newer] for newer in (True, False))
        after, before = best(new), best(old)
        gain = after[0] + before[0] - best(points)[0]
        now, then, own = tables.rate[-after[1]], tables.rate[-before[1]], tables.rate[state]
        changed = (differ(now, then) or differ(then, now)) and not differ(now, own)
        if changed and shares_differ(new, old):
            found = age if gain > max(gains) else found
            gains.append(gain)
    first, second = [*sorted(gains, reverse=True), -math.inf][:2]
    return found, first - second


@given(point_lists(), st.floats(0, 8))
def test_segments_changed_when_their_points_say_so(points: list[Point], change: float) -> None:
    found = fit(points, own_tables(), end=SPACE, change=change)
    segments = [bisect_right(found.place, p.start) for p in points]
    for k, (state, since) in enumerate(zip(found.state, found.since, strict=True)):
        mine = [p for p, segment in zip(points, segments, strict=True) if segment == k]
        if state == NOTHING:
            assert since == 0
        elif state >= own_tables().unchanged:
            assert since == 1
        elif len({p.kind % 2 for p in mine}) == 2:
            expected, margin = since_of(mine, state, change)
            assert since == expected or margin < 1e-3
        else:
            assert since == 0


@given(point_lists(), point_lists())
def test_a_second_fit_of_the_same_points_finds_the_same_steps(
    points: list[Point], others: list[Point]
) -> None:
    def as_steps(found: Fit) -> list[Step]:
        heights = [after - before for before, after in pairwise(found.rate)]
        places = ([place // PAGE for place in column] for column in (found.place, found.low, found.high))
        reach = [far // PAGE for far in found.reach]
        return list(map(Step, *places, heights, reach))

    first = fit(points, own_tables(), as_steps(fit(others, own_tables(), end=SPACE)), end=SPACE)
    again = fit(points, own_tables(), as_steps(first), end=SPACE, drift=0.001)
    same = [k for k, (a, b) in enumerate(pairwise(first.rate)) if a != b]
    assert [again.place[k] for k in same] == [first.place[k] for k in same]
    assert [again.reach[k] // PAGE for k in same] == [first.reach[k] // PAGE // 2 for k in same]


WORD = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, SPACE * PAGE))


def whole(data: bytes) -> bytes:
    """Without what is no whole point."""
    return data[: len(data) // LAYOUT.size * LAYOUT.size]


BYTE = st.integers(0, 255)
RAW = st.builds(Point, WORD, st.integers(0, 5), BYTE, st.integers(0, 2**32 - 1), BYTE)


@given(
    st.one_of(st.lists(RAW, max_size=12).map(sorted).map(pack), st.binary(max_size=200).map(whole)),
    st.lists(st.tuples(WORD, WORD, WORD, WORD, st.floats()), max_size=5), ANY_TABLES, WORD, WORD,
    st.integers(0, 2**32 - 1), st.floats(0, 1),
)  # fmt: skip
def test_no_bytes_are_too_strange(
    points: bytes, before: list[tuple[int, int, int, int, float]], tables: Tables, begin: int, end: int, ticks: int,
    drift: float,
) -> None:  # fmt: skip
    """Pages beyond the address space, gaps that end before they start: not the contract, but no crash either."""
    buffers = fit_buffers(points, tables)
    buffers[6] = bytes(len(before) + 1)
    buffers[7] = buffers[8] = array("d", [0.0] * (len(before) + 1))
    for i, column in enumerate(zip(*before, strict=True)):
        buffers[9 + i] = array("d" if i == 4 else "Q", column)
    try:
        found = steps_fit(
            **named("steps_fit", buffers), unchanged=tables.unchanged, begin=begin, end=end, ticks=ticks, prior=2.0,
            drift=drift, change=0.0, rest=0.0, used=0.05, least_change=0.1, surprise=2.5, outlier_age=1,
            outlier_room=4096, settled=5,
            reach_keep=0.5, quiet=0.02, near=2, density=1.0, judge=True, judged_checks=9.0, judged_hits=3.0,
            judged_expected=8.0, judged_shares=3.0, judged_known=2.5, judged_met=1.0, judged_errors=2.0, moved=2,
            moved_share=0.5,
        )  # fmt: skip
    except ValueError:
        return
    segments = len(found.state)
    steps = segments - 1
    assert len(found.since) == len(found.rested) == segments
    assert [len(column) for column in found[3:16]] == [*[segments] * 8, segments + 1, *[steps] * 4]
    assert len(found.was) == len(found.now) <= steps - found.appeared
    assert len(found.outliers) % 4 == 0
