"""Times of pages: bounds of what is idle, against what is known of each page."""

from __future__ import annotations

import random

from udamon.agent.epochs import Epochs
from udamon.native._native import AGE_TIMES

NS = 1_000_000_000
WINDOW = 120 * NS


def run(periods: list[int], windows: int) -> tuple[Epochs, list[int], list[int], int]:
    """Pages that are accessed in every n-th window, 0 never: their numbers, and when each was accessed last."""
    epochs, numbers, last = Epochs(), [0] * len(periods), [0] * len(periods)
    for window in range(windows + 1):
        now = window * WINDOW
        remap = epochs.open(now - WINDOW, now)
        for page, period in enumerate(periods):
            numbers[page] = remap[numbers[page]]
            if window == 0 or (period and window % period == 0):
                numbers[page], last[page] = epochs.newest, now
        epochs.counted([[numbers.count(number) for number in range(AGE_TIMES)]])
    return epochs, numbers, last, windows * WINDOW


def test_hot_and_cold_memory_is_exact() -> None:
    """Few times are in use, however long it goes on."""
    epochs, _, last, now = run([1] * 30 + [0] * 70 + [3] * 10, 300)
    assert len(epochs.epochs) <= 4
    for age_s in (120, 300, 600, 28800):
        truth = sum(now - at >= age_s * NS for at in last)
        assert epochs.idle(epochs.pages, now, age_s * NS, 0)[0] == truth


def test_the_truth_lies_between_bounds() -> None:
    """Of pages with many periods, when times must be joined; what is told of an old one is a share of its age off."""
    chance = random.Random(3)
    periods = [chance.choice((0, *range(1, 200))) for _ in range(400)]
    epochs, _, last, now = run(periods, 260)
    assert len(epochs.epochs) == AGE_TIMES
    for age_s in (120, 300, 600, 1800, 3600, 7200, 14400, 28800):
        # Accessed in the window that ended at `at`: at some time of it.
        low, high = epochs.idle(epochs.pages, now, age_s * NS, 0)
        assert low <= sum(now - at >= age_s * NS for at in last)
        assert high >= sum(now - at + WINDOW > age_s * NS for at in last)
    for older in epochs.epochs[1:]:
        assert now - older.oldest_ns <= 2.0 * max(WINDOW, now - older.newest_ns)


def test_what_a_tlb_hid_may_be_newer() -> None:
    epochs = Epochs()
    epochs.open(0, 0)
    epochs.cleared(5 * NS)
    assert epochs.idle([7] + [0] * 14, 124 * NS, 120 * NS, 0) == (0, 7)
    assert epochs.idle([7] + [0] * 14, 125 * NS, 120 * NS, 0) == (7, 7)
