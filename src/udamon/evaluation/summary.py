"""An evaluation as the document that `eval --json` prints, and its key figures."""

from __future__ import annotations

from dataclasses import asdict

from udamon.evaluation.compare import mean_f1, reached, settled_checks
from udamon.evaluation.run import Evaluation, Scored
from udamon.evaluation.statistics import percentile

FOUND = 0.9
"""F1 from which on a workload counts as found."""


def document(workload: str, evaluation: Evaluation) -> dict[str, object]:
    """The JSON document of one policy and seed (docs/commands.md)."""
    return {
        "schema": 1,
        "workload": workload,
        "policy": evaluation.policy,
        "seed": evaluation.seed,
        "checks_per_aggregation": evaluation.budget,
        "attrs": evaluation.attrs.as_dict(),
        "snapshots": [_snapshot(s) for s in evaluation.scored],
        "summary": summary(evaluation),
    }


def summary(evaluation: Evaluation) -> dict[str, float | int | None]:
    """Means and percentiles over all snapshots; times in seconds, None where F1 0.9 was never reached."""
    errors = [s.score.wss_error for s in evaluation.scored]
    found = reached(evaluation, FOUND)
    return {
        "f1_mean": mean_f1(evaluation),
        "t_f1_90": found.t if found else None,
        "checks_f1_90": found.checks if found else None,
        "settled_checks_per_second": settled_checks(evaluation),
        "wss_err_p50": percentile(errors, 50),
        "wss_err_p90": percentile(errors, 90),
        "age_err": evaluation.age_err,
        "moved_reset_share": evaluation.moved_reset_share,
        "policy_cpu_share": evaluation.policy_cpu_share,
    }


def _snapshot(s: Scored) -> dict[str, object]:
    return {"t": s.t, "checks": s.checks, "regions": s.regions, **asdict(s.score)}
