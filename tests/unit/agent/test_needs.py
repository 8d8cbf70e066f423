"""How much memory a service needs, over a day that not all was looked at."""

from __future__ import annotations

import pytest

from udamon.agent.hours import HOUR_NS, HOURS
from udamon.agent.needs import FEWEST, Needs

MIB = 1 << 20


@pytest.mark.parametrize("away_hours", [HOURS - 2, HOURS, 10 * HOURS])
def test_what_was_needed_before_nobody_looked(away_hours: int) -> None:
    """As a recording has the service, for a day: the request is of the same day as the limit, and never above it."""
    needs = Needs()
    for minute in range(0, 12 * 60, 2):
        needs.add(minute * HOUR_NS // 60, 400 * MIB, 0)
    before = needs.limit
    assert before is not None
    assert before > 400 * MIB
    assert needs.request == before
    now_ns = (12 + away_hours) * HOUR_NS
    needs.add(now_ns, 40 * MIB, 0)
    assert needs.limit is not None
    assert (needs.limit < 100 * MIB) == (away_hours >= HOURS)
    assert needs.request == needs.limit
    for minute in range(2, 30 * 60, 2):
        needs.add(now_ns + minute * HOUR_NS // 60, 40 * MIB, 0)
        assert needs.request is not None
        assert needs.request <= needs.limit
    assert needs.limit < 100 * MIB


def test_no_request_beyond_the_limit() -> None:
    """Looks may be rare: then the samples are of more than a day."""
    needs = Needs()
    for hour in range(3 * FEWEST):
        needs.add(hour * HOUR_NS, 400 * MIB if hour < 2 * FEWEST - 5 else 40 * MIB, 0)
    assert needs.limit is not None
    assert needs.request is not None
    assert needs.request <= needs.limit
