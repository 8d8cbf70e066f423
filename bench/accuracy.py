"""Accuracy of the region policies against the truth, by time."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from bench.figures import Figure
from bench.runs import Lab, Run
from bench.shapes import SHAPES
from udamon.core.policies import POLICIES
from udamon.evaluation.compare import at
from udamon.evaluation.results import Evaluation
from udamon.evaluation.run import UNBUDGETED

MOMENTS = (0.5, 1, 2, 5, 10)
SEEDS = range(1, 6)


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        runs = {
            policy: [Run(shape, policy, None, MOMENTS[-1]) for shape in SHAPES] for policy in sorted(POLICIES)
        }
        lab.start(run for own in runs.values() for run in own)
        return [_figure(lab, policy, own) for policy, own in runs.items()]


def _figure(lab: Lab, policy: str, runs: Sequence[Run]) -> Figure:
    rows = []
    for run in runs:
        found = lab.results(run) or []
        rows.append([run.shape, *(_cell(found, moment) for moment in MOMENTS), _wss(found), _age(found)])
    head = ("shape", *(f"{moment:g} s" for moment in MOMENTS), "WSS error", "wrong age")
    budget = "" if policy in UNBUDGETED else ", at most 1000 checks an aggregation"
    note = (
        f"F1 of hot bytes in the snapshot that ended by then (thousands of checks made), medians of "
        f"{len(SEEDS)} seeds; 5 ms / 100 ms, 10 to 1000 regions{budget}. WSS error: median over all snapshots. "
        "Wrong age: share of the bytes whose age is off at the end."
    )
    return Figure(f"Accuracy of policy {policy}", head, rows, note)


def _cell(runs: list[Evaluation], moment: float) -> str:
    found = [scored for scored in (at(run, moment) for run in runs) if scored is not None]
    f1 = median(scored.score.f1 for scored in found)
    return f"{f1:.2f} ({median(scored.checks for scored in found) / 1000:.1f})"


def _wss(runs: list[Evaluation]) -> str:
    return f"{median(scored.score.wss_error for run in runs for scored in run.scored):.1%}"


def _age(runs: list[Evaluation]) -> str:
    return f"{median(run.age_err for run in runs):.0%}"
