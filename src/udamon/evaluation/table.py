"""Evaluations of one workload side by side, for people: a column for each policy, a row for each figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isinf
from statistics import median
from typing import NamedTuple

from udamon.evaluation.compare import at, f1_after, level_of, spread
from udamon.evaluation.results import FOUND, Evaluation, mean_f1, reached, settled_checks
from udamon.evaluation.statistics import far_percentile, percentile
from udamon.text import Shown, lines, ours
from udamon.units import format_size

MOMENTS = (0.5, 1, 2, 5, 10, 30, 60, 300)
"""Seconds at which the table says how much was found."""

CHECKS = (300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
"""Numbers of checks after which it says so."""

REFERENCE = "damon"
"""What this policy has at the end the others are to reach; without it, what the first one has."""

LABEL, COLUMN = 29, 25
NOTHING = "-"

Values = Sequence[float | None]
"""One a seed; None where it was never reached or cannot be said."""

Form = Callable[[float], str]


class FigureColumn(NamedTuple):
    """All seeds of one policy."""

    title: str
    runs: Sequence[Evaluation]


class FigureRow(NamedTuple):
    """A figure, by policy. A row without cells is a heading."""

    label: str
    cells: Sequence[str] = ()


def table(evaluations: Sequence[Evaluation], workloads: Sequence[str] = ()) -> Shown:
    """All figures of evaluations that differ in policy and seed only; at least one. Of several workloads, those of each
    by its name, too."""
    columns = columns_of(evaluations)
    rows = [
        FigureRow("", [column.title for column in columns]),
        *_found(columns),
        *_needed(columns),
        *_right(columns),
        *(_each_target(columns, workloads) if len(workloads) > 1 else ()),
        *_cost(columns),
    ]
    return lines(line for row in rows for line in _lines(row))


def columns_of(evaluations: Sequence[Evaluation]) -> list[FigureColumn]:
    """The policies in the order they were run in, each with its budget where it was given one."""
    columns = []
    for policy in dict.fromkeys(run.policy for run in evaluations):
        runs = [run for run in evaluations if run.policy == policy]
        budget = runs[0].budget
        columns.append(FigureColumn(policy if budget is None else f"{policy} --checks {budget}", runs))
    return columns


def _found(columns: Sequence[FigureColumn]) -> Iterator[FigureRow]:
    yield FigureRow("F1 of hot bytes, by time")
    ends = [run.scored[-1].t for column in columns for run in column.runs]
    for moment in MOMENTS:
        if moment <= min(ends) + 1e-9 and at(columns[0].runs[0], moment):
            yield _row(f"  {moment:g} s", columns, partial(_f1_at, seconds=moment), two_digits)
    yield _row("  mean of all", columns, mean_f1, two_digits)
    if all(run.bounded for column in columns for run in column.runs):
        yield from _bounds(columns, min(ends))
    yield FigureRow("F1 of hot bytes, by checks made")
    for checks in CHECKS:
        row = _row(f"  {count(checks)}", columns, partial(_f1_after, checks=checks), two_digits)
        if any(cell != NOTHING for cell in row.cells):
            yield row


def _bounds(columns: Sequence[FigureColumn], end: float) -> Iterator[FigureRow]:
    """Beside it, from what: checks that could be made since the last change, and regions that were there."""
    yield FigureRow("Bound of F1 (checks since the last change, regions)")
    for moment in MOMENTS:
        if moment <= end + 1e-9 and at(columns[0].runs[0], moment):
            yield FigureRow(f"  {moment:g} s", [_bound_at(column, moment) for column in columns])
    found = columns[0].runs[0].islands
    if found:
        sizes, chances = sorted(one.size for one in found), sorted(one.chance for one in found)
        yield FigureRow(
            f"  at the end {len(sizes):,} islands of {format_size(sizes[0])} to {format_size(sizes[-1])}, median "
            f"{format_size(sizes[len(sizes) // 2])}, accessed with chance {chances[0]:.2f} to {chances[-1]:.2f}"
        )
    if not all(run.summary()["bound_proved"] for column in columns for run in column.runs):
        yield FigureRow(
            "  not proved: something here makes finding harder or easier that it does not count (docs/bound.md)"
        )


def _bound_at(column: FigureColumn, seconds: float) -> str:
    there = [found for run in column.runs if (found := at(run, seconds)) and found.bound]
    bounds = [found.bound for found in there if found.bound]
    f1, checks = median(b.f1 for b in bounds), median(b.checks for b in bounds)
    return f"{two_digits(f1)} ({count(checks)}, {count(median(found.regions for found in there))})"


def _needed(columns: Sequence[FigureColumn]) -> Iterator[FigureRow]:
    yield FigureRow(f"To reach F1 {FOUND:g}")
    levels = [FOUND] * len(columns[0].runs)
    yield from _ways(columns, levels)
    reference = next((c for c in columns if c.runs[0].policy == REFERENCE), columns[0])
    levels = [level_of(run) for run in reference.runs]
    middle = spread(levels)
    if len(columns) > 1 and middle and middle.median > 0:
        name = reference.runs[0].policy
        yield FigureRow(f"To reach F1 {middle.median:.2f}, which {name} has at the end (at most 0.95)")
        yield from _ways(columns, levels)


def _ways(columns: Sequence[FigureColumn], levels: Sequence[float]) -> Iterator[FigureRow]:
    seconds, checks = [], []
    for column in columns:
        found = [reached(run, level) for run, level in zip(column.runs, levels, strict=True)]
        seconds.append(cell([s.t if s else None for s in found], one_digit))
        checks.append(cell([s.checks if s else None for s in found], count))
    yield FigureRow("  seconds", seconds)
    yield FigureRow("  checks", checks)


def _right(columns: Sequence[FigureColumn]) -> Iterator[FigureRow]:
    yield FigureRow("Error of the working set")
    yield _row("  median over snapshots", columns, partial(_wss_error, percent=50), share)
    yield _row("  90th percentile", columns, partial(_wss_error, percent=90), share)
    within = _row("  within its bounds", columns, lambda run: run.wss_within, share)
    if any(cell != NOTHING for cell in within.cells):
        yield within
        yield _row("  median margin of these", columns, lambda run: percentile(run.wss_margins, 50), share)
    yield FigureRow("Ages")
    yield _row("  bytes wrong at the end", columns, lambda run: run.age_err, share)
    moved = _row("  moved and reset within 1 s", columns, lambda run: run.moved_reset_share, share)
    if any(cell != NOTHING for cell in moved.cells):
        yield moved


def _each_target(columns: Sequence[FigureColumn], workloads: Sequence[str]) -> Iterator[FigureRow]:
    figures = [[run.each_target() for run in column.runs] for column in columns]
    forms = {"mean F1": ("f1", two_digits), "error of its working set, median": ("wss_err_p50", share)}
    for title, (figure, form) in forms.items():
        yield FigureRow(f"Each target: {title}")
        for position, name in enumerate(workloads):
            cells = [cell([run[position][figure] for run in runs], form) for runs in figures]
            yield FigureRow(f"  {position}: {name}", cells)


def _cost(columns: Sequence[FigureColumn]) -> Iterator[FigureRow]:
    yield FigureRow("Cost")
    yield _row("  checks", columns, lambda run: run.scored[-1].checks, count)
    yield _row("  checks/s, last half", columns, settled_checks, count)
    yield _row("  regions at the end", columns, lambda run: run.scored[-1].regions, count)
    yield _row("  the policy's own CPU", columns, lambda run: run.policy_cpu_share, fine_share)


def _f1_at(run: Evaluation, seconds: float) -> float | None:
    found = at(run, seconds)
    return found.score.f1 if found else None


def _f1_after(run: Evaluation, checks: float) -> float | None:
    return f1_after(run, checks)


def _wss_error(run: Evaluation, percent: float) -> float | None:
    of = percentile if percent == 50 else far_percentile
    return of([s.score.wss_error for s in run.scored], percent)


def _row(
    label: str, columns: Sequence[FigureColumn], figure: Callable[[Evaluation], float | None], form: Form
) -> FigureRow:
    """A figure that can be said of a policy only where all seeds have it."""
    cells = []
    for column in columns:
        values = [figure(run) for run in column.runs]
        cells.append(NOTHING if None in values else cell(values, form))
    return FigureRow(label, cells)


def cell(values: Values, form: Form) -> str:
    """The median, with the smallest and the largest where they differ. None counts as never reached."""
    found = spread(values)
    if found is None:
        return "never"
    middle, low, high = ("never" if isinf(value) else form(value) for value in found)
    return middle if low == high else f"{middle} ({low}{ours('–')}{high})"


def two_digits(value: float) -> str:
    """With two digits behind the point."""
    return f"{value:.2f}"


def one_digit(value: float) -> str:
    """With one digit behind the point."""
    return f"{value:.1f}"


def count(value: float) -> str:
    """In full below 10,000, else in thousands."""
    if value >= 10_000:
        return f"{value / 1000:,.1f}k" if value < 100_000 and value % 1000 else f"{value / 1000:,.0f}k"
    return f"{value:,.0f}"


def share(value: float) -> str:
    """As percent with one digit."""
    return f"{value:.1%}"


def fine_share(value: float) -> str:
    """As percent with two digits."""
    return f"{value:.2%}"


def _lines(row: FigureRow) -> list[str]:
    if not row.cells:
        return ["", row.label] if row.label else [""]
    return [(row.label.ljust(LABEL) + "".join(cell.ljust(COLUMN) for cell in row.cells)).rstrip()]
