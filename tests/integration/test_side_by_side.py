"""What the side-by-side makes of recordings: damo's format, checks that nobody counted, CPU between two looks."""

from __future__ import annotations

import json
import zlib
from array import array
from pathlib import Path
from random import Random

import pytest

from bench.side_by_side.measures import _at
from bench.side_by_side.monitors import checks_of_kernel, damo_snapshots
from bench.side_by_side.plan import ALONE, STEP_NS, WORKLOADS, runs, workload
from udamon.core.regions import Region
from udamon.core.split import split_randomly
from udamon.model import PAGE_SIZE, Snapshot
from udamon.workload.config import parse
from udamon.workload.spec import format_workload


def region(start: str, end: str, samples: int, age: str) -> dict[str, object]:
    return {
        "start": start, "end": end, "nr_accesses": {"samples": samples, "percent": None},
        "age": {"usec": None, "aggr_intervals": age}, "probe_hits": [], "sz_filter_passed": "0 B",
    }  # fmt: skip


def test_what_damo_writes_is_read(tmp_path: Path) -> None:
    snapshot = {
        "start_time": "42,426,650,857", "end_time": 43457635000, "total_bytes": "12 KiB", "damos_stats": None,
        "regions": [region("4,096", "12,288", 20, "1,024"), region("16384", "20480", 21, "0")],
    }  # fmt: skip
    intervals = {"sample_us": "50000", "aggr_us": "1,000,000", "ops_update_us": "1000000"}
    file = tmp_path / "damo.data"
    file.write_bytes(zlib.compress(json.dumps([{"intervals": intervals, "snapshots": [snapshot]}]).encode()))
    (found,) = damo_snapshots(file, offset_ns=1000)
    assert (found.begin_ns, found.end_ns) == (42426651857, 43457636000)
    assert (found.sample_ns, found.ticks) == (50_000_000, 20)
    assert list(zip(found.starts, found.ends, found.nr_accesses, found.ages, strict=True)) == [
        (4096, 12288, 20, 1024),
        (16384, 20480, 20, 0),  # a kernel that keeps time by the clock may fit in a sample more
    ]
    assert list(found.touched) == [8192, 4096]


@pytest.mark.parametrize(("before", "pieces"), [(7, 2), (40, 3)])
def test_checks_are_expected_as_regions_are_cut(before: int, pieces: int) -> None:
    """Against the mean of many cuts; `before` regions one snapshot earlier decide on two or three pieces."""
    random = Random(1)
    sizes = [1, 2, 3, 5, 8, 12, 30, 400, 5000, 70_000] * 4
    snapshots = [snapshot_of([9000] * before), snapshot_of(sizes), snapshot_of(sizes)]
    *_, expected = checks_of_kernel(snapshots)
    total = 0
    for _ in range(300):
        cut = [Region(start, end) for start, end in zip(snapshots[1].starts, snapshots[1].ends, strict=True)]
        split_randomly(cut, pieces, PAGE_SIZE, random)
        total += len(cut)
    assert expected == pytest.approx(20 * total / 300, rel=0.01)


def snapshot_of(pages: list[int]) -> Snapshot:
    ends = [PAGE_SIZE * sum(pages[: i + 1]) for i in range(len(pages))]
    none = array("I", bytes(4 * len(pages)))
    return Snapshot(
        0,
        1,
        0,
        0,
        1,
        50_000_000,
        20,
        array("Q", [0, *ends[:-1]]),
        array("Q", ends),
        none,
        none,
        array("Q", ends),
    )


def test_a_total_between_two_looks() -> None:
    looks = [(1.0, 10.0), (2.0, 14.0), (2.5, 15.0)]
    assert [_at(looks, t, 1) for t in (0.5, 1.0, 1.5, 2.25, 9.0)] == [10.0, 10.0, 12.0, 14.5, 15.0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_begin_with_a_rest_and_fit_the_guest(name: str) -> None:
    made = workload(name, settle_s=6)
    assert parse(format_workload(made), name) == made
    assert made.phases[0].patterns == ()
    assert [phase.duration_ns for phase in made.phases] == [6 * 10**9] + [STEP_NS] * 4
    assert made.resident_bytes <= 1.01 * 2**30


def test_everyone_comes_first_once() -> None:
    planned = list(runs(4, ["one"], ["kernel", "damo", "idle"]))
    rounds = [[run.monitor for run in planned if run.round == number] for number in range(4)]
    assert all(sorted(names) == sorted([ALONE, "kernel", "damo", "idle"]) for names in rounds)
    assert len({names[0] for names in rounds}) == 4
