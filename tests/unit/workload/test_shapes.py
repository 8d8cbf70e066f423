"""The committed shapes are what their generator writes, and their truth is what their heads say."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

from tests.imports import ROOT
from udamon.errors import UsageError
from udamon.units import GIB, MIB, TIB
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.shapes import find, names
from udamon.workload.truth import Truth

MAKER = ROOT / "bench" / "make_shapes.py"
SAMPLE, TICKS, SECOND = 5_000_000, 20, 1_000_000_000
SIMULATED = ("one", "many", "fine", "zipf", "shifting", "sweep", "cold", "tiny")


def truth_of(name: str) -> Truth:
    workload = load(find(name))
    return Truth(workload, place(workload))


def hot(truth: Truth, seconds: float) -> list[tuple[int, int]]:
    """Where the mean chance is at least one half, neighbours joined."""
    joined: list[tuple[int, int]] = []
    for start, end, mean, _ in truth.expected(round(seconds * SECOND), TICKS, SAMPLE):
        if mean >= 0.5 and joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        elif mean >= 0.5:
            joined.append((start, end))
    return joined


def size(ranges: list[tuple[int, int]]) -> int:
    return sum(end - start for start, end in ranges)


def test_committed_files_are_what_the_generator_writes() -> None:
    written = runpy.run_path(str(MAKER))["shapes"]()
    committed = {path.name: path.read_text() for path in find("one").parent.glob("*.masim")}
    assert committed == written


def test_all_are_there() -> None:
    assert set(names()) == {*SIMULATED, "sparse", "zigzag", "stairs", "hint", "demo", "wss"}


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_shapes_are_8_gib_for_a_minute(name: str) -> None:
    workload = load(find(name))
    assert sum(region.size for region in workload.regions) == 8 * GIB
    assert workload.duration_ns >= 60 * SECOND


@pytest.mark.parametrize(
    ("name", "count", "share"),
    [("one", 1, 0.03), ("many", 40, 0.04), ("fine", 400, 0.02), ("cold", 0, 0), ("tiny", 1, 1)],
)
def test_still_shapes(name: str, count: int, share: float) -> None:
    truth = truth_of(name)
    where = hot(truth, 0)
    assert len(where) == count
    assert size(where) / (8 * GIB) == pytest.approx(share, rel=0.002)
    assert where == hot(truth, 59)
    assert all(piece.chance >= 0.97 for piece in truth.pieces(0, SAMPLE))


def test_clusters_are_aligned_to_nothing_convenient() -> None:
    borders = [bound for where in hot(truth_of("many"), 0) for bound in where]
    assert sum(bound % MIB == 0 for bound in borders) < 5


def test_zipf_has_eight_hot_blocks() -> None:
    truth = truth_of("zipf")
    where = hot(truth, 0)
    assert size(where) == 8 * 2 * MIB
    chances = sorted((piece.chance for piece in truth.pieces(0, SAMPLE)), reverse=True)
    wanted = [1 - math.exp(-5 / rank**0.9) for rank in range(1, 4097)]
    assert chances == pytest.approx(wanted, rel=1e-3)
    assert chances[7] > 0.53
    assert chances[8] < 0.5


def test_shifting_is_many_elsewhere_every_5_s() -> None:
    truth = truth_of("shifting")
    places = [hot(truth, 5 * i + 1) for i in range(12)]
    assert all(size(where) / (8 * GIB) == pytest.approx(0.04, rel=0.002) for where in places)
    assert len({tuple(where) for where in places}) == 12
    assert places[0] == hot(truth, 4.8)


def test_sweep_slides_through_all_in_30_s() -> None:
    truth = truth_of("sweep")
    base = truth.layout.base
    for seconds in (0, 7.5, 15, 25, 30, 45):
        where = hot(truth, seconds)
        assert size(where) / (8 * GIB) == pytest.approx(0.05, rel=0.01)
        assert (where[0][0] - base) / (8 * GIB) == pytest.approx(seconds / 30 % 1, abs=0.003)


def test_sparse_is_resident_in_200_patches_and_a_fifth_is_hot() -> None:
    truth = truth_of("sparse")
    assert sum(r.size for r in truth.layout.ranges()) == TIB
    resident = truth.resident()
    assert len(resident) == 200
    assert sum(r.size for r in resident) / TIB == pytest.approx(0.01, rel=0.001)
    assert len(hot(truth, 0)) == 40
    assert size(hot(truth, 0)) / sum(r.size for r in resident) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "mib"),
    [
        ("wss", [150, 250, 150, 250]),
        ("demo", [60, 60, 60, 60]),
        ("hint", [100, 100]),
        ("zigzag", [191, 95, 95]),
    ],
)
def test_real_shapes_by_the_rule_of_the_truth_log(name: str, mib: list[int]) -> None:
    truth = truth_of(name)
    regions = truth.workload.regions
    for phase, wanted in enumerate(mib):
        chances = truth.region_chances(phase, SAMPLE)
        got = sum(r.size for r, chance in zip(regions, chances, strict=True) if chance >= 0.5)
        assert got / MIB == pytest.approx(wanted, abs=1)


def test_stairs() -> None:
    truth = truth_of("stairs")
    counts = [sum(chance >= 0.5 for chance in truth.region_chances(phase, SAMPLE)) for phase in range(11)]
    assert counts == [10] + [1] * 10


def test_find(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("a, 1M\n\np\n1\n")
    assert find(str(own)) == own
    for wrong in ("none such", str(tmp_path)):
        with pytest.raises(UsageError, match="no workload .* one of cold, demo, "):
            find(wrong)
