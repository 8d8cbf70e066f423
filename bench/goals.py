"""What policy `adaptive` must show in simulation, goal by goal, with the kernel's algorithm beside it.

python -m bench goals                          all of it, as a figure
python -m bench.goals [GROUP…]                 all, or the named groups, printed as they are ready
python -m bench.goals many sweep --seeds 1     one seed, for a quick look
python -m bench.goals --list                   the groups

At 5 ms / 100 ms and 10 to 1000 regions. Cells are medians over seeds, with the smallest and the largest value.
Everything is judged by the median.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from math import exp, log
from typing import NamedTuple

from bench.figures import Figure
from bench.runs import ATTRS, Lab, Run, configure
from udamon.core.policies import POLICIES
from udamon.evaluation.compare import Spread, at, level_of, spread
from udamon.evaluation.results import Evaluation, mean_f1, reached, settled_checks
from udamon.evaluation.statistics import percentile
from udamon.evaluation.table import cell as cell_of

KERNEL, OURS = "damon", "adaptive"
SEEDS = (1, 2, 3, 4, 5)

BUDGETS = {
    "one": 300, "many": 1000, "fine": 10_000, "zipf": 2000, "shifting": 1000, "cold": 1000, "tiny": 1000,
    "sparse": 1000,
}  # fmt: skip
"""Checks per aggregation that a shape's goals are stated for; 300 and 1000 where nothing is stated."""

STATIONARY = ("one", "many", "fine", "zipf", "cold", "tiny", "sparse")
COMPARED_AT = 10
"""Seconds after which the kernel's algorithm has what ours is to reach with fewer checks."""

WORTH_REACHING = 0.2
"""F1 of the kernel's algorithm from which on a shape is in the mean of the checks that are needed."""

NEVER = 10.0
"""The ratio of checks that counts where ours never reaches it."""


class Line(NamedTuple):
    """One goal. `holds` is None where nothing can be said."""

    what: str
    goal: str
    kernel: str
    ours: str
    holds: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "-", True: "holds", False: "falls short"}[self.holds]


Figures = Sequence[float | None] | None
"""One a seed (None: never), or None where there is no such policy."""


def cell(values: Figures, form: str) -> str:
    """Median, smallest and largest; `-` where there is no such policy."""
    return "-" if values is None else cell_of(values, form.format)


def least(what: str, goal: float, kernel: Figures, ours: Figures, form: str = "{:.2f}") -> Line:
    """Ours must be `goal` at least."""
    middle = _middle(ours)
    return _line(
        what, f"≥ {form.format(goal)}", kernel, ours, form, None if middle is None else middle >= goal
    )


def most(what: str, goal: float, kernel: Figures, ours: Figures, form: str) -> Line:
    """Ours must be `goal` at most."""
    middle = _middle(ours)
    return _line(
        what, f"≤ {form.format(goal)}", kernel, ours, form, None if middle is None else middle <= goal
    )


def _middle(values: Figures) -> float | None:
    if values is None:
        return None
    found: Spread | None = spread(values)
    return float("nan") if found is None else found.median  # never reached: holds for nothing


def _line(what: str, goal: str, kernel: Figures, ours: Figures, form: str, holds: bool | None) -> Line:
    return Line(what, goal, cell(kernel, form), cell(ours, form), holds)


# What a run says


def f1_at(seconds: float) -> Callable[[Evaluation], float | None]:
    def figure(run: Evaluation) -> float | None:
        found = at(run, seconds)
        return found.score.f1 if found else None

    return figure


def wss_error(percent: float) -> Callable[[Evaluation], float | None]:
    return lambda run: percentile([s.score.wss_error for s in run.scored], percent)


def last_half_f1(run: Evaluation) -> float:
    """The lowest F1 of the last half."""
    return min(s.score.f1 for s in run.scored[len(run.scored) // 2 :])


def right_ages(run: Evaluation) -> float:
    return 1 - run.age_err


def cpu(run: Evaluation) -> float:
    return run.policy_cpu_share


class Pair(NamedTuple):
    """The kernel's algorithm and ours on one shape, one run a seed; None where there is no such policy."""

    kernel: list[Evaluation] | None
    ours: list[Evaluation] | None

    def of(self, figure: Callable[[Evaluation], float | None]) -> tuple[Figures, Figures]:
        kernel, ours = (None if runs is None else [figure(run) for run in runs] for runs in self)
        return kernel, ours


def kernel_run(shape: str) -> Run:
    return Run(shape, KERNEL)


def our_run(shape: str, checks: int | None = None, seconds: float = 60) -> Run:
    return Run(shape, OURS, BUDGETS[shape] if checks is None else checks, seconds)


def pair(lab: Lab, shape: str, checks: int | None = None, seconds: float = 60) -> Pair:
    return Pair(lab.results(kernel_run(shape)), lab.results(our_run(shape, checks, seconds)))


# The goals


def many(lab: Lab) -> Iterator[Line]:
    for checks, length, goals in (
        (1000, 60, {0.5: 0.93, 1: 0.98, 2: 0.99}),
        (300, COMPARED_AT, {2: 0.85, 5: 0.97}),
    ):
        runs = pair(lab, "many", checks, length)
        for seconds, goal in goals.items():
            yield least(f"many, {checks} checks: F1 at {seconds:g} s", goal, *runs.of(f1_at(seconds)))


def fine(lab: Lab) -> Iterator[Line]:
    for checks, length, goals in ((10_000, 60, {1: 0.93, 2: 0.98}), (2000, COMPARED_AT, {10: 0.85})):
        runs = pair(lab, "fine", checks, length)
        for seconds, goal in goals.items():
            yield least(f"fine, {checks} checks: F1 at {seconds:g} s", goal, *runs.of(f1_at(seconds)))


def zipf(lab: Lab) -> Iterator[Line]:
    yield least("zipf, 2000 checks: F1 at 2 s", 0.88, *pair(lab, "zipf").of(f1_at(2)))


def one(lab: Lab) -> Iterator[Line]:
    def seconds(run: Evaluation) -> float | None:
        found = reached(run, 0.95)
        return found.t if found else None

    def checks(run: Evaluation) -> float | None:
        found = reached(run, 0.95)
        return found.checks if found else None

    runs = pair(lab, "one")
    for what, figure, strictly, form in (
        ("time", seconds, False, "{:.1f} s"),
        ("checks", checks, True, "{:,.0f}"),
    ):
        kernel, ours = runs.of(figure)
        theirs, own = _middle(kernel), _middle(ours)
        holds = None if theirs is None or own is None else own < theirs if strictly else own <= theirs
        goal = "fewer" if strictly else "not later"
        yield _line(f"one, {BUDGETS['one']} checks: {what} to F1 0.95", goal, kernel, ours, form, holds)


def shifting(lab: Lab) -> Iterator[Line]:
    yield least("shifting, 1000 checks: mean F1", 0.92, *pair(lab, "shifting").of(mean_f1))


def sweep(lab: Lab) -> Iterator[Line]:
    """As many checks per aggregation as the kernel's algorithm made, on the median."""
    kernel = lab.results(kernel_run("sweep"))
    if kernel is None:
        return
    made = spread([run.scored[-1].checks / len(run.scored) for run in kernel])
    checks = round(made.median) if made else 0
    runs = Pair(kernel, lab.results(our_run("sweep", checks)))
    yield least(f"sweep, {checks} checks, as many as damon: mean F1", 0.92, *runs.of(mean_f1))


def settled(lab: Lab) -> Iterator[Line]:
    for shape in ("cold", "tiny"):
        runs = pair(lab, shape)
        yield most(f"{shape}: checks/s in the last half", 2000, *runs.of(settled_checks), "{:,.0f}")
        yield least(f"{shape}: lowest F1 in the last half", 1, *runs.of(last_half_f1))


def sparse(lab: Lab) -> Iterator[Line]:
    """The CPU of 8 GiB is that of `many` with as many checks."""
    runs, usual = pair(lab, "sparse"), pair(lab, "many")
    yield least("sparse, 1000 checks: F1 at 10 s", 0.9, *runs.of(f1_at(10)))
    kernel, ours = map(_cpu_ratios, runs, usual)
    yield most("sparse: the policy's CPU, times that on many", 1.1, kernel, ours, "{:.2f}")


def _cpu_ratios(runs: list[Evaluation] | None, usual: list[Evaluation] | None) -> Figures:
    if runs is None or usual is None:
        return None
    return [cpu(run) / cpu(other) for run, other in zip(runs, usual, strict=True)]


def checks(lab: Lab) -> Iterator[Line]:
    """Checks to reach what the kernel's algorithm has after 10 s (at most 0.95), as a share of its own."""
    for budget in (None, 300, 1000):
        medians = []
        for shape in STATIONARY:
            kernel = lab.results(kernel_run(shape)) or []
            level = spread([level_of(run, COMPARED_AT) for run in kernel])
            if level is None or level.median < WORTH_REACHING:
                if budget is None:
                    found_f1 = f"F1 {level.median:.2f}" if level else "-"
                    yield Line(f"  {shape}: not in the mean", "", found_f1, "")
                continue
            ours = lab.results(our_run(shape, budget))
            ratios = None if ours is None else [_needed(*runs) for runs in zip(kernel, ours, strict=True)]
            used = [found.checks for run in kernel if (found := reached(run, level_of(run, COMPARED_AT)))]
            words = BUDGETS[shape] if budget is None else budget
            kernel_cell = cell(used, "{:,.0f}")
            yield Line(
                f"  {shape}, {words} checks: share of damon's", "", kernel_cell, cell(ratios, "{:.3f}")
            )
            middle = _middle(ratios)
            if middle is not None:
                medians.append(middle)
        given = f"{budget} checks" if budget else "goals' checks"
        what = f"checks to damon's F1 at 10 s, geometric mean, {given}"
        mean = exp(sum(map(log, medians)) / len(medians)) if medians else None
        holds = None if mean is None else mean <= 0.1
        yield Line(what, "≤ 0.1", "1", "-" if mean is None else f"{mean:.3f}", holds)


def _needed(kernel: Evaluation, ours: Evaluation) -> float:
    """Checks that ours needed over those of the kernel's algorithm, to what that has at the end."""
    level = level_of(kernel, COMPARED_AT)
    theirs, own = reached(kernel, level), reached(ours, level)
    return own.checks / theirs.checks if own and theirs else NEVER


def ages(lab: Lab) -> Iterator[Line]:
    for shape in STATIONARY:
        runs = pair(lab, shape)
        yield least(f"{shape}: bytes with the right age after 60 s", 0.95, *runs.of(right_ages), "{:.1%}")
    runs = pair(lab, "shifting")
    reset = runs.of(lambda run: run.moved_reset_share)
    yield least("shifting: bytes that moved and say so within 1 s", 0.9, *reset, "{:.1%}")


def wss(lab: Lab) -> Iterator[Line]:
    for shape in ("one", "many", "zipf"):
        runs = pair(lab, shape)
        for percent, goal in ((50, 0.05), (90, 0.1)):
            name = "median" if percent == 50 else "p90"
            yield most(
                f"{shape}, {BUDGETS[shape]} checks: error of the working set, {name}",
                goal,
                *runs.of(wss_error(percent)),
                "{:.1%}",
            )


def policy_cpu(lab: Lab) -> Iterator[Line]:
    for shape, goal in (("many", 0.02), ("shifting", 0.02), ("sparse", 0.02), ("fine", 0.05)):
        what = f"{shape}, {BUDGETS[shape]} checks: policy's CPU, of the time"
        yield most(what, goal, *pair(lab, shape).of(cpu), "{:.2%}")


class Group(NamedTuple):
    """`runs` are what its lines need, as far as it is known before."""

    lines: Callable[[Lab], Iterator[Line]]
    runs: Sequence[Run]


def _both(*shapes: str) -> list[Run]:
    return [run for shape in shapes for run in (kernel_run(shape), our_run(shape))]


GROUPS = {
    "many": Group(many, [*_both("many"), our_run("many", 300, COMPARED_AT)]),
    "fine": Group(fine, [*_both("fine"), our_run("fine", 2000, COMPARED_AT)]),
    "zipf": Group(zipf, _both("zipf")),
    "one": Group(one, _both("one")),
    "shifting": Group(shifting, _both("shifting")),
    "sweep": Group(sweep, [kernel_run("sweep")]),
    "settled": Group(settled, _both("cold", "tiny")),
    "sparse": Group(sparse, _both("sparse", "many")),
    "checks": Group(checks, [*_both(*STATIONARY)]),
    "ages": Group(ages, _both(*STATIONARY, "shifting")),
    "wss": Group(wss, _both("one", "many", "zipf")),
    "cpu": Group(policy_cpu, _both("many", "shifting", "sparse", "fine")),
}
HEAD = ("goal of adaptive", "goal", KERNEL, OURS, "")
WIDTHS = (56, 9, 25, 25, 11)


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        lines = [line for _, line in _lines(lab, list(GROUPS))]
    return [Figure("Goals of policy adaptive, in simulation", HEAD, [_cells(line) for line in lines], NOTE)]


NOTE = (
    f"Medians of {len(SEEDS)} seeds (smallest–largest), 60 s at {ATTRS.sample_us // 1000} ms / "
    f"{ATTRS.aggr_us // 1000} ms, at most {ATTRS.max_nr_regions} regions. Working set: over all snapshots, those "
    "at the start too. CPU of the policy is that of all its steps."
)


def _lines(lab: Lab, groups: Sequence[str]) -> Iterator[tuple[str, Line]]:
    for name in groups:
        lab.start(GROUPS[name].runs)
    for name in groups:
        for line in GROUPS[name].lines(lab):
            yield name, line


def _cells(line: Line) -> list[str]:
    return [line.what.strip(), line.goal, line.kernel, line.ours, line.verdict if line.goal else ""]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.goals", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    configure(parser, "1-5")
    parser.add_argument("--list", action="store_true", help="say what groups there are")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(GROUPS))
        return 0
    if unknown := set(args.groups) - GROUPS.keys():
        parser.error(f"there is no group {', '.join(sorted(unknown))}; --list shows them")
    begin = time.monotonic()
    print(_row(HEAD))
    short = 0
    with Lab.of(args) as lab:
        for _, line in _lines(lab, args.groups or list(GROUPS)):
            indent = "  " if line.what.startswith(" ") else ""
            what, *rest = _cells(line)
            print(_row([indent + what, *rest]), flush=True)
            short += line.holds is False
    missing = "" if OURS in POLICIES else f" There is no policy {OURS} yet."
    print(f"{short} fall short.{missing} Took {time.monotonic() - begin:.0f} s.")
    return 1 if short else 0


def _row(cells: Sequence[str]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(cells, WIDTHS, strict=True)).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
