"""Scores against truths small enough to work out by hand."""

from __future__ import annotations

from array import array

import pytest

from udamon.core.attrs import Attrs
from udamon.evaluation.ages import Moved, TrueAges
from udamon.evaluation.compare import at
from udamon.evaluation.results import document
from udamon.evaluation.run import evaluate
from udamon.evaluation.score import score
from udamon.evaluation.statistics import percentile
from udamon.model import Snapshot
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.pieces import Expected
from udamon.workload.truth import Truth


def snapshot(*regions: tuple[int, int, int], age: int = 0, seq: int = 0) -> Snapshot:
    """Regions as (start, end, nr_accesses of 20)."""
    return Snapshot(
        target=0, pid=None, seq=seq, begin_ns=seq * 10**8, end_ns=(seq + 1) * 10**8, sample_ns=5_000_000, ticks=20,
        starts=array("Q", [r[0] for r in regions]), ends=array("Q", [r[1] for r in regions]),
        nr_accesses=array("I", [r[2] for r in regions]), ages=array("I", [age] * len(regions)),
        touched=array("Q", [r[1] - r[0] if r[2] else 0 for r in regions]),
    )  # fmt: skip


def test_f1_counts_bytes_on_both_sides() -> None:
    """300 predicted, 400 hot, 200 both: precision 2/3, recall 1/2, F1 400/700."""
    found = score(snapshot((0, 1000, 0), (1000, 1300, 20), (1300, 2000, 9)), [Expected(1100, 1500, 0.5, 1.0)])
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(1 / 2)
    assert found.f1 == pytest.approx(4 / 7)
    # |1-0| on 100, |1-.5| on 200, |.45-.5| on 200, .45 on 500
    assert found.mae == pytest.approx((100 + 100 + 10 + 225) / 2000)
    assert (found.wss_bytes, found.wss_truth_bytes) == (1000, 400)
    assert found.wss_error == pytest.approx(1.5)


def test_f1_of_nothing() -> None:
    assert score(snapshot((0, 1000, 0)), []).f1 == 1
    assert score(snapshot((0, 1000, 20)), []).f1 == 0
    assert score(snapshot((0, 1000, 0)), [Expected(0, 500, 1.0, 1.0)]).f1 == 0
    assert score(snapshot((0, 1000, 0)), []).wss_error == 0
    assert score(snapshot((0, 1000, 1)), []).wss_error == 1


def test_hot_bytes_outside_every_region_count_as_missed() -> None:
    found = score(snapshot((0, 100, 20)), [Expected(0, 100, 1.0, 1.0), Expected(500, 600, 1.0, 1.0)])
    assert (found.precision, found.recall) == (1.0, 0.5)


def followed(first: list[Expected], then: list[Expected]) -> TrueAges:
    """Of bytes 0-100: ten aggregations of each truth."""
    ages = TrueAges(0, 100)
    for seq in range(20):
        ages.follow(first if seq < 10 else then, seq * 10**8)
    return ages


def test_ages_count_from_the_last_change_of_a_byte() -> None:
    """Bytes 0-50 change in aggregation 10; the rest has been the same since 0."""
    ages = followed([], [Expected(0, 50, 1.0, 1.0)])
    right = snapshot((0, 50, 20), (50, 100, 0), seq=19)
    right.ages[0], right.ages[1] = 9, 19
    assert ages.wrong(right) == (0, 100)
    right.ages[0] = 19
    assert ages.wrong(right) == (50, 100)
    right.ages[1] = 10
    assert ages.wrong(right) == (100, 100)


def test_memory_that_comes_to_rest_is_as_old_as_its_rest() -> None:
    """Bytes 0-50 are accessed in a third of the aggregations until number 9, the rest in one of 50: then none is."""
    ages = followed([Expected(0, 50, 0.02, 0.33), Expected(50, 100, 0.001, 0.02)], [])
    now = snapshot((0, 50, 0), (50, 100, 0), seq=19)
    now.ages[0], now.ages[1] = 9, 19
    assert ages.wrong(now) == (0, 100)
    now.ages[0] = 19
    assert ages.wrong(now) == (50, 100)


def test_bytes_that_moved_are_looked_at_a_second_later() -> None:
    """Bytes 0-60 change at 1.0 s; at 2.0 s an age of up to 1.1 s says so of 40 of them."""
    ages = TrueAges(0, 100)
    found = []
    for seq in range(30):
        ages.follow([Expected(0, 60, 1.0, 1.0)] if seq >= 10 else [], seq * 10**8)
        now = snapshot((0, 40, 20), (40, 100, 0), seq=seq)
        now.ages[0], now.ages[1] = 10, 11  # 1.1 and 1.2 s, the aggregation in which they began included
        found.append(ages.moved(now))
    assert {seq: moved for seq, moved in enumerate(found) if moved.bytes} == {19: Moved(60, 40)}
    assert sum(found, Moved()).reset_share == pytest.approx(2 / 3)


def test_bytes_that_moved_again_are_looked_at_after_the_last_time() -> None:
    """Bytes 0-60 change at 1.0 s, 20 of them back at 1.5 s. The start is no change."""
    ages = TrueAges(0, 100)
    found = {}
    for seq in range(40):
        hot = [] if seq < 10 else [Expected(0, 60, 1.0, 1.0)] if seq < 15 else [Expected(20, 60, 1.0, 1.0)]
        ages.follow(hot, seq * 10**8)
        moved = ages.moved(snapshot((0, 100, 0), seq=seq))
        if moved.bytes:
            found[seq] = moved
    assert found == {19: Moved(40, 40), 24: Moved(20, 20)}
    assert Moved().reset_share is None


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (25, 1.75), (50, 2.5), (100, 4)])
def test_percentiles_are_linear(percent: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value
    assert percentile([], percent) is None


CONFIG = """hot, 16M
cold, 240M

only
10000
hot, 1, 4096, 1 # udamon: chance=1.0
"""


def test_an_evaluation_finds_one_block_and_says_what_it_took() -> None:
    workload = parse(CONFIG)
    truth = Truth(workload, place(workload))
    found = evaluate(truth, "damon", 3, Attrs(), 5 * 10**9)
    again = evaluate(truth, "damon", 3, Attrs(), 5 * 10**9)
    assert found.scored == again.scored, "a seed decides everything"
    assert len(found.scored) == 50
    assert [round(s.t, 6) for s in found.scored[:3]] == [0.1, 0.2, 0.3]
    assert found.scored[0].checks == 200
    late = at(found, 4.05)
    assert late is not None
    assert late.t == 4.0
    assert late.score.f1 > 0.95
    doc = document("x", found)
    assert set(doc) == {
        "schema", "workload", "policy", "seed", "checks_per_aggregation", "attrs", "snapshots", "summary",
    }  # fmt: skip
    summary = doc["summary"]
    assert isinstance(summary, dict)
    assert summary["t_f1_90"] <= 2
    assert summary["moved_reset_share"] is None
    assert 0 < summary["policy_cpu_share"] < 1
