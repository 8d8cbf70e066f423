"""DAMON_STAT's figures (docs/damon.md#damon_stat), by hand."""

from __future__ import annotations

from array import array

import pytest

from udamon.model import Event, Snapshot
from udamon.modules.stat import IdleWatch, idleness, percentiles


def snapshot(*regions: tuple[int, int, int], target: int = 0, ticks: int = 20) -> Snapshot:
    """Regions of (bytes, nr_accesses, age), one behind the other; sampling intervals of 5 ms."""
    starts, at = [], 0
    for size, _, _ in regions:
        starts.append(at)
        at += size
    return Snapshot(
        target=target,
        pid=None,
        seq=0,
        begin_ns=0,
        end_ns=0,
        sample_ns=5_000_000,
        ticks=ticks,
        starts=array("Q", starts),
        ends=array("Q", [start + size for start, (size, _, _) in zip(starts, regions, strict=True)]),
        nr_accesses=array("I", [nr for _, nr, _ in regions]),
        ages=array("I", [age for _, _, age in regions]),
        touched=array("Q", [0] * len(regions)),
    )


def test_idle_times_are_negative_where_memory_is_accessed() -> None:
    """25 % accessed for 3 aggregations of 100 ms, 25 % idle for one, 50 % idle for ten."""
    found = idleness([snapshot((2048, 0, 9), (1024, 3, 2), (1024, 0, 0))])
    assert found is not None
    assert found.idle_ms == (-300,) * 26 + (100,) * 25 + (1000,) * 50
    assert (found.sample_us, found.aggr_us, found.bytes) == (5_000, 100_000, 4096)


def test_bandwidth_is_bytes_times_accesses_a_second() -> None:
    """1 MiB seen accessed in 20 samples of 100 ms: 20 MiB in 0.1 s."""
    found = idleness([snapshot((1 << 20, 20, 0)), snapshot((1 << 20, 0, 0), target=1)])
    assert found is not None
    assert found.bandwidth == 200 << 20


def test_nothing_to_tell() -> None:
    assert idleness([]) is None
    assert idleness([snapshot()]) is None


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(7, 1)], [7] * 101),
        ([(1, 1), (2, 1), (3, 1)], [1] * 34 + [2] * 33 + [3] * 34),
        ([(2, 999), (1, 1)], [1] + [2] * 100),
        ([(value, 1) for value in range(1000)], [0, *range(9, 1000, 10)]),
    ],
    ids=["one", "thirds", "sliver", "many"],
)
def test_percentiles_are_filled_by_the_region_that_reaches_them(
    pairs: list[tuple[int, int]], expected: list[int]
) -> None:
    assert list(percentiles(pairs)) == expected
    assert len(expected) == 101


def test_a_target_that_ended_is_not_counted() -> None:
    watch = IdleWatch()
    watch.snapshot(snapshot((4096, 0, 0)))
    watch.snapshot(snapshot((4096, 0, 4), target=1))
    watch.event(Event(0, "target_end", {"target": 0, "pid": 1, "why": "exited"}))
    assert watch.latest is not None
    assert watch.latest.idle_ms == (500,) * 101
    watch.snapshot(snapshot((4096, 9, 0), target=1))
    assert watch.latest.idle_ms == (-100,) * 101
