"""Filters as people write them."""

from __future__ import annotations

import pytest

from udamon.report.filters import Filters

SECOND = 10**9


@pytest.mark.parametrize("text", ["5-10", "5s-10s", "5s-10", "5000ms-10"])
def test_time_without_a_unit_is_in_seconds(text: str) -> None:
    assert Filters.parse(time=text).time == (5 * SECOND, 10 * SECOND)
