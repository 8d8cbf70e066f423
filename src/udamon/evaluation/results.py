"""What an evaluation gave: its scores, its key figures, and the document that `eval --json` prints."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from udamon.core.attrs import Attrs
from udamon.evaluation.bound import Bounded, Island
from udamon.evaluation.score import Score
from udamon.evaluation.statistics import far_percentile, percentile

FOUND = 0.9
"""F1 from which on a workload counts as found."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A snapshot's score at `t` seconds, after `checks` checks in all, with `regions` regions: of the bytes of all
    targets, and of each of the `targets`. `bound`, where that was asked for: what F1 could be."""

    t: float
    checks: int
    regions: int
    score: Score
    targets: tuple[Score, ...] = ()
    bound: Bounded | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All of one run.

    `budget` is the checks per aggregation that the policy was given, None where it chose by itself.
    `policy_cpu_share` is the policy's CPU time over the simulated time. `age_err` is the share of bytes whose
    age was wrong at the end; `moved_reset_share` that of the bytes that moved whose age said so a second later,
    None where nothing moved. `islands` are those that were hot at the end, where the bound was asked for.
    """

    policy: str
    seed: int
    attrs: Attrs
    scored: list[Scored]
    policy_cpu_share: float
    age_err: float
    budget: int | None = None
    moved_reset_share: float | None = None
    islands: Sequence[Island] = ()

    def summary(self) -> dict[str, float | int | bool | None]:
        """The key figures of `udamon eval` by their names there: f1_mean, t_f1_90 (seconds), wss_err_p50, …

        Means and percentiles are over all snapshots (the 90th of 20 or more); a time is None where F1 0.9 was never
        reached. Of several targets they are of the bytes of all; `each_target` has those of each.
        """
        errors = [s.score.wss_error for s in self.scored]
        found = reached(self, FOUND)
        return {
            "f1_mean": mean_f1(self),
            "t_f1_90": found.t if found else None,
            "checks_f1_90": found.checks if found else None,
            "settled_checks_per_second": settled_checks(self),
            "wss_err_p50": percentile(errors, 50),
            "wss_err_p90": far_percentile(errors, 90),
            "wss_within": self.wss_within,
            "wss_margin_p50": percentile(self.wss_margins, 50),
            "age_err": self.age_err,
            "moved_reset_share": self.moved_reset_share,
            "policy_cpu_share": self.policy_cpu_share,
            "bound_5s": self.bound_at(5),
            "bound_30s": self.bound_at(30),
            "bound_proved": all(s.bound.proved for s in self.scored if s.bound) if self.bounded else None,
        }

    @property
    def wss_within(self) -> float | None:
        """Share of the snapshots in which the bounds of the working set contain the truth; None without bounds."""
        found = [within for s in self.scored if (within := s.score.wss_within) is not None]
        return sum(found) / len(found) if found else None

    @property
    def wss_margins(self) -> list[float]:
        """Half of what is between the bounds of the working set, as shares of the truth, where there are both."""
        return [margin for s in self.scored if (margin := s.score.wss_margin) is not None]

    @property
    def bounded(self) -> bool:
        """Whether the bound was asked for."""
        return any(s.bound is not None for s in self.scored)

    def bound_at(self, seconds: float) -> float | None:
        """What F1 could be at most then; None where that was not asked for, or the run was shorter."""
        then = [s for s in self.scored if s.t <= seconds + 1e-9]
        if not then or self.scored[-1].t < seconds - 1e-9:
            return None
        bound = then[-1].bound
        return None if bound is None else bound.f1

    def each_target(self) -> list[dict[str, float | None]]:
        """Of each target: `f1`, the mean over all snapshots, `wss_err_p50` and `wss_err_p90`."""
        return [
            {
                "f1": sum(score.f1 for score in scores) / len(scores),
                "wss_err_p50": percentile([score.wss_error for score in scores], 50),
                "wss_err_p90": far_percentile([score.wss_error for score in scores], 90),
            }
            for scores in zip(*(s.targets for s in self.scored), strict=True)
        ]


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


def document(
    workloads: Sequence[str], evaluation: Evaluation, *, together: bool = False
) -> dict[str, object]:
    """The JSON document of one policy and seed (docs/commands.md); `together`: with what it says of each target."""
    summary: dict[str, object] = {**evaluation.summary()}
    if evaluation.bounded:
        summary["islands"] = _islands(evaluation.islands)
    if together:
        named = zip(workloads, evaluation.each_target(), strict=True)
        summary["targets"] = [{"workload": name, **figures} for name, figures in named]
    return {
        "schema": 1,
        "workload": ", ".join(workloads),
        "policy": evaluation.policy,
        "seed": evaluation.seed,
        "checks_per_aggregation": evaluation.budget,
        "attrs": evaluation.attrs.as_dict(),
        "snapshots": list(_snapshots(evaluation.scored, together=together)),
        "summary": summary,
    }


def _snapshots(scored: Sequence[Scored], *, together: bool) -> Iterator[dict[str, object]]:
    errors: list[list[float]] = [[] for _ in scored[0].targets] if scored else []
    for s in scored:
        found: dict[str, object] = {
            "t": s.t, "checks": s.checks, "regions": s.regions, **asdict(s.score),
        }  # fmt: skip
        if s.bound is not None:
            found["bound"], found["checks_since_change"] = s.bound.f1, s.bound.checks
        if together:
            for score, so_far in zip(s.targets, errors, strict=True):
                insort(so_far, score.wss_error)
            found["targets"] = [
                {"f1": score.f1, "wss_err": score.wss_error, "wss_err_p50": percentile(so_far, 50)}
                for score, so_far in zip(s.targets, errors, strict=True)
            ]
        yield found


def _islands(found: Sequence[Island]) -> dict[str, float | None]:
    sizes, chances = sorted(island.size for island in found), [island.chance for island in found]
    return {
        "count": len(sizes),
        "smallest_bytes": min(sizes, default=None),
        "median_bytes": percentile(sizes, 50),
        "largest_bytes": max(sizes, default=None),
        "least_chance": min(chances, default=None),
        "largest_chance": max(chances, default=None),
    }
