"""What --max-pause promises is kept: of N windows at most N / 100, rounded up, are longer than allowed."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from random import Random

import pytest

from udamon.ops.allowance import WINDOWS, Allowance


def windows(number: int, too_long: Callable[[int], bool]) -> tuple[list[int], list[int]]:
    """The windows with a look, and of those the ones in which it took too long."""
    allowance = Allowance(0)
    looked, over = [], []
    for window in range(number):
        if allowance.backoff_windows(window):
            continue
        looked.append(window)
        if too_long(window):
            over.append(window)
            allowance.use(window)
    return looked, over


def test_one_look_that_was_disturbed_leaves_no_window_out() -> None:
    """In 100 windows, once there were 100."""
    looked, over = windows(400, lambda window: window in {100, 205, 399})
    assert (len(looked), over) == (400, [100, 205, 399])


def test_after_one_in_the_first_windows_it_rests_until_they_are_over() -> None:
    looked, over = windows(300, lambda window: window == 10)
    assert over == [10]
    assert sorted(set(range(300)) - set(looked)) == list(range(11, 100))


def test_after_a_second_one_it_rests_until_the_windows_of_the_first_are_over() -> None:
    looked, over = windows(600, lambda window: window in {210, 213})
    assert over == [210, 213]
    assert sorted(set(range(600)) - set(looked)) == list(range(214, 310))


def test_who_is_always_stopped_for_too_long_is_tried_once_in_a_hundred_windows() -> None:
    looked, over = windows(1000, lambda window: True)
    assert looked == over == list(range(0, 1000, WINDOWS))


def test_a_window_counts_once() -> None:
    """Clearing and looking may both take too long in it."""
    allowance = Allowance(7)
    for window in (107, 107):
        allowance.use(window)
    assert allowance.backoff_windows(108) == 0


@pytest.mark.parametrize("share", [0.005, 0.02, 0.3, 0.9])
def test_the_promise(share: float) -> None:
    random = Random(round(share * 1000))
    for number in (1, 99, 100, 101, 1000, 5000):
        _, over = windows(number, lambda window: random.random() < share)
        assert len(over) <= ceil(number / WINDOWS)
