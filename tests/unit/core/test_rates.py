"""Rates from looks at growing spans: the interval of a share, one window, and windows taken together."""

from __future__ import annotations

from array import array
from math import exp

import pytest

from udamon.core.rates import MISS, Look, Pool, Rate, RateSample, estimate, sample
from udamon.native._native import MOST_LOOKS, binomial_bounds, count_marks, mark_pages

DELTA = 5_000_000
TICKS = 20


def bounds(hits: float, trials: float) -> tuple[float, float]:
    both = array("d", [hits] * 2), array("d", [trials] * 2)
    low, high = binomial_bounds(hits=both[0], trials=both[1], upper=bytes([0, 1]), miss=MISS)
    return low, high


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 10, 0.0, 1 - 0.025**0.1),  # (1 − p)^10 = 0.025
        (10, 10, 0.025**0.1, 1.0),
        (0, 1, 0.0, 0.975),
        (5, 10, 0.1871, 0.8129),  # tables of Clopper and Pearson's limits
        (1, 20, 0.0013, 0.2487),
        (81, 263, 0.2527, 0.3676),
    ],
)
def test_exact_interval(hits: float, trials: float, low: float, high: float) -> None:
    assert bounds(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_interval_of_nonsense() -> None:
    for hits, trials in ((2.0, 1.0), (-1.0, 1.0), (0.0, 0.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="make no sense"):
            bounds(hits, trials)


def test_a_look_after_one_interval_is_the_share_seen() -> None:
    """10 of 40 pages after δ, 20 after 2δ. Before the second clear, 4 intervals after the first, 30 were accessed."""
    looks = [Look(DELTA, DELTA, DELTA, 10), Look(2 * DELTA, 2 * DELTA, 2 * DELTA, 20)]
    found = sample(40, 36, (4 * DELTA, 30), looks, DELTA, TICKS)
    assert (found.pages, found.touched) == (40, 0.9)
    assert found.share == found.low == found.high == 0.25
    assert found.wide == ((2.0, 0.5),)
    # Surely idle: the 6 touched pages that nobody accessed before the second clear 3 of its 4 intervals, and those 16
    # that only came after the last look 1 of its 2. Of 36 pages × 20 intervals that leaves 720 - 18 - 16.
    assert found.known_high == pytest.approx((720 - 18 - 16) / (40 * 20))


def test_a_late_look_gives_bounds_and_names_its_model() -> None:
    """After 4 intervals half of the pages: the rate is between an eighth and a half; of random accesses 1 − ½^¼."""
    found = sample(40, 40, (DELTA, 0), [Look(4 * DELTA, 4 * DELTA, 4 * DELTA, 20)], DELTA, TICKS)
    assert (found.low, found.high) == (0.125, 0.5)
    assert found.share == pytest.approx(1 - 0.5**0.25)
    unsure = sample(40, 40, (DELTA, 0), [Look(2 * DELTA, 3 * DELTA, 4 * DELTA, 20)], DELTA, TICKS)
    assert (unsure.low, unsure.high) == (0.125, 0.5)
    early = sample(40, 40, (DELTA, 0), [Look(DELTA // 2, DELTA // 2, DELTA // 2, 10)], DELTA, TICKS)
    assert (early.low, early.high) == (0.25, 0.5)


def plain(share: float, touched: float = 1.0, pages: int = 1000) -> RateSample:
    return RateSample(pages, touched, share, share, share, 1.0, ())


def pooled(*windows: RateSample) -> tuple[Pool, Rate]:
    pool, found = Pool(), [Rate(0.0, 0.0, 0.0)]
    for window in windows:
        pool.add(window)
        found = estimate([(pool, window.pages)], TICKS)
    return pool, found[0]


def test_one_window_is_one_answer() -> None:
    """However many pages: they may all have been accessed together. 0.975 is (0, 1]'s end for none of one."""
    _, found = pooled(plain(0.0))
    assert found == pytest.approx((0.0, 0.0, 0.975))
    _, found = pooled(plain(1.0))
    assert found == pytest.approx((1.0, 0.025, 1.0))
    _, found = pooled(plain(0.0, 0.0))
    assert found == Rate(0.0, 0.0, 0.0), "not accessed in all of the window is known, not estimated"


def test_all_or_nothing_is_as_many_answers_as_windows() -> None:
    """Bursts: 3 of 10 windows. Exactly as if there were ten pages and one window each."""
    windows = [plain(1.0) if at in {1, 4, 7} else plain(0.0) for at in range(10)]
    _, found = pooled(*windows)
    low, high = bounds(3, 10)
    assert found.rate == pytest.approx(0.3)
    assert found.low == pytest.approx(low, abs=1e-3)
    assert found.high == pytest.approx(high, abs=1e-3)


def test_windows_that_agree_are_worth_more() -> None:
    """The mean is theirs; the interval becomes narrow with their number, and pooling stops when it is."""
    _, few = pooled(*[plain(0.3)] * 5)
    pool, many = pooled(*[plain(0.3)] * 40)
    assert few.rate == many.rate == pytest.approx(0.3)
    assert many.high - many.low < 0.12 < 0.3 < few.high - few.low
    assert pool.enough
    assert pool.windows < 40


def test_all_of_the_window_is_a_lower_bound() -> None:
    """Rare memory: none of the pages after δ, all within 20δ, so the rate is a twentieth or more."""
    _, found = pooled(*[plain(0.0)] * 20)
    assert found.low == 0.0, "never above the rate"
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-3)
    _, found = pooled(*[plain(0.05)] * 20)
    assert found.low == pytest.approx(0.025 ** (1 / 20) / 20, abs=1e-4)


def test_a_change_is_not_averaged_in() -> None:
    pool, found = pooled(*[plain(0.9)] * 12, plain(0.0, 0.0))
    assert found == Rate(0.0, 0.0, 0.0)
    assert pool.windows == 1
    for _ in range(5):
        pool.add(plain(0.9))
    assert pool.rate > 0.8, "it came back: the pause was part of what the memory does"
    pool, _ = pooled(*[plain(0.9)] * 12, *[plain(0.0, 0.0)] * 5)
    pool.add(plain(0.9))
    assert pool.windows == 1, "after some windows the old ones are forgotten"


def test_a_burst_among_idle_windows_is_part_of_them() -> None:
    pool, found = pooled(*[plain(0.0, 0.0)] * 9, plain(1.0))
    assert found.rate == 1.0, "it may be a change"
    pool.add(plain(0.0, 0.0))
    assert pool.windows == 11
    assert pool.rate == pytest.approx(1 / 11)


def test_regions_inherit_what_their_parts_had() -> None:
    hot, _ = pooled(*[plain(1.0)] * 4)
    cold, _ = pooled(*[plain(0.0, 0.0)] * 4)
    both = Pool.mixed([(0.25, hot), (0.75, cold)])
    assert (both.windows, both.rate) == (4.0, 0.25)
    half = Pool.mixed([(0.5, hot)])
    assert (half.windows, half.rate) == (2.0, 1.0)
    assert Pool.mixed([]).windows == 0
    copy = Pool.mixed([(1.0, hot)])
    copy.add(plain(1.0))
    assert (copy.windows, hot.windows) == (5.0, 4.0)


def test_marks() -> None:
    """By which look a page was first seen, of pages that are there at the end."""
    kinds = bytes([0] + [1] * 255)
    marks = bytearray(8)
    seen, accessed = 1, 3

    def look(states: list[int], number: int, *, last: bool = False) -> list[int]:
        shown = bytearray(states)
        mark_pages(states=shown, marks=marks, at=2, kinds=kinds, look=number, last=last)
        return list(shown)

    look([accessed, seen, seen, seen, 0], 0)
    look([seen, accessed, seen, seen, accessed], 1)
    look([accessed, accessed, seen, seen, accessed], 2)
    at_last = look([accessed, accessed, accessed, seen, 0], 3, last=True)
    assert at_last == [3, 3, 3, 1, 0]
    found = count_marks(marks=marks, start=2, end=7)
    assert (found.there, found.touched, found.earlier) == (4, 3, 1)
    assert list(found.first) == [1, 1, 1, *[0] * 12]
    assert len(found.first) == MOST_LOOKS
    assert look([seen, seen, seen, seen, 0], 3, last=True)[:3] == [3, 3, 3], "what was seen stays seen"
    for at, number in ((4, 1), (1 << 63, 1), (2, MOST_LOOKS + 1)):
        with pytest.raises(ValueError, match="cannot be marked"):
            mark_pages(states=bytearray(5), marks=marks, at=at, kinds=kinds, look=number, last=False)
    for start, end in ((3, 9), (3, 2)):
        with pytest.raises(ValueError, match="no such marks"):
            count_marks(marks=marks, start=start, end=end)


def test_the_model_is_right_for_random_accesses() -> None:
    """1 − exp(−λ4δ) of the pages after 4δ: the rate is 1 − exp(−λδ)."""
    seen = round(100_000 * (1 - exp(-0.8)))
    found = sample(100_000, 100_000, (DELTA, 0), [Look(4 * DELTA, 4 * DELTA, 4 * DELTA, seen)], DELTA, TICKS)
    assert found.share == pytest.approx(1 - exp(-0.2), abs=1e-4)
