"""Evaluations side by side: at the same time, at the same number of checks, and to the same F1."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import NamedTuple

from udamon.evaluation.results import Evaluation, Scored

ENOUGH = 0.95
"""F1 that counts as reached, even where the other policy reaches more."""


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


def level_of(evaluation: Evaluation, seconds: float | None = None) -> float:
    """The F1 that a policy is measured by which is compared with this one: what this has at `seconds` (None:
    at the end), or ENOUGH where that is less."""
    last = evaluation.scored[-1] if seconds is None else at(evaluation, seconds)
    return min(last.score.f1, ENOUGH) if last else 0.0
