"""How often the bounds of a sampled working set contain the truth, and how far apart they are.

    python -m bench.working_set_bounds [NAME…] [--draw N] [--seeds N] [--seconds N] [--checks N…]

Shapes of bench/held_out.py and bench/other_shapes.py, of a draw of their own for each seed from `--draw` on, and traces
of real programs. The form of the interval was chosen by how it does on other draws of the shapes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from bench import held_out, other_shapes
from udamon.core.attrs import Attrs
from udamon.evaluation.results import Scored
from udamon.evaluation.run import evaluate
from udamon.workload.config import load
from udamon.workload.layout import place
from udamon.workload.shapes import find, traces
from udamon.workload.spec import Workload
from udamon.workload.truth import Truth

DRAWS = {
    **dict.fromkeys(held_out.SHAPES, held_out.draw),
    **dict.fromkeys(other_shapes.SHAPES, other_shapes.draw),
}


def workload_of(name: str, number: int) -> Workload:
    """A draw of a shape, or a trace."""
    return DRAWS[name](name, number) if name in DRAWS else load(find(name))


def windows(name: str, draws: range, seconds: float, checks: int) -> list[Scored]:
    """The scores of all windows, of each draw, or of a trace, with a seed of its own."""
    found: list[Scored] = []
    for number in draws:
        made = workload_of(name, number)
        run = evaluate(Truth(made, place(made)), "adaptive", number, Attrs(), round(seconds * 1e9), checks)
        found += run.scored
    return found


def within(scored: Sequence[Scored]) -> str:
    """The share of windows whose bounds contain the truth."""
    return f"{sum(bool(one.score.wss_within) for one in scored) / len(scored):.1%}"


def margins_of(scored: Sequence[Scored]) -> list[float]:
    """Half the distance of the bounds, as shares of the truth."""
    return [margin for one in scored if (margin := one.score.wss_margin) is not None]


def header(checks: Sequence[int]) -> list[str]:
    """Of the table: four columns for each number of checks."""
    names = [f"{number:,}: first second" for number in checks]
    columns = [[name, "later", "margin", "error"] for name in names]
    titles = ["shape", *(title for four in columns for title in four)]
    return [f"| {' | '.join(titles)} |", f"|---|{'--:|' * (len(titles) - 1)}"]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.working_set_bounds")
    names = [*DRAWS, *traces()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--draw", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--checks", type=int, nargs="+", default=[100, 1000, 5000])
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(names):
        parser.error(f"not one of {', '.join(names)}: {', '.join(sorted(unknown))}")
    for line in header(args.checks):
        print(line)
    for name in args.names or names:
        row = [name]
        for checks in args.checks:
            scored = windows(name, range(args.draw, args.draw + args.seeds), args.seconds, checks)
            later = [one for one in scored if one.t > 1]
            row += [
                within([one for one in scored if one.t <= 1]), within(later),
                f"{median(margins_of(later)):.1%}", f"{median(one.score.wss_error for one in later):.1%}",
            ]  # fmt: skip
        print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
