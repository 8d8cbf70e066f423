"""Draws F1 against checks for every shape into docs/pictures: how much each policy has found for what it looked.

python -m bench curves                       both pictures, and the table below them
python -m bench.curves [--seeds 1-3]         likewise, with the seeds that are given

On memory that stays as it is, F1 after so many checks. On memory that moves there is no end to learning: there it is
the mean F1 over the run, against checks per second. Policy adaptive with each of BUDGETS; damon has none to choose.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.drawing import Panel, Point, Style, svg
from bench.figures import Figure, as_text
from bench.goals import STATIONARY
from bench.runs import Lab, Run
from bench.shapes import HELD_OUT, SHAPES
from bench.unseen import held_out_shapes
from udamon.evaluation.compare import f1_after
from udamon.evaluation.results import Evaluation, mean_f1, reached
from udamon.evaluation.table import cell, count
from udamon.workload.config import load
from udamon.workload.shapes import find, traces

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEEDS = (1, 2, 3)
BUDGETS = (300, 1000, 2000, 10_000)
SECONDS = 30
FOUND = 0.9

# From light to dark by budget; the kernel's in another hue that stands out for every kind of sight, and dashed.
STYLES = {
    "damon": Style("#d55e00", "6 3", 2.4, "square"),
    "adaptive, 300 checks an aggregation": Style("#8ecae6", "", 2, "circle"),
    "1000": Style("#3a9bdc", "", 2, "triangle"),
    "2000": Style("#1f5fa8", "", 2, "diamond"),
    "10 000": Style("#0b1f4b", "2 2", 2.4, "circle"),
}
CHECKS_MADE = [10 ** (2 + i / 16) for i in range(65)]
"""Where a curve has its points: from 100 to 1,000,000."""


def runs_of(shape: str) -> dict[str, Run]:
    """By the name of their style."""
    seconds = float(SECONDS) if shape not in traces() else load(find(shape)).duration_ns / 1e9
    names = iter(STYLES)
    return {next(names): Run(shape, "damon", None, seconds)} | {
        name: Run(shape, "adaptive", budget, seconds) for name, budget in zip(names, BUDGETS, strict=True)
    }


def still(lab: Lab, shape: str) -> Panel:
    """F1 after so many checks, the median of the seeds that have made them."""
    curves = {}
    for name, run in runs_of(shape).items():
        found = lab.results(run) or []
        curves[name] = [
            (checks, f1) for checks in CHECKS_MADE if (f1 := _median_after(found, checks)) is not None
        ]
    return Panel(_title(shape), "checks made", (CHECKS_MADE[0], CHECKS_MADE[-1]), curves)


def _median_after(found: Sequence[Evaluation], checks: float) -> float | None:
    known = [f1 for e in found if (f1 := f1_after(e, checks)) is not None]
    return median(known) if found and len(known) == len(found) else None


def moving(lab: Lab, shape: str) -> Panel:
    """Mean F1 against checks per second: a point for each budget."""
    curves: dict[str, list[Point]] = {}
    for name, run in runs_of(shape).items():
        found = lab.results(run) or []
        if found:
            rate = median(e.scored[-1].checks / e.scored[-1].t for e in found)
            curves[name] = [(rate, median(mean_f1(e) or 0.0 for e in found))]
    line = [point for name, points in curves.items() if name != "damon" for point in points]
    return Panel(_title(shape), "checks per second", (300, 300_000), curves, line)


def _title(shape: str) -> str:
    return shape.split()[1] if shape.startswith(HELD_OUT) else shape


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        return draw(lab)


def draw(lab: Lab) -> list[Figure]:
    others = [*traces(), *held_out_shapes()]
    for shape in (*SHAPES, *others):
        lab.start(runs_of(shape).values())
    ordered = [*STATIONARY, *(shape for shape in SHAPES if shape not in STATIONARY)]
    pictures = {
        "f1-by-checks.svg": (
            "F1 of hot bytes, by the checks that it took",
            [still(lab, shape) if shape in STATIONARY else moving(lab, shape) for shape in ordered],
        ),
        "f1-unseen.svg": (
            "Mean F1, by checks per second: traces of real programs, then shapes that were held out",
            [moving(lab, shape) for shape in others],
        ),
    }
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (title, panels) in pictures.items():
        (PICTURES / name).write_text(svg(title, "F1", STYLES, panels))
    return [_needed(lab)]


def _needed(lab: Lab) -> Figure:
    """The same in numbers, for whoever cannot see the picture."""
    rows = []
    for shape in STATIONARY:
        row = [shape]
        for run in runs_of(shape).values():
            found = [reached(e, FOUND) for e in lab.results(run) or []]
            row.append(cell([s.checks if s else None for s in found], count) if found else "-")
        rows.append(row)
    head = ("shape", "damon", *(f"adaptive, {budget}" for budget in BUDGETS))
    note = (
        f"Medians of {len(lab.seeds)} seeds (smallest–largest), {SECONDS} s at 5 ms / 100 ms, at most 1000 regions; "
        "adaptive with that many checks an aggregation at most. The pictures are f1-by-checks.svg and f1-unseen.svg."
    )
    return Figure(f"Checks to F1 {FOUND:g}", head, rows, note)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.curves")
    parser.add_argument("--seeds", default="1-3", metavar="A-B", help="default 1-3")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at once (default 2)")
    args = parser.parse_args(argv)
    first, _, last = args.seeds.partition("-")
    begin = time.monotonic()
    with Lab(range(int(first), int(last or first) + 1), args.jobs) as lab:
        print("\n".join(map(as_text, draw(lab))))
    print(f"Took {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
