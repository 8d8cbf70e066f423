"""The races of races.py, for two seconds each; ten minutes of each: `python -m bench.races --seconds 600`."""

from __future__ import annotations

import pytest

from tests.integration.races import RACES, Ground
from tests.integration.recorder import place_of_nobody


@pytest.mark.needs("second_user")
@pytest.mark.parametrize("name", RACES)
def test_another_user_wins_no_race(name: str) -> None:
    """Nothing of root's is touched, and no recording ends."""
    with place_of_nobody() as place:
        ground = Ground(place)
        RACES[name](ground, 2.0)
        assert ground.tries
