"""Bounds of what samples left alone contain the truth of simulated memory, and leave limits to be decided."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cold_bounds import bounds_of, record, untouched
from bench.working_set_bounds import DRAWS
from tests.unit.report.test_checks import run
from udamon.core.attrs import Attrs
from udamon.workload.pieces import Expected


def test_the_truth_is_what_no_window_touched() -> None:
    """Of 8 bytes, in two windows: two are touched for sure, two with a chance of a half in each."""
    windows = [
        [Expected(0, 2, 0, 1), Expected(2, 6, 0, 0.5), Expected(6, 8, 0, 0)],
        [Expected(0, 4, 0, 0), Expected(4, 6, 0, 0.5), Expected(6, 8, 0, 1)],
    ]
    assert untouched(windows) == 2 * 0.5 + 2 * 0.25
    assert untouched(windows[1:]) == 4 + 2 * 0.5


@pytest.mark.parametrize("shape", ["pulses", "crossing", "growing", "hops", "salt"])
def test_the_truth_is_within(shape: str, tmp_path: Path) -> None:
    """As often as is said, at least: memory that stays, moves, comes and goes. A limit below all that can be cold is
    broken, one above holds, and one between the bounds is not decided."""
    for seed in (30, 31):
        path = tmp_path / str(seed)
        truth = record(DRAWS[shape](shape, seed), path, seed, 6, 1000, Attrs())
        for windows in (2, 5, 20):
            found = bounds_of(path, truth, windows)
            assert sum(one.within for one in found) >= 0.95 * len(found)
            assert all(0 <= one.low <= one.high <= 1 for one in found)
        least = min(one.truth for one in bounds_of(path, truth, 2, 1)[5:])
        for share, status in ((f"{least / 2:.0%}", 1), ("99.9%", 0), (f"{least - 0.001:.2%}", 3)):
            assert run(path, "--cold-age", "200ms", "--time", "1s-max", "--max-cold-share", share) == status
