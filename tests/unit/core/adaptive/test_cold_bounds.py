"""Bounds of the memory that was not touched for some windows, against the truth of simulated memory."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median

import pytest

from bench.cold_bounds import bounds_of, record
from tests.unit.core.adaptive.shapes_of_bounds import SHAPES
from udamon.core.attrs import Attrs


@pytest.mark.parametrize("name", SHAPES)
def test_the_truth_is_within_the_bounds_in_95_of_100_windows(name: str, tmp_path: Path) -> None:
    """Six seconds of two seeds: of ages of 2, 10 and 30 windows every seventh window that has such an age."""
    within = []
    for seed in range(2):
        path = tmp_path / str(seed)
        truth = record(SHAPES[name](Random(f"{name} {seed}")), path, seed, 6, 1000, Attrs())
        for windows in (2, 10, 30):
            within += [one.within for one in bounds_of(path, truth, windows)]
    assert sum(within) / len(within) >= 0.95


def test_most_of_what_is_cold_is_known_to_be(tmp_path: Path) -> None:
    """Of nine blocks in 256 MiB, with 1000 checks in 100 ms, for ages of 30 windows."""
    truth = record(SHAPES["blocks"](Random("blocks")), tmp_path / "a", 1, 6, 1000, Attrs())
    found = bounds_of(tmp_path / "a", truth, 30)
    assert median(one.low / one.truth for one in found) > 0.75
