"""Both ways to the cells of a heatmap find the same: the SQL that defines them, and the sums in C."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udamon.model import PAGE_SIZE, Event, Snapshot
from udamon.record.reader import Recording
from udamon.record.writer import Writer
from udamon.report import cells
from udamon.report.filters import Filters
from udamon.report.place import AddressPlace
from udamon.report.source import RecordingSource

pytestmark = pytest.mark.native

START_NS, MIB = 10**12, 1 << 20
SOME = (0x5500_0000_0000, 0x7F00_0000_0000)


@st.composite
def stretches(draw: st.DrawFn, least: int = 0) -> list[tuple[int, int]]:
    """Disjoint and sorted, in two clusters that are far from each other, some of them touching."""
    found: list[tuple[int, int]] = []
    for base in SOME:
        bounds = sorted(draw(st.lists(st.integers(0, 4096), min_size=2 * least, max_size=8, unique=True)))
        pairs = [(base + low * PAGE_SIZE, base + high * PAGE_SIZE) for low, high in pairwise(bounds)]
        found += [pair for number, pair in enumerate(pairs) if number < least or draw(st.booleans())]
    return found


@st.composite
def recordings(draw: st.DrawFn) -> list[Snapshot]:
    """Windows of any length, one after the other or with gaps, of three targets; mostly as those before."""
    found, at, regions = [], START_NS, draw(stretches())
    for seq in range(draw(st.integers(1, 8))):
        begin = at + draw(st.sampled_from([0, 0, 1, 12_345_678]))
        at = begin + draw(st.integers(1, 10**9))
        regions = draw(stretches()) if draw(st.booleans()) else regions
        count, ticks = len(regions), draw(st.integers(0, 40))
        found.append(
            Snapshot(
                target=draw(st.integers(0, 2)), pid=None, seq=seq, begin_ns=begin, end_ns=at,
                sample_ns=draw(st.integers(1, 10**8)), ticks=ticks,
                starts=array("Q", [start for start, _ in regions]), ends=array("Q", [end for _, end in regions]),
                nr_accesses=array("I", draw(st.lists(st.integers(0, ticks), min_size=count, max_size=count))),
                ages=array("I", draw(st.lists(st.integers(0, 2**32 - 1), min_size=count, max_size=count))),
                touched=array("Q", [draw(st.integers(0, end - start)) for start, end in regions]),
                resident=draw(st.none() | st.just(array("Q", [(end - start) // 3 for start, end in regions]))),
            )
        )  # fmt: skip
    return found


def written(path: Path, snapshots: Sequence[Snapshot], via: str = "sim") -> Recording:
    with Writer(path, {"via": via}) as writer:
        writer.event(Event(START_NS, "note", {"text": "first"}))
        for number, snapshot in enumerate(snapshots):
            writer.snapshot(snapshot)
            if number % 3 == 2:
                writer.flush()
    return Recording(path)


spans = st.sampled_from([None, "0s-", "100ms-1.5s", "-700ms", "3s-"])


@given(
    recordings(), stretches(1), st.integers(1, 9), spans, st.sampled_from([("rate",), ("rate", "age")]),
    st.sampled_from(["sim", "softdirty"]),
)  # fmt: skip
@settings(deadline=None, max_examples=min(40, settings().max_examples))
def test_the_same_cells(
    snapshots: list[Snapshot], stretch: list[tuple[int, int]], columns: int, time: str | None, values: tuple[str, ...],
    via: str,
) -> None:  # fmt: skip
    """Whatever windows, regions and rows there are, columns of any width, with a filter by time, and where the rate is
    the share that was touched."""
    begin, end = snapshots[0].begin_ns, snapshots[-1].end_ns
    places = [
        AddressPlace(target, *pair, line // 2 + target)
        for target in (0, 2)
        for line, pair in enumerate(stretch)
    ]
    width = (end - begin) / columns
    with (
        tempfile.TemporaryDirectory() as place,
        RecordingSource(written(Path(place) / "a", snapshots, via), Filters.parse(time=time)) as source,
    ):
        quick = cells.by_batches(source, places, begin, width, columns, values)
        defined = cells.by_query(source, places, begin, width, columns, values)
    assert sorted(cell[:2] for cell in quick) == sorted(cell[:2] for cell in defined)
    for one, other in zip(sorted(quick), sorted(defined), strict=True):
        assert one[2:] == pytest.approx(other[2:], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "filters",
    [
        Filters.parse(address="0x1000-"),
        Filters.parse(size="4KiB-"),
        Filters.parse(rate="10%-"),
        Filters.parse(age="1s-"),
        Filters.parse(mapping="heap"),
    ],
)
def test_filters_that_choose_regions_are_left_to_sql(
    filters: Filters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what filters whole snapshots goes the quick way."""

    class Stub:
        filters = Filters()

    def asked(filters: Filters) -> object:
        Stub.filters = filters
        return cells.cells_of(Stub(), [], 0, 10, 1)  # type: ignore[arg-type]

    for name in ("by_query", "by_batches"):
        monkeypatch.setattr(cells, name, lambda *_, name=name: name)
    assert asked(Filters()) == asked(Filters.parse(time="1s-2s", targets=(1,))) == "by_batches"
    assert asked(filters) == "by_query"
