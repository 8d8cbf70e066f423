"""The safe age and what is needed, from figures worked out by hand."""

from __future__ import annotations

from udamon.agent.hours import HOUR_NS
from udamon.agent.needs import FEWEST, SAMPLES, Needs
from udamon.agent.promotions import Promotions
from udamon.core.idle_time import SECONDS
from udamon.units import MIB

TWO, FIVE, TEN = (SECONDS.index(age) for age in (120, 300, 600))
MINUTE_NS = HOUR_NS // 60


def windows(promotions: Promotions, at: int, quiet: int, busy: int) -> None:
    for share in [0.002] * quiet + [0.00201] * busy:
        promotions.add(at, share)


def test_two_in_a_hundred_windows_may_exceed_the_limit() -> None:
    found = Promotions()
    found.advance(0)
    windows(found, TWO, 98, 3)
    windows(found, FIVE, 98, 2)
    windows(found, TEN, 100, 0)
    assert found.safe() is None, "less than an hour was watched"
    found.watched_ns = HOUR_NS
    assert found.safe() == FIVE


def test_no_younger_age_than_two_minutes_and_none_without_windows() -> None:
    found = Promotions()
    found.advance(0)
    found.watched_ns = HOUR_NS
    windows(found, SECONDS.index(60), 100, 0)
    assert found.safe() is None


def test_windows_of_a_day_count_and_no_older_ones() -> None:
    found = Promotions()
    found.watched_ns = HOUR_NS
    for hour in range(24):
        found.advance(hour * HOUR_NS)
        windows(found, TWO, 1, 1 if hour == 0 else 0)
    assert found.safe() is None
    found.advance(24 * HOUR_NS)
    assert found.safe() == TWO
    found.advance(500 * HOUR_NS)
    assert found.safe() is None, "nothing is left of that"


def test_the_limit_is_for_the_largest_and_the_request_for_nine_of_ten() -> None:
    found = Needs()
    assert found.limit is None is found.request
    for minute in range(FEWEST * 10):
        found.add(minute * MINUTE_NS, (100 if minute < 10 else 200 if minute == 50 else 40) * MIB, 10 * MIB)
    assert found.limit == 242 * MIB, "200 and 10, and 15 %: 241.5"
    assert found.request == 127 * MIB, "6 of 33 samples are of the first ten minutes: 100 and 10, and 15 %"
    found.add(30 * HOUR_NS, 40 * MIB, 0)
    assert found.limit == 46 * MIB, "of a day ago nothing counts"


def test_samples_are_bounded() -> None:
    found = Needs()
    for hour in range(24 * 30):
        found.add(hour * HOUR_NS, hour, 0)
    assert len(found.saved()["samples"]) == SAMPLES
    assert min(found.saved()["samples"]) > 24 * 20, "the oldest are replaced"
