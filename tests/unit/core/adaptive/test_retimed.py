"""What a change of the sampling interval alone may do to rates."""

from __future__ import annotations

from random import Random

import pytest

from udamon.core.adaptive.retimed import RetimedRates, factors_of

LEAST = 0.21


@pytest.mark.parametrize(
    ("old", "new", "factors"),
    [(5, 10, (1, 2)), (10, 25, (1, 3)), (25, 10, (1 / 3, 1)), (10, 5, (0.5, 1)), (5, 5, (1, 1))],
)
def test_factors(old: int, new: int, factors: tuple[float, float]) -> None:
    assert factors_of(old, new) == factors


@pytest.mark.parametrize("accesses", [[0], [0, 1, 2], [0, 7, 14, 21], list(range(0, 60, 2)), list(range(60))])
@pytest.mark.parametrize(("old", "new"), [(1, 2), (2, 5), (5, 2), (3, 1), (4, 3)])
def test_no_pattern_of_accesses_leaves_the_bounds(accesses: list[int], old: int, new: int) -> None:
    """The share of intervals, wherever they begin, that have an access; of a pattern that repeats after 60."""

    def rate(length: int) -> float:
        hit = [any((begin + tick) % 60 in accesses for tick in range(length)) for begin in range(60)]
        return sum(hit) / 60

    least, most = factors_of(old, new)
    assert least * rate(old) <= rate(new) + 1e-12
    assert rate(new) <= min(most * rate(old), 1) + 1e-12


def test_a_mean_over_segments_and_what_changed_since() -> None:
    known = RetimedRates([0, 100, 300, 400], [0.0, 0.9, 0.1], (1.0, 2.0))
    assert known.explains(100, 300, 0.9, LEAST)
    assert known.explains(100, 300, 1.0, LEAST)
    assert not known.explains(100, 300, 0.0, LEAST)
    assert not known.explains(0, 100, 0.5, LEAST)
    assert known.explains(50, 150, 0.45, LEAST), "half of it has 0, the other 0.9 to 1"
    assert not known.explains(500, 600, 0.0, LEAST), "of other memory nothing is known"
    known.change(100, 300, 0.0)
    assert known.explains(100, 300, 0.0, LEAST)
    assert not known.explains(100, 300, 0.9, LEAST)
    assert known.explains(300, 400, 0.2, LEAST)


def test_changes_are_those_of_each_byte() -> None:
    """Against a list of bytes."""
    random = Random(5)
    bytes_ = [0.0] * 10 + [0.5] * 20 + [1.0] * 10
    known = RetimedRates([0, 10, 30, 40], [0.0, 0.5, 1.0], (1.0, 1.0))
    for _ in range(300):
        start, end = sorted(random.sample(range(-3, 44), 2))
        rate = random.choice([0.0, 0.5, 1.0])
        known.change(start, end, rate)
        bytes_[max(start, 0) : max(min(end, 40), 0)] = [rate] * max(min(end, 40) - max(start, 0), 0)
        assert known.starts == sorted(set(known.starts))
        assert all(
            known.explains(at, at + 1, r, 1e-9) for at, r in enumerate(bytes_)
        ), (start, end, rate)  # fmt: skip
