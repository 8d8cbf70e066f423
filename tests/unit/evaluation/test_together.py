"""Several workloads as targets of one context: what is said of all of them, and of each."""

from __future__ import annotations

import pytest

from udamon.core.attrs import Attrs
from udamon.evaluation.results import Evaluation, Scored, document
from udamon.evaluation.run import evaluate
from udamon.evaluation.score import Score, Sums, together
from udamon.workload.config import parse
from udamon.workload.layout import place
from udamon.workload.truth import Truth


def test_of_all_targets_the_bytes_count() -> None:
    """90 of 100 hot bytes found in one, none of 10 in the other, whose working set is said to be twice its size."""
    large = Sums(both=90, predicted=90, hot=100, wss=95, wss_truth=100, error=10, covered=900)
    small = Sums(both=0, predicted=0, hot=10, wss=20, wss_truth=10, error=10, covered=100)
    assert small.score().f1 == 0
    assert small.score().wss_error == 1
    found = together([large, small]).score()
    assert found.f1 == pytest.approx(2 * 90 / (90 + 110))
    assert found.recall == pytest.approx(90 / 110)
    assert found.precision == 1
    assert (found.wss_bytes, found.wss_truth_bytes, found.mae) == (115, 110, 0.02)


def test_the_document_tells_of_each_by_its_name() -> None:
    def score(f1: float, wss: int) -> Score:
        return Score(f1, f1, f1, wss, 100, 0.0)

    scored = [
        Scored(0.1, 10, 3, score(0.5, 100), (score(0.6, 110), score(0.0, 400))),
        Scored(0.2, 20, 3, score(0.5, 100), (score(1.0, 100), score(0.5, 100))),
    ]
    run = Evaluation("p", 1, Attrs(), scored, 0.0, 0.0)
    assert "targets" not in str(document(["a"], run))
    made = document(["a", "b"], run, together=True)
    assert made["workload"] == "a, b"
    snapshots, summary = made["snapshots"], made["summary"]
    assert isinstance(snapshots, list)
    assert isinstance(summary, dict)
    assert [t["f1"] for t in snapshots[1]["targets"]] == [1.0, 0.5]
    assert [t["wss_err_p50"] for t in snapshots[1]["targets"]] == pytest.approx([0.05, 1.5])
    assert [(t["workload"], t["f1"]) for t in summary["targets"]] == [("a", 0.8), ("b", 0.25)]
    assert summary["targets"][1]["wss_err_p50"] == pytest.approx(1.5)


@pytest.mark.parametrize("policy", ["damon", "adaptive"])
def test_both_policies_watch_several_workloads(policy: str) -> None:
    """One is hot throughout, the other never: each has its own answer."""
    texts = "a, 4M\n\nonly\n1000\na, 1, 4096, 1 # udamon: chance=1\n", "b, 8M\n\nonly\n1000\n"
    workloads = [parse(text) for text in texts]
    truths = [Truth(workload, place(workload)) for workload in workloads]
    run = evaluate(truths, policy, 1, Attrs(), 10**9)
    hot, cold = run.scored[-1].targets
    assert (hot.f1, cold.f1) == (1, 1)
    assert (hot.wss_bytes, cold.wss_bytes) == (4 << 20, 0)
    assert run.scored[-1].score.wss_bytes == 4 << 20
