"""Truths computed by hand: layouts, chances, moving windows, and their means over aggregations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pytest

from udamon.model import PAGE_SIZE, Range
from udamon.workload.config import parse
from udamon.workload.layout import SIMULATED_BASE, Kind, place
from udamon.workload.pieces import Layer, PatternPiece, combine, join
from udamon.workload.truth import Truth

MS = 1_000_000
SAMPLE = 5 * MS
PAGE = PAGE_SIZE


def truth_of(text: str, kind: Kind = "one", base: int = 0) -> Truth:
    workload = parse(text)
    return Truth(workload, place(workload, kind, base))


def close(stretches: Iterable[Sequence[float]], *wanted: Sequence[float]) -> bool:
    """Whether the stretches are the wanted ones, but for rounding."""
    return [pytest.approx(tuple(stretch)) for stretch in stretches] == list(wanted)


# Layouts


def test_one_mapping() -> None:
    layout = place(parse("a, 8K\nb, 4K\nc, 12K # udamon: resident=30%\n\np\n1"))
    base = SIMULATED_BASE
    assert [(r.start - base, r.end - base, r.resident_end - base) for r in layout.regions] == [
        (0, 2 * PAGE, 2 * PAGE), (2 * PAGE, 3 * PAGE, 3 * PAGE), (3 * PAGE, 6 * PAGE, 4 * PAGE),
    ]  # fmt: skip
    assert layout.ranges() == [Range(base, base + 6 * PAGE)]
    assert layout.resident() == [Range(base, base + 4 * PAGE)]
    assert layout.guards() == []


def test_separate_mappings() -> None:
    layout = place(parse("a, 8K\nb, 4K # udamon: resident=0\nc, 4K\n\np\n1"), "separate", 0)
    assert layout.ranges() == [Range(0, 2 * PAGE), Range(3 * PAGE, 4 * PAGE), Range(5 * PAGE, 6 * PAGE)]
    assert layout.guards() == [Range(2 * PAGE, 3 * PAGE), Range(4 * PAGE, 5 * PAGE)]
    assert layout.resident() == [Range(0, 2 * PAGE), Range(5 * PAGE, 6 * PAGE)]
    assert layout.span == Range(0, 6 * PAGE)


# One sampling interval


def test_random_access_is_poisson_and_shared_by_weight() -> None:
    # 3/4 of 1 M/s is 3750 accesses in 5 ms, over 2500 pages; 1/4 of it is 1250 over 5000
    truth = truth_of(
        f"# udamon: rate=1M\na, {2500 * PAGE}\nb, {5000 * PAGE}\n\np\n100\na, 1, 4096, 3\nb, 1, 64, 1"
    )
    a, b = (0, 2500 * PAGE, 1 - math.exp(-1.5)), (2500 * PAGE, 7500 * PAGE, 1 - math.exp(-0.25))
    assert close(truth.pieces(0, SAMPLE), a, b)


def test_a_phase_has_its_own_rate() -> None:
    truth = truth_of(f"a, {1000 * PAGE}\n\np # udamon: rate=200k\n100\na, 1, 4096, 1\n\nq\n100")
    assert close(truth.pieces(0, SAMPLE), (0, 1000 * PAGE, 1 - math.exp(-1)))
    assert truth.pieces(100 * MS, SAMPLE) == ()


def test_a_stride_above_the_page_is_a_mean_chance() -> None:
    # every 4th of 1000 pages is reached, twice in 5 ms on average
    truth = truth_of(f"# udamon: rate=100k\na, {1000 * PAGE}\n\np\n1\na, 1, {4 * PAGE}, 1")
    assert truth.pieces(0, SAMPLE)[0].chance == pytest.approx((1 - math.exp(-2)) / 4)
    whole = truth_of(f"a, {1000 * PAGE}\n\np\n1\na, 0, {4 * PAGE}, 1")
    assert whole.pieces(0, SAMPLE) == ((0, 1000 * PAGE, 0.25),)


def test_patterns_on_one_region_combine() -> None:
    truth = truth_of(f"a, {9 * PAGE}\n\np\n1\n# udamon: chance=0.5\na, 1, 64, 1\na, 1, 64, 9\na, 1, 64, 0")
    assert truth.pieces(0, SAMPLE) == ((0, 9 * PAGE, 0.875),)


def test_patterns_reach_only_resident_pages() -> None:
    truth = truth_of(f"# udamon: rate=200k\na, {2000 * PAGE} # udamon: resident=50%\n\np\n1\na, 1, 4096, 1")
    assert close(truth.pieces(0, SAMPLE), (0, 1000 * PAGE, 1 - math.exp(-1)))
    assert truth_of("a, 1M # udamon: resident=0\n\np\n1\na, 1, 64, 1").pieces(0, SAMPLE) == ()


def test_weights_of_zero_access_nothing() -> None:
    assert truth_of("a, 1M\nb, 1M\n\np\n1\na, 1, 64, 0\nb, 0, 64, 0").pieces(0, SAMPLE) == ()


def test_sequential_access_moves_and_wraps() -> None:
    # 2000/s x 4096 bytes: 10 pages in 5 ms, through 25 pages
    truth = truth_of(f"# udamon: rate=2000\na, {25 * PAGE}\n\np\n100\na, 0, 4096, 1")
    at = [[(p.start // PAGE, p.end // PAGE) for p in truth.pieces(t * SAMPLE, SAMPLE)] for t in range(4)]
    assert at == [[(0, 10)], [(10, 20)], [(0, 5), (20, 25)], [(5, 15)]]
    assert all(p.chance == 1 for p in truth.pieces(0, SAMPLE))


def test_pages_that_a_window_overlaps_are_inside() -> None:
    truth = truth_of(f"# udamon: rate=2000\na, {25 * PAGE}\n\np\n100\na, 0, 4096, 1")
    assert truth.pieces(MS // 4, SAMPLE) == ((0, 11 * PAGE, 1),)  # from half of page 0 to half of page 10
    late = truth.pieces(8 * MS + MS // 4, SAMPLE)  # from half of page 16 to half of page 26, which is page 1
    assert late == ((0, 2 * PAGE, 1), (16 * PAGE, 25 * PAGE, 1))


def test_a_window_as_long_as_the_region_is_all_of_it() -> None:
    truth = truth_of(f"# udamon: rate=2000\na, {10 * PAGE}\n\np\n100\na, 0, 4096, 1")
    assert truth.pieces(3 * MS, SAMPLE) == ((0, 10 * PAGE, 1),)


def test_cursors_keep_their_place_over_phases_and_rounds() -> None:
    # 10 ms of moving 20 pages, then 10 ms in which the region rests, then again
    truth = truth_of(
        f"# udamon: rate=2000\na, {25 * PAGE}\nb, 4K\n\np\n10\na, 0, 4096, 1\n\nq\n10\nb, 1, 64, 1"
    )
    starts = [truth.segments(t * 10 * MS, SAMPLE).windows[0].cursor / PAGE for t in (0, 2, 4, 6)]
    assert starts == [0, 20, 15, 10]
    assert truth.segments(10 * MS, SAMPLE).windows == ()


def test_a_stated_chance_holds_inside_the_window_and_a_stated_window_slides() -> None:
    truth = truth_of(f"a, {200 * PAGE}\n\np\n60000\na, 0, 4096, 1 # udamon: chance=0.5 window=5% period=20s")
    assert truth.pieces(0, SAMPLE) == ((0, 10 * PAGE, 0.5),)
    assert truth.pieces(5_000 * MS, SAMPLE) == ((50 * PAGE, 60 * PAGE, 0.5),)
    assert truth.pieces(19_500 * MS, SAMPLE) == ((0, 5 * PAGE, 0.5), (195 * PAGE, 200 * PAGE, 0.5))
    assert truth.pieces(25_000 * MS, SAMPLE) == ((50 * PAGE, 60 * PAGE, 0.5),)


def test_a_window_over_a_region_that_is_accessed_anyway() -> None:
    truth = truth_of(
        f"a, {20 * PAGE}\n\np\n60000\na, 0, 4096, 1 # udamon: chance=0.5 window=25% period=20s\n"
        "a, 1, 4096, 1 # udamon: chance=0.5"
    )
    assert truth.pieces(2_000 * MS, SAMPLE) == (
        (0, 2 * PAGE, 0.5), (2 * PAGE, 7 * PAGE, 0.75), (7 * PAGE, 20 * PAGE, 0.5),
    )  # fmt: skip


def test_phases_repeat() -> None:
    truth = truth_of(
        "a, 4K\nb, 4K\n\n# udamon: chance=1\np\n10\na, 1, 64, 1\n\n# udamon: chance=1\nq\n5\nb, 1, 64, 1"
    )
    hot = [truth.pieces(t * MS, SAMPLE)[0].start // PAGE for t in (0, 9, 10, 14, 15, 24, 25, 1500, 1511)]
    assert hot == [0, 0, 1, 1, 0, 0, 1, 0, 1]
    assert truth.moment(26 * MS) == (1, 1, 25 * MS, 30 * MS)


# Aggregations


def test_a_still_phase_over_an_aggregation() -> None:
    truth = truth_of("a, 4K\n\np\n1000\na, 1, 64, 1 # udamon: chance=0.25")
    assert truth.expected(0, 20, SAMPLE) == ((0, PAGE, 0.25, 1 - 0.75**20),)
    assert truth.expected(200 * MS, 20, SAMPLE) is truth.expected(700 * MS, 20, SAMPLE)


def test_an_aggregation_over_the_end_of_a_phase() -> None:
    # ticks at 0, 5, 10, 15 ms: the first three begin in p
    truth = truth_of(
        "a, 4K\nb, 4K\n\n# udamon: chance=0.5\np\n12\na, 1, 64, 1\n\n# udamon: chance=1\nq\n988\nb, 1, 64, 1"
    )
    assert truth.expected(0, 4, SAMPLE) == ((0, PAGE, 0.375, 0.875), (PAGE, 2 * PAGE, 0.25, 1.0))


def test_an_aggregation_of_a_moving_window() -> None:
    # a window of 2 pages moves by 1 page a tick: 0-2, 1-3, 2-4
    truth = truth_of(f"a, {100 * PAGE}\n\np\n9000\na, 0, 64, 1 # udamon: chance=0.5 window=2% period=500ms")
    edge, middle = (0.5 / 3, 0.5), (1 / 3, 0.75)
    assert close(
        truth.expected(0, 3, SAMPLE),
        (0, PAGE, *edge),
        (PAGE, 3 * PAGE, *middle),
        (3 * PAGE, 4 * PAGE, *edge),
    )


def test_combine_and_join() -> None:
    layers = [Layer([[PatternPiece(0, 4, 0.5)], [PatternPiece(2, 6, 0.5)]], 1), Layer([[]], 3)]
    assert combine(layers) == [(0, 2, 0.125, 0.5), (2, 4, 0.1875, 0.75), (4, 6, 0.125, 0.5)]
    assert combine([]) == []
    assert join([PatternPiece(0, 1, 0.5), PatternPiece(1, 2, 0.5), PatternPiece(3, 4, 0.5)]) == (
        (0, 2, 0.5),
        (3, 4, 0.5),
    )


def test_segments_are_the_pieces_in_arrays() -> None:
    truth = truth_of(
        "a, 4K\nb, 8K\n\n# udamon: chance=0.5\np\n10\na, 1, 64, 1\nb, 0, 64, 1", "separate", 1 << 30
    )
    segments = truth.segments(13 * MS, SAMPLE)
    assert list(zip(segments.starts, segments.ends, segments.chances, strict=True)) == list(
        truth.pieces(0, SAMPLE)
    )
    assert (segments.begin_ns, segments.end_ns) == (10 * MS, 20 * MS)


def test_region_chances_are_means_over_place_and_time() -> None:
    truth = truth_of(
        f"a, {200 * PAGE}\nb, 1M # udamon: resident=1%\nc, 1M\n\np\n60000\n"
        "a, 0, 4096, 1 # udamon: chance=0.5 window=50% period=20s\nb, 1, 64, 1 # udamon: chance=0.97"
    )
    assert truth.region_chances(0, SAMPLE) == pytest.approx([0.25, 0.97, 0])


def test_four_thousand_blocks_cost_nothing_once_known() -> None:
    names = range(4096)
    text = (
        "".join(f"b{i}, 2M\n" for i in names)
        + "\np\n60000\n"
        + "".join(f"b{i}, 1, 64, {i + 1}\n" for i in names)
    )
    truth = truth_of(text)
    first = truth.expected(0, 20, SAMPLE)
    assert len(first) == 4096
    assert all(truth.expected(i * 100 * MS, 20, SAMPLE) is first for i in range(200))
