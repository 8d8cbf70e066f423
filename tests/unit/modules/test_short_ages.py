"""What is said where a least age is shorter than a window."""

from __future__ import annotations

import pytest

from tests.unit.snapshots import snap
from udamon.core.scheme import Action, Scheme
from udamon.model import Snapshot
from udamon.modules.short_ages import ShortAges
from udamon.schemes.config.pattern import Quantity, QuantityBounds, QuantityUnit, WantedScheme

SECOND_US = 1_000_000


def of_window(us: int) -> Snapshot:
    return snap(0, [], ticks=10, sample=us * 100)


def least(age: Quantity) -> WantedScheme:
    return WantedScheme(Scheme(action=Action.PAGEOUT), age=QuantityBounds(min=age))


@pytest.mark.parametrize(
    ("age", "window_us", "told"),
    [
        (Quantity(SECOND_US, QuantityUnit.US), 2 * SECOND_US, True),
        (Quantity(SECOND_US, QuantityUnit.US), SECOND_US, False),
        (Quantity(2 * SECOND_US, QuantityUnit.US), SECOND_US, False),
        (Quantity(0, QuantityUnit.US), SECOND_US, False),
        (Quantity(1), SECOND_US, False),
    ],
    ids=["shorter", "one window", "longer", "no least age", "aggregations"],
)
def test_a_note_says_so(age: Quantity, window_us: int, *, told: bool) -> None:
    notes: list[str] = []
    watch = ShortAges([least(age)], lambda name, data: notes.append(f"{name}: {data['text']}"))
    for _ in range(3):
        watch.snapshot(of_window(window_us))
    assert len(notes) == told
    if told:
        assert notes[0].startswith("note: scheme 0 asks for an age of 1 s, and a window takes 2 s: ")


def test_schemes_that_were_read_again_are_judged_anew() -> None:
    notes: list[object] = []
    watch = ShortAges([least(Quantity(5 * SECOND_US, QuantityUnit.US))], lambda _, data: notes.append(data))
    watch.snapshot(of_window(2 * SECOND_US))
    assert not notes
    watch.wanted = [least(Quantity(SECOND_US, QuantityUnit.US))]
    watch.snapshot(of_window(2 * SECOND_US))
    watch.snapshot(of_window(3 * SECOND_US))
    assert len(notes) == 1
