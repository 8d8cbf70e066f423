"""Rates against known ones, in simulation: what bench.rates prints for 200 runs, for fewer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.rates import MS, RATES, Kind, burst, independent, needed, periodic, row, sweep

BETWEEN = [rate for rate in RATES if 0.05 <= rate <= 0.95]


@pytest.mark.parametrize("make", [periodic, independent])
@pytest.mark.parametrize("rate", BETWEEN)
def test_bands_of_pages_of_their_own(make: Callable[[float, int], Kind], rate: float) -> None:
    """As many pages × windows as an independent estimate needs: within 20 %, and the mean of runs within 3 %."""
    found = row(make(rate, 256), needed(rate, 256), 20, 1)
    assert len(BETWEEN) >= 8
    assert found.worst <= 0.2
    assert abs(found.mean - found.kind.truth) <= 0.03 * found.kind.truth
    assert found.held >= 0.93


@pytest.mark.parametrize("windows", [5, 20])
@pytest.mark.parametrize(
    "kind",
    [burst(30 * MS, 100 * MS, 16), sweep(0, 100 * MS, 32, 0.5), sweep(3 * MS, 70 * MS, 32, 0.3)],
    ids=lambda kind: kind.name,
)
def test_pages_that_are_accessed_together(kind: Kind, windows: int) -> None:
    found = row(kind, windows, 100, 2)
    assert found.held >= 0.93
    assert found.width < 0.9, "all from 0 to 1 would hold, too"


def test_looks_that_come_late() -> None:
    """First looked at after 4 intervals: the interval still holds, and the value is right where its model is."""
    found = row(independent(0.2, 256), 20, 40, 3, late=4.0)
    assert found.held == 1.0
    assert found.worst <= 0.2
    found = row(periodic(0.2, 256), 20, 40, 3, late=4.0)
    assert found.held == 1.0
