"""A monitor that runs for long neither grows nor leaks (the hour itself: python -m bench.soak)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: what other tests have left in memory is reused in ways that look like growth.
SOAK = "import sys; from bench import soak; g = soak.run(int(sys.argv[1])); print(*g.descriptors, *g.rss)"


@pytest.mark.parametrize("aggregations", [500, pytest.param(2_000, marks=pytest.mark.slow)])
def test_targets_come_and_go_without_growth(aggregations: int) -> None:
    words = [sys.executable, "-c", SOAK, str(aggregations)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    descriptors_before, descriptors, rss_before, rss = map(int, done.stdout.split())
    assert descriptors == descriptors_before
    assert rss - rss_before < aggregations * 512
