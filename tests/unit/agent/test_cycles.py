"""When looks are made, and of which ages they tell; worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from udamon.agent.cycles import NS, Cycles, looks_of, reached
from udamon.core.idle_time import SECONDS

LONG = (120, 240, 300, 360, 480, 600, 720, 840, 960)
DAY = 86_400


def test_looks_of_a_cycle() -> None:
    assert looks_of(120, fine=False) == (120,)
    assert looks_of(120, fine=True) == (1, 10, 60, 120)
    assert looks_of(600, fine=False) == LONG
    hours = looks_of(28_800, fine=False)
    assert hours[-1] == 29_160, "five minutes after 8 h, in whole windows"
    assert max(b - a for a, b in pairwise(hours)) == 120
    assert set(SECONDS) - set(hours) == {1, 10, 60}


@pytest.mark.parametrize(
    ("before_s", "now_s", "ages"),
    [
        (0, 1, [1]), (0, 0.9, []), (10, 60, [60]), (60, 120, [120]), (120, 240, []), (120, 300, [300]),
        (0, 150, [120]), (0, 151, []), (0, DAY, []), (540, 660, [600]), (600, 720, []),
    ],
)  # fmt: skip
def test_ages_that_a_look_tells_of(before_s: float, now_s: float, ages: list[int]) -> None:
    """Each once, and none where the look came so late that it would be another age's."""
    assert [SECONDS[at] for at in reached(int(now_s * NS), int(before_s * NS))] == ages


def test_short_and_long_ones_take_turns() -> None:
    cycles = Cycles()

    def following(
        now_s: int, watched_s: int, *, scarce: bool = False, longest_s: int = 28_800
    ) -> tuple[int, ...]:
        return cycles.next(now_s * NS, watched_s * NS, scarce=scarce, longest_s=longest_s)

    assert following(1000, 0) == (1, 10, 60, 120), "ages below 120 s first"
    assert following(1120, 120) == LONG
    assert following(2080, 1080) == (120,)
    half_an_hour = following(2200, 1800)
    assert half_an_hour[-1] == 2160, "half an hour, once watched for so long"
    assert half_an_hour[:4] == (120, 240, 300, 360), "those below 120 s are an hour old at its end, no more"
    cycles.learned(4360 * NS, 2160 * NS)
    assert following(4490, 3490) == (1, 10, 60, 120), "and again within an hour"
    assert following(4720, 3599) == LONG, "half an hour is known, an hour was not watched"
    assert following(5680, 4680, scarce=True)[-1] == 3960, "who saves has long ones only"
    assert following(9640, 8640, longest_s=600) == (1, 10, 60, *LONG)
    assert following(9640, 8640, scarce=True, longest_s=120) == (120,)


@pytest.mark.parametrize("scarce", [False, True])
def test_ages_below_two_minutes_are_looked_at_within_the_hour(scarce: bool) -> None:
    """Whatever the cycles; those for an hour and more last longer themselves."""
    cycles, now_s = Cycles(), 0
    looked_s = []
    while now_s < DAY:
        looks = cycles.next(now_s * NS, now_s * NS, scarce=scarce, longest_s=1800)
        if looks[0] == 1:
            assert looks[:4] == (1, 10, 60, 120)
            looked_s.append(now_s)
        now_s += looks[-1]
        cycles.learned(now_s * NS, looks[-1] * NS)
    assert looked_s[0] == 0
    assert max(b - a for a, b in pairwise(looked_s)) <= 3600
    assert len(looked_s) < 48, "and not much more often"
