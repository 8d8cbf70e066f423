"""How results of policy adaptive move when each of its parameters is halved and doubled.

python -m bench sensitivity                               all of them, as a figure
python -m bench.sensitivity [PARAMETER…] [--seeds 1-3]    some of them
python -m bench.sensitivity --missing                     those that have no row in its table in docs/

A parameter that was chosen well by its reason hardly moves anything; one on which results hang needs a better
reason, or a rule that sets it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from statistics import median
from typing import Any, NamedTuple

from bench.figures import Figure, as_text, page_of
from bench.runs import Lab, Run, configure
from bench.shapes import HELD_OUT
from udamon.core.adaptive import Parameters
from udamon.evaluation.results import Evaluation, mean_f1
from udamon.evaluation.table import cell

SEEDS = (1, 2, 3)
SECONDS = 12
SETTINGS = (
    ("many", 1000), ("fine", 2000), ("zipf", 2000), ("shifting", 1000), ("sweep", 700), ("sparse", 1000),
    (f"{HELD_OUT} noisy 1", 1000), ("trace:sqlite", 1000),
)  # fmt: skip
"""Shapes, and checks per aggregation: still and moving ones, small and large ones, and what was held out."""

NOTABLE = 0.02
"""A change of the mean F1 by so much is marked."""


class Change(NamedTuple):
    """One parameter with another value."""

    name: str
    what: str
    parameters: Parameters


def changes(names: Sequence[str] = ()) -> Iterator[Change]:
    """Each parameter (or the named ones) halved and doubled.

    Of one between a half and 1 it is the distance to 1 that is halved and doubled: 0.9 becomes 0.95 and 0.8. Whole
    numbers stay whole, and at least 1; 1 itself becomes 0 and 2.
    """
    given = Parameters()
    for field in fields(given):
        value = getattr(given, field.name)
        if names and field.name not in names:
            continue
        for factor in (0.5, 2.0):
            changed: dict[str, Any] = {field.name: scaled(value, factor)}
            what = f"{value:g} → {changed[field.name]:g}"
            yield Change(field.name, what, replace(given, **changed))


def without_row(page: str) -> list[str]:
    """The parameters that no table of the page has halved or doubled."""
    measured = set(re.findall(r"^\| (\w+) \| [^|]* → ", page, re.MULTILINE))
    return [field.name for field in fields(Parameters) if field.name not in measured]


def scaled(value: float, factor: float) -> float:
    if isinstance(value, int):
        return max(min(value - 1, 1), round(value * factor))
    if 0.5 < value < 1:
        return round(1 - (1 - value) * factor, 12)
    return value * factor


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        return [figure(lab, list(changes()))]


def figure(lab: Lab, tried: Sequence[Change]) -> Figure:
    as_it_is = [_run(shape, checks, None) for shape, checks in SETTINGS]
    lab.start(as_it_is)
    for change in tried:
        lab.start(_run(shape, checks, change.parameters) for shape, checks in SETTINGS)
    base = [_key_figures(lab.results(run) or []) for run in as_it_is]
    usual_cells = [_usual(lab.results(run) or []) for run in as_it_is]
    rows = [["as it is", "", *usual_cells]]
    for change in tried:
        row = [change.name, change.what]
        for (shape, checks), usual in zip(SETTINGS, base, strict=True):
            found = _key_figures(lab.results(_run(shape, checks, change.parameters)) or [])
            row.append(difference(usual, found))
        rows.append(row)
    head = ("parameter", "change", *(shape.removeprefix(HELD_OUT + " ").split()[0] for shape, _ in SETTINGS))
    budgets = ", ".join(str(checks) for _, checks in SETTINGS)
    note = (
        f"Change of the mean F1, and checks as a share of what they were (where they changed by more than 2 %); "
        f"{NOTABLE:g} and more is marked !. First row: mean F1 (smallest–largest of the seeds) and checks per "
        f"second. {SECONDS} s at 5 ms / 100 ms, medians of {len(lab.seeds)} seeds; at most "
        f"{budgets} checks an aggregation."
    )
    return Figure("Each parameter of policy adaptive, halved and doubled", head, rows, note)


def _run(shape: str, checks: int, parameters: Parameters | None) -> Run:
    return Run(shape, "adaptive", checks, SECONDS, parameters)


def _usual(found: Sequence[Evaluation]) -> str:
    """How far seeds alone lie apart tells which changes mean anything."""
    checks = median(e.scored[-1].checks / e.scored[-1].t for e in found)
    return f"{cell([mean_f1(e) for e in found], '{:.2f}'.format)}, {checks / 1000:.1f}k/s"


def _key_figures(found: Sequence[Evaluation]) -> tuple[float, float]:
    """Mean F1, checks per second."""
    return median(mean_f1(e) or 0.0 for e in found), median(
        e.scored[-1].checks / e.scored[-1].t for e in found
    )


def difference(usual: tuple[float, float], found: tuple[float, float]) -> str:
    more, times = found[0] - usual[0], found[1] / usual[1]
    text = "=" if abs(more) < 0.005 else f"{more:+.2f}"
    text += "!" if abs(more) >= NOTABLE else ""
    return text + (f" ×{times:.2f}" if abs(times - 1) > 0.02 else "")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sensitivity")
    names = [field.name for field in fields(Parameters)]
    parser.add_argument("names", nargs="*", metavar="PARAMETER", help=", ".join(names))
    parser.add_argument("--missing", action="store_true", help="those that have no row in its table in docs/")
    configure(parser, "1-3")
    args = parser.parse_args(argv)
    page = page_of("sensitivity")
    asked = args.names + (without_row(page.read_text() if page else "") if args.missing else [])
    if args.missing and not asked:
        print("Each parameter has a row.")
        return 0
    if unknown := set(args.names) - set(names):
        parser.error(f"there is no parameter {', '.join(sorted(unknown))}")
    begin = time.monotonic()
    with Lab.of(args) as lab:
        print(as_text(figure(lab, list(changes(asked)))))
    print(f"Took {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
