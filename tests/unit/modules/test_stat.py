"""DAMON_STAT's figures (docs/damon.md#damon_stat), by hand."""

from __future__ import annotations

from array import array
from dataclasses import replace

import pytest

from udamon.core.ages import ONCE, document, seen_of, sentence
from udamon.core.idle_time import Seen
from udamon.model import Event, Sharing, Snapshot
from udamon.modules import stat
from udamon.modules.stat import AgeWatch, Idleness, IdleWatch, StatWindows, percentiles

MS = 1_000_000


def snapshot(
    *regions: tuple[int, int, int],
    target: int = 0,
    ticks: int = 20,
    seq: int = 0,
    window: tuple[int, int] = (0, 100),
) -> Snapshot:
    """Regions of (bytes, nr_accesses, age), one behind the other; sampling intervals of 5 ms, a window in ms."""
    starts, at = [], 0
    for size, _, _ in regions:
        starts.append(at)
        at += size
    return Snapshot(
        target=target,
        pid=None,
        seq=seq,
        begin_ns=window[0] * MS,
        end_ns=window[1] * MS,
        sample_ns=5_000_000,
        ticks=ticks,
        starts=array("Q", starts),
        ends=array("Q", [start + size for start, (size, _, _) in zip(starts, regions, strict=True)]),
        nr_accesses=array("I", [nr for _, nr, _ in regions]),
        ages=array("I", [age for _, _, age in regions]),
        touched=array("Q", [size if nr else 0 for size, nr, _ in regions]),
    )


def watched(*snapshots: Snapshot, census: str | None = None) -> Idleness | None:
    """What is told after these."""
    watch = IdleWatch(census)
    for one in snapshots:
        watch.snapshot(one)
    return watch.latest


def steady(count: int, *regions: tuple[int, int, int], target: int = 0) -> list[Snapshot]:
    """So many windows of 100 ms, the last of them with these regions."""
    return [
        snapshot(*regions, target=target, seq=seq, window=(100 * seq, 100 * seq + 100))
        for seq in range(count)
    ]


def test_idle_times_are_negative_where_memory_is_accessed() -> None:
    """25 % accessed for 3 aggregations of 100 ms, 25 % idle for one, 50 % idle for ten."""
    found = watched(*steady(12, (2048, 0, 9), (1024, 3, 2), (1024, 0, 0)))
    assert found is not None
    assert found.idle_ms == (-300,) * 26 + (100,) * 25 + (1000,) * 50
    assert not any(found.at_least)
    assert (found.sample_us, found.aggr_us, found.bytes) == (5_000, 100_000, 4096)


def test_what_counts_as_accessed_and_was_not_touched() -> None:
    """Of a census: 3 of 4 KiB of one target's only accessed mapping, 1 of 2 KiB of another's. Others do not tell."""
    one = replace(snapshot((4096, 3, 0), (8192, 0, 0)), touched=array("Q", [1024, 0]))
    other = replace(snapshot((2048, 1, 0), target=1), touched=array("Q", [1024]))
    for census, untouched in (("refs", 4096), (None, None)):
        found = watched(one, other, census=census)
        assert found is not None
        assert found.untouched == untouched


def test_no_time_is_longer_than_the_target_was_watched() -> None:
    """Two windows of 2 s and 3 s, though the interval is 40 s; then one is known to have begun idle with the last."""
    first = snapshot((4096, 0, 0), ticks=8_000, window=(0, 2_000))
    second = snapshot((4096, 0, 1), (4096, 0, 0), ticks=8_000, seq=1, window=(2_000, 5_000))
    found = watched(first, second)
    assert found is not None
    assert (found.idle_ms[0], found.at_least[0]) == (3_000, False)
    assert (found.idle_ms[100], found.at_least[100]) == (5_000, True)
    other = watched(snapshot((4096, 0, 7), window=(1_000, 1_100)))
    assert other is not None
    assert (other.idle_ms[50], other.at_least[50]) == (100, True)


def test_ages_that_were_counted_anew_keep_their_time() -> None:
    """30 windows of 100 ms, then one of 1 s, in whose length the age is told: 2 are two thirds of what went before."""
    long = snapshot((4096, 0, 2), ticks=200, seq=30, window=(3_000, 4_000))
    found = watched(*steady(30, (4096, 0, 29)), long)
    assert found is not None
    assert (found.idle_ms[50], found.at_least[50]) == (3_000, False)


def test_windows_that_were_missed_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten windows every second was not complete; few begins are kept of many windows."""
    found = watched(*steady(11, (4096, 0, 8))[::2])
    assert found is not None
    assert (found.idle_ms[0], found.at_least[0]) == (900, False)
    monkeypatch.setattr(stat, "MOST_WINDOWS", 8)
    windows = StatWindows()
    for one in steady(1_000, (4096, 0, 0)):
        windows.add(one)
    assert windows.lasted(499) == (500 * 100 * MS, False)
    assert windows.lasted(999) == (1000 * 100 * MS, True)
    assert windows.lasted(0) == (100 * MS, False)


def test_bandwidth_is_bytes_times_accesses_a_second() -> None:
    """1 MiB seen accessed in 20 samples of 100 ms: 20 MiB in 0.1 s."""
    found = watched(snapshot((1 << 20, 20, 0)), snapshot((1 << 20, 0, 0), target=1))
    assert found is not None
    assert found.bandwidth == 200 << 20
    assert found.bandwidth_low == 0, "samples without bounds: nothing is sure"
    bounded = watched(replace(snapshot((1 << 20, 20, 0)), touched_low=1 << 19, touched_high=1 << 20))
    assert bounded is not None
    assert bounded.bandwidth_low == 5 << 20


def test_a_census_knows_the_least_bandwidth() -> None:
    """1 MiB of each target was touched in 0.2 s: not how often, and of one not by whom."""
    sure = Sharing.of([[0], [0], [1 << 20], [1], [None], [None]])
    own = replace(snapshot((1 << 20, 20, 0), window=(0, 200)), sharing=sure)
    others = snapshot((1 << 20, 20, 0), window=(0, 200), target=1)
    for census, least in (("refs", 5), ("softdirty", 10)):
        found = watched(own, others, census=census)
        assert found is not None
        assert (found.bandwidth, found.bandwidth_low) == (None, least << 20)


def test_nothing_to_tell() -> None:
    assert watched() is None
    assert watched(snapshot()) is None


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
    for one in steady(6, (4096, 0, 4), target=1):
        watch.snapshot(one)
    watch.event(Event(0, "target_end", {"target": 0, "pid": 1, "why": "exited"}))
    assert watch.latest is not None
    assert watch.latest.idle_ms == (500,) * 101
    watch.snapshot(snapshot((4096, 9, 0), target=1, seq=6, window=(600, 700)))
    assert watch.latest.idle_ms == (-100,) * 101


def test_cold_ages() -> None:
    """30 windows of 1 s via pte: 1 KiB accessed in each, 2 KiB in the first; a target that ended has none."""
    watch = AgeWatch("pte")
    assert watch.last is None
    for seq in range(30):
        one = snapshot(
            (1024, 20, 0), (2048, 20 * (seq == 0), seq), seq=seq, window=(1000 * seq, 1000 * seq + 1000)
        )
        watch.snapshot(one)
        if seq < 5:
            watch.snapshot(replace(one, target=1))
    watch.event(Event(0, "target_end", {"target": 1}))
    assert watch.last is not None
    found = document(watch.last)
    assert (found["resident_bytes"], found["seconds"], found["why"]) == (3072, 30, None)
    assert (found["cold_bytes"]["1"], found["cold_bytes"]["10"], found["cold_bytes"]["60"]) == (
        2048,
        2048,
        None,
    )
    assert sentence(watch.last) == "not touched for at least 10 s: 2.0 KiB of 3.0 KiB"
    watch.event(Event(0, "target_end", {"target": 0}))
    assert watch.last.found.size == 3072, "the last that was seen"


def test_cold_ages_of_several_count_what_they_share_once() -> None:
    """Two of 4 KiB each, idle after the first window: 3 KiB of each are nobody else's, 1 KiB both may have."""
    watch, simulated = AgeWatch("pte"), AgeWatch("sim")
    for seq in range(30):
        one = snapshot((4096, 20 * (seq == 0), seq), seq=seq, window=(1000 * seq, 1000 * seq + 1000))
        one = replace(one, sharing=Sharing.of([[3072], [4096], [4096 * (seq == 0)], [1], [None], [None]]))
        for target in (0, 1):
            watch.snapshot(replace(one, target=target))
            simulated.snapshot(replace(one, target=target))
    assert watch.last is not None
    found = document(watch.last)
    assert (found["resident_bytes"], found["shared"], found["why"]) == (8192, True, ONCE)
    assert found["bounds"]["cold_bytes"]["high"]["10"] == 8192
    # Of the first nothing was followed apart before the second came, after its first window.
    assert found["cold_bytes"]["10"] == 6144
    assert sentence(watch.last) == "not touched for at least 10 s: 6.0 KiB or more of at most 8.0 KiB"
    assert simulated.last is not None
    assert document(simulated.last)["why"] is not None
    assert (document(simulated.last)["shared"], simulated.last.found.size) == (False, 8192)
    watch.event(Event(0, "target_end", {"target": 0}))
    assert watch.last is not None
    assert document(watch.last)["shared"] is False


def test_cold_ages_of_samples_have_bounds_where_checks_tell_them() -> None:
    """30 windows of 1 s: 1 MiB accessed in each, 3 MiB idle; none of 1000 checks a window met an access there. Of two
    targets that may have pages in common there are none, nor with a target that has no bounds."""
    watches = {via: AgeWatch(via, "adaptive") for via in ("idle", "sim")}
    for seq in range(30):
        one = snapshot(
            (1 << 20, 20, 0), (3 << 20, 0, 10 * seq + 9), seq=seq, window=(1000 * seq, 1000 * seq + 1000)
        )
        one = replace(
            one,
            touched_low=1 << 20,
            touched_high=1 << 20,
            idle_checks=1000,
            idle_hits=0,
            idle_bytes=3 << 20,
            idle_mixed=0,
        )
        for watch in watches.values():
            watch.snapshot(one)
        watches["sim"].snapshot(replace(one, target=1))
    for watch, targets in ((watches["idle"], 1), (watches["sim"], 2)):
        assert watch.last is not None
        found = document(watch.last)
        low, high = (found["bounds"]["cold_bytes"][side]["10"] for side in ("low", "high"))
        assert low == pytest.approx(targets * (3 << 20) * (1 - 3.668 / 1000), rel=1e-4)
        assert (high, found["cold_bytes"]["10"]) == (targets * 3 << 20, targets * 3 << 20)
        assert found["bounds"]["cold_bytes"]["low"]["60"] is None
    assert sentence(watches["idle"].last) == (  # type: ignore[arg-type]
        "not touched for at least 10 s: 3.0 MiB of 4.0 MiB, an estimate (3.0 MiB to 3.0 MiB)"
    )
    watches["idle"].snapshot(replace(one, target=1))
    assert document(watches["idle"].last)["bounds"] is None  # type: ignore[arg-type]
    watches["sim"].event(Event(0, "target_end", {"target": 1}))
    watches["sim"].snapshot(replace(one, target=2, touched_low=None, touched_high=None))
    assert document(watches["sim"].last)["bounds"] is None  # type: ignore[arg-type]


def test_cold_ages_by_other_ways_of_looking() -> None:
    """Of samples a region counts with all of its bytes; via refs what others marked may be idle all the same."""
    partly = replace(snapshot((4096, 20, 0)), touched=array("Q", [1024]), resident=array("Q", [4096]))
    assert seen_of(partly, "idle") == [Seen(0, 4096, 4096, 4096, 4096)]
    assert seen_of(partly, "pte") == [Seen(0, 4096, 4096, 1024, 1024)]
    assert seen_of(partly, "pte", "adaptive") == [Seen(0, 4096, 4096, 4096, 4096)], "samples"
    assert seen_of(partly, "refs") == [Seen(0, 4096, 4096, 0, 1024)]
    sharing = Sharing.of([[0], [0], [512], [1], [0], [None]])
    assert seen_of(replace(partly, sharing=sharing), "refs") == [Seen(0, 4096, 4096, 512, 1024)]
    same = AgeWatch("refs")
    same.snapshot(replace(partly, sharing=replace(sharing, same_as=3)))
    assert same.last is None
