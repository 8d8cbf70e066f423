"""For how long bytes were idle: figures worked out by hand, and bounds that hold the truth of made-up pages."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from udamon.core.idle_time import SECONDS, Cold, IdleTimes, Seen, total

S = 1_000_000_000


def seen(start: int, end: int, *accessed: float) -> Seen:
    """A region with all of its bytes there; `accessed`: least and most, or both as one, or nothing."""
    least, most = (accessed * 2)[:2] if accessed else (0.0, 0.0)
    return Seen(start, end, end - start, least, most)


def watched(*windows: Sequence[Seen], step: int = S) -> IdleTimes:
    """Windows one after the other, `step` ns each."""
    times = IdleTimes()
    for number, regions in enumerate(windows):
        times.window(number * step, (number + 1) * step, regions)
    return times


def at(values: Sequence[float | None], seconds: int) -> float | None:
    return values[SECONDS.index(seconds)]


def test_idle_since_the_last_access() -> None:
    """30 windows of 1 s: the first 100 bytes accessed in each, the next in the first 20, the last never."""
    windows = [[seen(0, 100, 100), seen(100, 200, 100 * (n < 20)), seen(200, 500)] for n in range(30)]
    found = watched(*windows).told()
    assert found.size == 500
    assert at(found.cold_low, 1) == 400
    assert at(found.cold_low, 10) == 400, "idle for exactly 10 s"
    assert at(found.cold_low, 60) is None, "nobody watched for so long"
    assert found.cold_low == found.cold_high
    assert found.promoted_low[:2] == [0, 0]
    windows.pop()
    assert at(watched(*windows).told().cold_low, 10) == 300, "for 9 s"


def test_never_accessed_is_idle_since_it_was_seen_first() -> None:
    """Memory that came in the window from 15 s on is not idle for longer than since then."""
    windows = [[seen(0, 100)] + ([seen(100, 300)] if n >= 15 else []) for n in range(20)]
    found = watched(*windows).told()
    assert (at(found.cold_low, 1), at(found.cold_low, 10)) == (300, 100)


def test_accessed_again_counts_each_time() -> None:
    """Accessed in the windows 0, 5, 25 and 26: idle for 4 s, 19 s and not at all in between."""
    windows = [[seen(0, 100, 100 * (n in {0, 5, 25, 26}))] for n in range(70)]
    found = watched(*windows).told()
    assert (at(found.promoted_low, 1), at(found.promoted_low, 10), at(found.promoted_low, 60)) == (
        200,
        100,
        0,
    )
    assert at(found.cold_low, 10) == 100
    assert at(found.cold_low, 60) == 0
    assert at(found.cold_low, 120) is None


def test_borders_that_move() -> None:
    """One region becomes two and then one again: each byte keeps its own time, by address."""
    windows = [[seen(0, 100, 100)]] * 2
    windows += [[seen(0, 30, 30), seen(30, 100)]] * 11
    windows += [[seen(0, 100)]]
    times = watched(*windows)
    found = times.told()
    assert not times.parts
    # 70 bytes since 2 s, 30 since 13 s; it is 14 s now.
    assert (at(found.cold_low, 1), at(found.cold_low, 10)) == (100, 70)


def test_a_region_accessed_in_part_has_bounds() -> None:
    """40 of 100 bytes in each of 12 windows: the same ones, or (as far as 40 a window go) others each time."""
    times = watched([seen(0, 100, 100)], *[[seen(0, 100, 40)]] * 12)
    found = times.told()
    assert times.parts
    assert at(found.cold_low, 1) == at(found.cold_high, 1) == 60, "all but those of the last window"
    assert (at(found.cold_low, 10), at(found.cold_high, 10)) == (0, 60)
    assert (at(found.promoted_low, 1), at(found.promoted_low, 10)) == (0, 0)
    # From the second of these windows on 60 bytes were idle for 1 s or longer; for 10 s in the last two.
    assert (at(found.promoted_high, 1), at(found.promoted_high, 10)) == (11 * 40, 2 * 40)


def test_what_only_may_have_been_accessed() -> None:
    """By refs of a file: 100 bytes were marked by somebody, of which the process itself accessed 10 for sure."""
    found = watched([seen(0, 100, 100)], *[[seen(0, 100, 10, 100)]] * 12).told()
    assert (at(found.cold_low, 1), at(found.cold_high, 10)) == (0, 90)


def test_a_time_that_nobody_looked() -> None:
    """5 s between two windows: what is known to be idle is so since then; it may have been all along."""
    times = IdleTimes()
    for n in (*range(20), *range(25, 30)):
        times.window(n * S, (n + 1) * S, [seen(0, 100)])
    found = times.told()
    assert times.gaps
    assert (at(found.cold_low, 1), at(found.cold_low, 10), at(found.cold_high, 10)) == (100, 0, 100)


def test_resident_bytes_that_come_and_go() -> None:
    """Of 100 bytes of addresses 60 are there, then 80, then 50."""
    sizes = [60] * 12 + [80] * 2 + [50]
    times = watched(*[[Seen(0, 100, size, 0, 0)] for size in sizes])
    found = times.told()
    assert found.size == 50
    assert at(found.cold_low, 10) == 30, "if those that were there from the start went first"
    assert at(found.cold_high, 10) == 50
    assert at(watched([Seen(0, 100, 60, 0, 0)], [Seen(0, 100, 50, 0, 0)]).told().cold_low, 1) == 50


def test_several_together() -> None:
    """An idle time that one of them was not watched for is that of the others."""
    long, short = watched(*[[seen(0, 100)]] * 15), watched(*[[seen(0, 50)]] * 5)
    both = total([long.told(), short.told()])
    assert both.size == 150
    assert (at(both.cold_low, 1), at(both.cold_low, 10), at(both.cold_low, 60)) == (150, 100, None)
    assert total([]) == Cold(0, [], [], [], [])


@pytest.mark.parametrize("seed", range(30))
def test_bounds_hold_the_truth(seed: int) -> None:
    """64 pages accessed at random times, seen through regions whose borders are drawn anew now and then."""
    random, times = Random(seed), IdleTimes()
    last = [0] * 64
    chance = [random.choice((0.0, 0.02, 0.2, 0.9)) for _ in range(64)]
    promoted = dict.fromkeys(SECONDS, 0)
    borders = [0, 64]
    for number in range(80):
        if random.random() < 0.3:
            borders = [0, *sorted(random.sample(range(1, 64), random.randrange(8))), 64]
        accessed = {page for page in range(64) if random.random() < chance[page]}
        for page in accessed:
            for seconds in SECONDS:
                promoted[seconds] += number - last[page] >= seconds
            last[page] = number + 1
        regions = []
        for start, end in pairwise(borders):
            count = sum(start <= page < end for page in accessed)
            regions.append(seen(start, end, count))
        times.window(number * S, (number + 1) * S, regions)
    found = times.told()
    for seconds in (1, 10, 60):
        truth = sum(80 - since >= seconds for since in last)
        low, high = at(found.cold_low, seconds), at(found.cold_high, seconds)
        assert low is not None
        assert high is not None
        assert low - 1e-6 <= truth <= high + 1e-6
        low, high = at(found.promoted_low, seconds), at(found.promoted_high, seconds)
        assert low is not None
        assert high is not None
        assert low - 1e-6 <= promoted[seconds] <= high + 1e-6


def test_many_parts_become_few() -> None:
    """Another part in each of 1000 windows: still bounds, and not a part for each window."""
    times = watched(*[[seen(0, 10_000, 1 + n % 7)] for n in range(1000)])
    assert all(len(piece.least) <= 65 and len(piece.most) <= 65 for piece in times._pieces)
    found = times.told()
    low, high = at(found.cold_low, 600), at(found.cold_high, 600)
    assert low is not None
    assert high is not None
    assert low <= 10_000 - 600 * 4
    assert high == 10_000 - 7
