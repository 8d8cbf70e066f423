"""A monitor that runs for long neither grows nor leaks (the hour itself: python -m bench.soak)."""

from __future__ import annotations

from bench import soak


def test_targets_come_and_go_for_two_thousand_aggregations_without_growth() -> None:
    gauge = soak.run(2_000)
    assert gauge.descriptors[1] == gauge.descriptors[0]
    assert gauge.rss[1] - gauge.rss[0] < 1 << 20
