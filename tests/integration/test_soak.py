"""A monitor that runs for long neither grows nor leaks (the hour itself: python -m bench.soak)."""

from __future__ import annotations

import pytest

from bench import soak


@pytest.mark.parametrize("aggregations", [500, pytest.param(2_000, marks=pytest.mark.slow)])
def test_targets_come_and_go_without_growth(aggregations: int) -> None:
    gauge = soak.run(aggregations)
    assert gauge.descriptors[1] == gauge.descriptors[0]
    assert gauge.rss[1] - gauge.rss[0] < aggregations * 512
