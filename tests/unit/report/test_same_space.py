"""Two targets with one address space (CLONE_VM): what both tell of the same memory counts once, with filters too."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.report.test_sites import CODE, start, told
from tests.unit.snapshots import recorded, snap
from udamon.model import Event, Sharing, Snapshot
from udamon.record.reader import Recording
from udamon.report import ages, checks, recommend, right_size, sites, size
from udamon.report.check_limits import CheckLimits
from udamon.report.filters import Filters
from udamon.report.source import RecordingSource

MIB, S = 1 << 20, 1_000_000_000
COLD, HOT, FILE = 10 * MIB, 30 * MIB, 1 << 40


def shot(seq: int, target: int, touched: int) -> Snapshot:
    """A second of 10 MiB that nobody touches and 30 MiB of which so much is; target 1 has the memory of target 0."""
    made = snap(
        seq, [(0, COLD, 0, seq), (FILE, FILE + HOT, 20, seq)], target=target, window=S, sample=S // 20
    )
    private = [COLD, HOT]
    columns: list[list[int | None]] = [
        [COLD, HOT],
        [COLD, 0],
        [0, touched],
        [7, 7],
        [None, None],
        [None, None],
    ]
    return replace(
        made, pid=7 + target, touched=array("Q", [0, touched]), resident=array("Q", private),
        sharing=Sharing.of(columns, 0 if target else None),
    )  # fmt: skip


def recording(path: Path, via: str, touched: int = HOT) -> Recording:
    rows = [[0, COLD, "rw-p", 0, 0, "[heap]"], [FILE, FILE + HOT, "r--p", 0, 7, "/data"]]
    steps: list[Snapshot | Event] = []
    for target in (0, 1):
        steps += [
            start(target, 7 + target), Event(0, "mappings", {"target": target, "add": rows, "remove": []})
        ]  # fmt: skip
    steps += [shot(seq, target, touched) for seq in range(30) for target in (0, 1)]
    return recorded(path, steps, via=via)


@pytest.mark.parametrize("targets", [(), (0,), (1,), (0, 1)])
def test_cold_shares_and_ages(tmp_path: Path, targets: tuple[int, ...]) -> None:
    """A quarter of 40 MiB is cold, whichever of the two is looked at."""
    with RecordingSource(recording(tmp_path / "a", "idle"), Filters(targets=targets)) as source:
        (check,) = checks.measure(source, CheckLimits(max_cold_share=0.3, cold_age_ns=5 * S))
        found = ages.measure(source)
    assert (check.figure.low, check.figure.high, check.holds) == (0.25, 0.25, True)
    assert (found.found.size, found.cold[0]) == (40 * MIB, 10 * MIB)


def test_cold_bytes_for_sure(tmp_path: Path) -> None:
    """Of the heap all 10 MiB are cold, which no other memory is for sure; the sum over both would be 20."""
    with RecordingSource(recording(tmp_path / "a", "refs", 5 * MIB)) as source:
        cold = size.measure(source).cold
    assert cold is not None
    assert cold[0] == 10 * MIB


@pytest.mark.parametrize("via", ["refs", "idle"])
def test_limits(tmp_path: Path, via: str) -> None:
    """The limit of both is that of one: their anonymous memory is there once."""
    found: list[int] = []
    for targets in ((0, 1), (0,), (1,)):
        path = tmp_path / f"{via}-{len(found)}"
        with RecordingSource(recording(path, via, 5 * MIB), Filters(targets=targets)) as source:
            found.append(recommend.measure(source, right_size.measure(source)).limit)
    assert found[0] == found[1] == found[2]


def test_sites_of_the_second_target(tmp_path: Path) -> None:
    """Its windows tell of its allocations where those of the first are not looked at."""
    steps: list[Snapshot | Event] = [start(1, 8), *CODE, told([1, MIB, MIB, MIB, 1], pid=8)]
    steps += [shot(seq, target, HOT) for seq in range(30) for target in (0, 1)]
    with RecordingSource(recorded(tmp_path / "a", steps, via="idle"), Filters(targets=(1,))) as source:
        (site,) = sites.measure(source).sites
    assert site.resident > 0
