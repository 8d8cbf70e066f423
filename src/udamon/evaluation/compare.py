"""Evaluations side by side: at the same time, at the same number of checks, and to the same F1."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from udamon.evaluation.run import Evaluation, Scored

ENOUGH = 0.95
"""Whatever the other policy found, more than this need not be reached."""


class Spread(NamedTuple):
    """What several seeds gave."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float | None]) -> Spread | None:
    """Median, smallest and largest. A seed without a value (never reached) counts as endless; None when the
    median is that, too."""
    known = [float("inf") if value is None else value for value in values]
    if not known or median(known) == float("inf"):
        return None
    return Spread(median(known), min(known), max(known))


def at(evaluation: Evaluation, seconds: float) -> Scored | None:
    """The snapshot whose window ended last by `seconds`; None when none had."""
    by_then = [s for s in evaluation.scored if s.t <= seconds + 1e-9]
    return by_then[-1] if by_then else None


def f1_after(evaluation: Evaluation, checks: float) -> float | None:
    """F1 when `checks` checks were made, linear between two snapshots; None before the first one and after
    the last."""
    before: Scored | None = None
    for scored in evaluation.scored:
        if scored.checks == checks:
            return scored.score.f1
        if scored.checks > checks:
            if before is None:
                return None
            part = (checks - before.checks) / (scored.checks - before.checks)
            return before.score.f1 + part * (scored.score.f1 - before.score.f1)
        before = scored
    return None


def reached(evaluation: Evaluation, level: float) -> Scored | None:
    """The first snapshot with an F1 of at least `level`; None when there is none."""
    return next((s for s in evaluation.scored if s.score.f1 >= level), None)


def level_of(evaluation: Evaluation, seconds: float | None = None) -> float:
    """The F1 that a policy is measured by which is compared with this one: what this has at `seconds` (None:
    at the end), or ENOUGH where that is less."""
    last = evaluation.scored[-1] if seconds is None else at(evaluation, seconds)
    return min(last.score.f1, ENOUGH) if last else 0.0


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
