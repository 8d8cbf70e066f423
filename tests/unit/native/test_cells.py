"""The cells of a heatmap from record batches, against adding up what every region has in every cell."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from arro3.core import Array, DataType, RecordBatch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.native_calls import named
from udamon.model import Snapshot
from udamon.native._native import add_cells
from udamon.record.buffer import PendingRows

AMOUNTS, WIDTH, BEGIN = 3, 12, 100
FIRST, LAST = -(1 << 63), (1 << 63) - 1
TOP = 60


class Place(NamedTuple):
    target: int
    low: int
    high: int
    line: int


def snapshot(
    begin: int, end: int, regions: Sequence[tuple[int, int, int, int]], ticks: int = 20, target: int = 0
) -> Snapshot:
    """Regions are (start, end, nr_accesses, age)."""
    starts, ends, counts, ages = ([region[at] for region in regions] for at in range(4))
    return Snapshot(
        target=target, pid=None, seq=0, begin_ns=begin, end_ns=end, sample_ns=5, ticks=ticks,
        starts=array("Q", starts), ends=array("Q", ends), nr_accesses=array("I", counts), ages=array("I", ages),
        touched=array("Q", [0] * len(regions)),
    )  # fmt: skip


def batches(snapshots: Sequence[Snapshot]) -> list[RecordBatch]:
    rows = PendingRows()
    rows.add_event(BEGIN, 0, "note", "{}")
    for one in snapshots:
        rows.add_snapshot(one)
    return rows.batches()


def buffers(places: Sequence[Place]) -> list[array[int]]:
    return [array(code, [place[at] for place in places]) for at, code in enumerate("iQQi")]


def add(
    batch: Any, places: Sequence[array[int]], cells: array[float], columns: int, amounts: int, width: float = 1.0,
    first: int = FIRST, last: int = LAST,
) -> None:  # fmt: skip
    """add_cells; `batch` is one, or its two capsules."""
    schema, capsule = batch if isinstance(batch, tuple) else batch.__arrow_c_array__()
    add_cells(
        schema=schema, batch=capsule, **named("add_cells", [*places, cells]), columns=columns, amounts=amounts,
        shares=0, begin_ns=BEGIN, width_ns=width, first_ns=first, last_ns=last,
    )  # fmt: skip


def cells_of(
    snapshots: Sequence[Snapshot], places: Sequence[Place], columns: int, lines: int, *,
    amounts: int = AMOUNTS, first: int = FIRST, last: int = LAST,
) -> list[float]:  # fmt: skip
    cells = array("d", bytes(8 * lines * columns * amounts))
    for batch in batches(snapshots):
        add(batch, buffers(places), cells, columns, amounts, float(WIDTH), first, last)
    return cells.tolist()


def shared(start: int, end: int, other_start: int, other_end: int) -> int:
    return max(0, min(end, other_end) - max(start, other_start))


def one_by_one(
    snapshots: Sequence[Snapshot], places: Sequence[Place], columns: int, lines: int
) -> list[Fraction]:
    cells = [Fraction(0)] * (lines * columns * AMOUNTS)
    for one in snapshots:
        for start, end, nr, age in zip(one.starts, one.ends, one.nr_accesses, one.ages, strict=True):
            for target, low, high, line in places:
                for column in range(columns if target == one.target and one.ticks else 0):
                    begin = BEGIN + column * WIDTH
                    amount = shared(start, end, low, high) * shared(
                        one.begin_ns, one.end_ns, begin, begin + WIDTH
                    )
                    at = (line * columns + column) * AMOUNTS
                    cells[at] += amount
                    cells[at + 1] += amount * Fraction(nr, one.ticks)
                    cells[at + 2] += amount * age * one.ticks * one.sample_ns
    return cells


@st.composite
def stretches(draw: st.DrawFn, most: int) -> list[tuple[int, int]]:
    """Disjoint and sorted, some of them touching."""
    bounds = sorted(draw(st.lists(st.integers(0, TOP), max_size=most, unique=True)))
    return [pair for pair in pairwise(bounds) if draw(st.booleans())]


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    begin = draw(st.integers(BEGIN - 30, BEGIN + 60))
    regions = [(*pair, draw(st.integers(0, 20)), draw(st.integers(0, 9))) for pair in draw(stretches(8))]
    if draw(st.booleans()):
        regions = draw(st.permutations(regions))
    length, ticks = draw(st.integers(0, 40)), draw(st.integers(0, 20))
    return snapshot(begin, begin + length, regions, ticks, draw(st.integers(0, 2)))


@st.composite
def axes(draw: st.DrawFn, lines: int) -> list[Place]:
    """Several places may share a line, and a target may have none."""
    return [
        Place(target, *pair, draw(st.integers(0, lines - 1)))
        for target in (0, 2)
        for pair in draw(stretches(7))
    ]


@given(st.lists(snapshots(), max_size=5), axes(3), st.integers(1, 5))
def test_it_is_what_adding_up_finds(shots: list[Snapshot], places: list[Place], columns: int) -> None:
    expected = one_by_one(shots, places, columns, 3)
    assert cells_of(shots, places, columns, 3) == pytest.approx([float(cell) for cell in expected], rel=1e-12)


def test_by_hand() -> None:
    """A window over one and a half columns, a region over half of one place and all of the next."""
    shots = [snapshot(BEGIN, BEGIN + 18, [(5, 20, 10, 2)])]
    places = [Place(0, 0, 10, 0), Place(0, 10, 20, 1)]
    assert cells_of(shots, places, 2, 2, amounts=2) == [60, 30, 30, 15, 120, 60, 60, 30]
    assert cells_of(shots, places, 2, 2, amounts=1) == [60, 30, 120, 60]
    # ages are 2 aggregations of 20 ticks of 5 ns
    assert cells_of(shots, places, 1, 2)[2::AMOUNTS] == [60 * 200, 120 * 200]


def test_windows_that_are_not_wanted() -> None:
    """Those that end before the first moment or after the last one."""
    shots = [snapshot(BEGIN + at, BEGIN + at + 4, [(0, 1, 20, 0)]) for at in (0, 4, 8)]
    places = [Place(0, 0, 1, 0)]
    assert cells_of(shots, places, 1, 1, amounts=1, first=BEGIN + 5, last=BEGIN + 9) == [4]
    assert cells_of(shots, places, 1, 1, amounts=1, first=BEGIN + 4, last=BEGIN + 12) == [12]


def test_the_ends_of_all_addresses() -> None:
    top = 2**64 - 1
    shots = [snapshot(BEGIN, BEGIN + 1, [(0, 1, 20, 0), (top - 4096, top, 20, 0)])]
    assert cells_of(shots, [Place(0, 0, top, 0)], 1, 1, amounts=1) == [4097]


def test_a_part_of_a_batch() -> None:
    """Sliced columns begin somewhere inside of their memory, and so do the bits that say what is null."""
    rows = [(at, at + 1, 20, 0) for at in range(20)]
    whole = batches([snapshot(BEGIN, BEGIN + 1, []), snapshot(BEGIN, BEGIN + 1, rows)])[-1]
    assert whole.num_rows == 21  # one stands for the snapshot without regions
    cells = array("d", bytes(8))
    part = whole.slice(9, 3)
    add(part, buffers([Place(0, 0, 100, 0)]), cells, 1, 1)
    assert cells[0] == 3


def call(
    batch: RecordBatch | None = None, *, places: Sequence[Place] = (), cells: int = 4, columns: int = 2,
    amounts: int = 2, width: float = 1.0,
) -> None:  # fmt: skip
    batch = batch or batches([snapshot(BEGIN, BEGIN + 1, [(0, 1, 1, 1)])])[-1]
    memory = array("d", bytes(8 * cells))
    add(batch, buffers(places), memory, columns, amounts, width)


@pytest.mark.parametrize(
    "places",
    [
        [Place(0, 5, 5, 0)],
        [Place(0, 5, 9, 0), Place(0, 8, 10, 0)],
        [Place(0, 5, 9, 0), Place(0, 1, 2, 0)],
        [Place(1, 5, 9, 0), Place(0, 10, 11, 0)],
    ],
)
def test_places_that_are_not_sorted_are_refused(places: list[Place]) -> None:
    with pytest.raises(ValueError, match="not sorted"):
        call(places=places)


@pytest.mark.parametrize("line", [-1, 1])
def test_a_place_beyond_the_cells_is_refused(line: int) -> None:
    call(places=[Place(0, 0, 1, 0)])
    with pytest.raises(ValueError, match="in no line"):
        call(places=[Place(0, 0, 1, line)])
    with pytest.raises(ValueError, match="in no line"):
        call(places=[Place(0, 0, 1, 0)], cells=3)


@pytest.mark.parametrize("width", [0.0, -1.0, float("inf"), float("nan")])
def test_a_grid_without_width_is_refused(width: float) -> None:
    with pytest.raises(ValueError, match="some width"):
        call(width=width)


@pytest.mark.parametrize(("columns", "amounts"), [(0, 1), (-1, 1), (1, 0), (1, 4)])
def test_a_grid_without_columns_is_refused(columns: int, amounts: int) -> None:
    with pytest.raises(ValueError, match="has columns"):
        call(columns=columns, amounts=amounts)


def test_columns_of_different_length_are_refused() -> None:
    batch = batches([snapshot(BEGIN, BEGIN + 1, [(0, 1, 1, 1)])])[-1]
    places = [array("i", [0]), array("Q"), array("Q", [1]), array("i", [0])]
    with pytest.raises(ValueError, match="must have n = 1 items"):
        add(batch, places, array("d", [0]), 1, 1)


def test_other_batches_are_refused() -> None:
    batch = batches([snapshot(BEGIN, BEGIN + 1, [(0, 1, 1, 1)])])[-1]
    with pytest.raises(ValueError, match="start: there is no such column"):
        call(batch.select([name for name in batch.column_names if name != "start"]))
    other = Array([1] * batch.num_rows, DataType.int64())
    columns = [other if name == "ticks" else batch[name] for name in batch.column_names]
    with pytest.raises(ValueError, match="ticks: the column has another type"):
        call(RecordBatch.from_arrays(columns, names=batch.column_names))
    number = Array([1], DataType.int64()).__arrow_c_array__()
    with pytest.raises(ValueError, match="no record batch"):
        add(number, [array(code) for code in "iQQi"], array("d"), 1, 1)
    with pytest.raises(ValueError, match="PyCapsule"):
        add((1, 2), [array(code) for code in "iQQi"], array("d"), 1, 1)
