"""Where segments are asked again, held against the same in Python, as it was before it was in C."""

from __future__ import annotations

from array import array
from itertools import accumulate
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.points import PAGE
from udamon.native._native import Refresh, segments_doubtful, segments_refresh

HOT, LEAST, ERRORS = 0.5, 0.1, 3.0
ALIVE, ENOUGH = 0.02, 8.0


class Segment(NamedTuple):
    pages: int
    rate: float
    seen: float


SEGMENTS = st.lists(
    st.builds(
        Segment,
        st.integers(0, 1 << 20),
        st.sampled_from([0.0, ALIVE, 0.03, LEAST, 0.2, 0.45, HOT, 0.7, 1.0]) | st.floats(0, 1),
        st.sampled_from([0.0, 1.0, 7.9, ENOUGH, 20.0, 300.0]) | st.floats(0, 1000),
    ),
    min_size=1,
    max_size=40,
)
CHECKS = st.integers(0, 200)


def columns(segments: list[Segment]) -> dict[str, array[int] | array[float]]:
    return {
        "bounds": array("Q", accumulate((s.pages * PAGE for s in segments), initial=PAGE)),
        "rate": array("d", [s.rate for s in segments]),
        "seen": array("d", [s.seen for s in segments]),
    }


def doubtful(segments: list[Segment], room: int, most: int) -> list[tuple[int, int, int]]:
    found = segments_doubtful(**columns(segments), hot=HOT, least=LEAST, errors=ERRORS, room=room, most=most)
    return list(zip(*found, strict=True))


def refresh(segments: list[Segment], checks: int, room: int, turn: int) -> Refresh:
    return segments_refresh(
        **columns(segments), least=ALIVE, enough=ENOUGH, checks=checks, room=room, turn=turn
    )


def test_a_segment_near_one_half_is_asked_and_others_are_not() -> None:
    """Off by 0.1, 3 standard errors of 0.5 / √seen each: within them up to 225 checks."""
    sure, unsure, cold = Segment(10, 0.4, 226), Segment(30, 0.4, 224), Segment(10, 0.1, 1)
    assert doubtful([sure, unsure, cold], 50, 64) == [(11 * PAGE, 41 * PAGE, 50)]
    assert doubtful([sure, unsure, cold], 50, 20) == [(11 * PAGE, 41 * PAGE, 20)]


@given(SEGMENTS, CHECKS, st.integers(1, 64))
def test_each_has_its_part_of_the_room(segments: list[Segment], room: int, most: int) -> None:
    bounds = columns(segments)["bounds"]
    found = [
        k
        for k, s in enumerate(segments)
        if s.rate > LEAST and 4 * (s.rate - HOT) ** 2 * s.seen < ERRORS**2 and s.pages
    ]
    total = sum(segments[k].pages for k in found)
    checks = {k: min(room * segments[k].pages // total, most) for k in found}
    assert doubtful(segments, room, most) == [(bounds[k], bounds[k + 1], n) for k, n in checks.items() if n]


def test_bounds_that_descend_are_refused() -> None:
    one = array("d", [0.5])
    with pytest.raises(ValueError, match="make no sense"):
        segments_doubtful(
            bounds=array("Q", [5, 4]), rate=one, seen=one, hot=HOT, least=LEAST, errors=ERRORS, room=9, most=9
        )


@example([Segment(1, 0.5, 9.0)] * 5, 1, 2, 1)  # two of five: the second and the fifth
@given(SEGMENTS, st.integers(1, 3), CHECKS, st.integers(0, 1 << 40))
def test_what_is_accessed_is_asked_again(segments: list[Segment], checks: int, room: int, turn: int) -> None:
    bounds = columns(segments)["bounds"]
    alive = [k for k, s in enumerate(segments) if s.rate > ALIVE]
    alive.sort(key=lambda k: segments[k].seen < ENOUGH)  # those that are known first
    if room == 0:
        alive = []
    if checks * len(alive) > room:
        checks, stride = 1, -(-len(alive) // room)
        alive = alive[turn % stride :: stride]
    found = refresh(segments, checks, room, turn)
    assert list(found.start) == [bounds[k] for k in alive]
    assert list(found.end) == [bounds[k + 1] for k in alive]
    known = [segments[k].rate for k in alive if segments[k].seen >= ENOUGH]
    hits = variance = 0.0
    for rate in known:
        hits += rate
        variance += rate * (1 - rate)
    assert (found.known, found.hits, found.variance) == (len(known), checks * hits, checks * variance)
    if alive:
        assert found.each == checks
