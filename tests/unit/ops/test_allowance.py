"""What --max-pause promises is kept: of N windows at most N / 100 + 2 are longer than allowed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from udamon.ops.allowance import WINDOWS, Allowance


def windows(number: int, too_long: Callable[[int], bool]) -> tuple[list[int], list[int]]:
    """The windows with a look, and of those the ones in which it took too long."""
    allowance = Allowance()
    looked, over = [], []
    for window in range(number):
        if allowance.rests_for(window):
            continue
        looked.append(window)
        if too_long(window):
            over.append(window)
            allowance.use(window)
    return looked, over


def test_one_look_that_was_disturbed_leaves_no_window_out() -> None:
    looked, over = windows(250, lambda window: window in {0, 120})
    assert (len(looked), over) == (250, [0, 120])


def test_after_a_second_one_it_rests_until_the_windows_of_the_first_are_over() -> None:
    looked, over = windows(300, lambda window: window in {10, 13})
    assert over == [10, 13]
    assert sorted(set(range(300)) - set(looked)) == list(range(14, 110))


def test_who_is_always_stopped_for_too_long_is_tried_once_in_a_hundred_windows() -> None:
    looked, over = windows(1000, lambda window: True)
    assert looked == over == [0, 1, *range(WINDOWS, 1000, WINDOWS)]


def test_a_window_counts_once() -> None:
    """Clearing and looking may both take too long in it."""
    allowance = Allowance()
    allowance.use(5)
    allowance.use(5)
    assert allowance.rests_for(6) == 0


@pytest.mark.parametrize("share", [0.005, 0.02, 0.3, 0.9])
def test_the_promise(share: float) -> None:
    random = Random(round(share * 1000))
    for number in (1, 99, 100, 101, 1000, 5000):
        _, over = windows(number, lambda window: random.random() < share)
        assert len(over) <= number / WINDOWS + 2
