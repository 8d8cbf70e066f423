"""An evaluation with an intervals goal tunes as a monitor would."""

from __future__ import annotations

from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.evaluation.run import evaluate
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth


def test_where_nothing_is_accessed_windows_become_longer() -> None:
    """Nothing of 4 % is a score of 0: every third aggregation, both intervals double, up to the longest."""
    workload = parse("a, 40M\n\nidle\n60000\n")
    goal = IntervalsGoal(access_bp=400, aggrs=3, min_sample_us=5_000, max_sample_us=20_000)
    truth = Truth(workload, place(workload))
    run = evaluate(truth, "damon", 1, Attrs(5_000, 100_000, goal=goal), 10**10)
    ends = [scored.t for scored in run.scored]
    lengths = [round(b - a, 3) for a, b in zip([0.0, *ends], ends, strict=False)]
    assert lengths[:9] == [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4]
    assert set(lengths[9:]) == {0.4}
