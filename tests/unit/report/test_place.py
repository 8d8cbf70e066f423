"""Regions are placed on an axis as comparing each of them with every place would do it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from tests.unit.report.test_wss import Region, record, snap
from udamon.report import heatmap
from udamon.report.place import MAX_CLUSTERS, AddressPlace, Axis, sums
from udamon.report.source import RecordingSource

PAGE, MIB, GIB = 4096, 1 << 20, 1 << 30


def clusters(random: Random, count: int) -> list[tuple[int, int]]:
    """Disjoint stretches of very different sizes, some of them terabytes apart."""
    found, at = [], 0x10000
    for _ in range(count):
        at += random.choice([0, PAGE, MIB, GIB, 1 << 40])
        size = PAGE * random.choice([1, 3, 100, 10_000])
        found.append((at, at + size))
        at += size
    return found


@pytest.mark.parametrize("seed", range(6))
def test_as_comparing_with_every_place(tmp_path: Path, seed: int) -> None:
    """Bytes of every place, summed over regions that begin and end anywhere, also in gaps and over many places."""
    random = Random(seed)
    counts = [random.choice([1, 5, MAX_CLUSTERS * 3]) for _ in range(2)]
    places = [
        AddressPlace(target, *stretch, target * 1000 + number)
        for target, count in enumerate(counts)
        for number, stretch in enumerate(clusters(random, count))
    ]
    shots = []
    for target in (0, 1):
        top = max(place.high for place in places) + MIB
        some = [edge for place in places for edge in (place.low, place.high - PAGE) if random.random() < 0.3]
        edges = sorted({random.randrange(0, top, PAGE) for _ in range(30)} | set(some))
        regions: list[Region] = [(*span, 1, 0, 7) for span in pairwise(edges) if random.random() < 0.8]
        shots.append(snap(0, regions, target))
    expected = {
        place.name: 7.0 * sum(
            max(0, min(end, place.high) - max(start, place.low))
            for shot in shots if shot.target == place.target
            for start, end in zip(shot.starts, shot.ends, strict=True)
        )
        for place in places
    }  # fmt: skip
    with RecordingSource(record(tmp_path / "a", [*shots])) as source:
        axis = Axis(source, "test", places)
        amount = sums("amount", "CAST(touched AS DOUBLE)")
        placed = axis.placed(("touched",))
        summed = f"(SELECT first, last, {amount} FROM ({placed}) AS placed GROUP BY first, last) AS summed"
        found = dict(source.query(axis.spread((), ("amount",), summed)))
    assert {name: size for name, size in found.items() if size} == {
        name: pytest.approx(size) for name, size in expected.items() if size
    }


def test_windows_over_columns(tmp_path: Path) -> None:
    """Cells of a heatmap whose columns are no whole number of windows, against overlaps computed one by one."""
    random = Random(7)
    shots = [snap(seq, [(0, MIB, random.randrange(21), 0, 0)]) for seq in range(17)]
    for columns in (1, 5, 7, 16, 40):
        with RecordingSource(record(tmp_path / f"{columns}", [*shots])) as source:
            cells = heatmap.measure(source, 1, columns).cells[0]
        width = 17 / columns
        for column, cell in enumerate(cells):
            low, high = column * width, (column + 1) * width
            weights = [max(0.0, min(seq + 1, high) - max(seq, low)) for seq in range(17)]
            rates = [shot.nr_accesses[0] / 20 for shot in shots]
            mean = sum(w * r for w, r in zip(weights, rates, strict=True)) / sum(weights)
            assert cell == pytest.approx(mean, abs=1e-6)


def test_no_places(tmp_path: Path) -> None:
    """An axis without places has no bytes."""
    with RecordingSource(record(tmp_path / "a", [snap(0, [(0, MIB, 1, 0, 1)])])) as source:
        axis = Axis(source, "none", [])
        assert source.query(axis.placed(("seq",))) == []
