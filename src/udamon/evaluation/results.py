"""What an evaluation gave: its scores, its key figures, and the document that `eval --json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from udamon.core.attrs import Attrs
from udamon.evaluation.score import Score
from udamon.evaluation.statistics import percentile

FOUND = 0.9
"""F1 from which on a workload counts as found."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A snapshot's score at `t` seconds, after `checks` checks in all, with `regions` regions."""

    t: float
    checks: int
    regions: int
    score: Score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All of one run.

    `budget` is the checks per aggregation that the policy was given, None where it chose by itself.
    `policy_cpu_share` is the policy's CPU time over the simulated time. `age_err` is the share of bytes whose
    age was wrong at the end; `moved_reset_share` that of the bytes that moved whose age said so a second later,
    None where nothing moved.
    """

    policy: str
    seed: int
    attrs: Attrs
    scored: list[Scored]
    policy_cpu_share: float
    age_err: float
    budget: int | None = None
    moved_reset_share: float | None = None

    def summary(self) -> dict[str, float | int | None]:
        """The key figures of `udamon eval` by their names there: f1_mean, t_f1_90 (seconds), wss_err_p50, …

        Means and percentiles are over all snapshots; a time is None where F1 0.9 was never reached.
        """
        errors = [s.score.wss_error for s in self.scored]
        found = reached(self, FOUND)
        return {
            "f1_mean": mean_f1(self),
            "t_f1_90": found.t if found else None,
            "checks_f1_90": found.checks if found else None,
            "settled_checks_per_second": settled_checks(self),
            "wss_err_p50": percentile(errors, 50),
            "wss_err_p90": percentile(errors, 90),
            "age_err": self.age_err,
            "moved_reset_share": self.moved_reset_share,
            "policy_cpu_share": self.policy_cpu_share,
        }


def reached(evaluation: Evaluation, level: float) -> Scored | None:
    """The first snapshot with an F1 of at least `level`; None when there is none."""
    return next((s for s in evaluation.scored if s.score.f1 >= level), None)


def mean_f1(evaluation: Evaluation) -> float | None:
    """Over all snapshots; None when there is none."""
    scored = evaluation.scored
    return sum(s.score.f1 for s in scored) / len(scored) if scored else None


def settled_checks(evaluation: Evaluation) -> float | None:
    """Checks per second of simulated time in the last half of the snapshots; None for fewer than two."""
    scored = evaluation.scored
    if len(scored) < 2:
        return None
    first, last = scored[(len(scored) - 1) // 2], scored[-1]
    return (last.checks - first.checks) / (last.t - first.t)


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
        "summary": evaluation.summary(),
    }


def _snapshot(s: Scored) -> dict[str, object]:
    return {"t": s.t, "checks": s.checks, "regions": s.regions, **asdict(s.score)}
