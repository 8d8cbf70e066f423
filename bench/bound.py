"""Policy adaptive held against the bound, and beside the kernel's algorithm, on every shape and trace.

python -m bench.bound [NAME…]           some of it
python -m bench.bound --draw 7          another draw of the shapes that are kept in no file
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence

from bench import held_out, other_shapes
from bench.figures import Figure, as_text
from bench.runs import Lab, Run, configure
from bench.shapes import HELD_OUT, OTHER
from udamon.evaluation.compare import at
from udamon.evaluation.results import Evaluation, mean_f1
from udamon.evaluation.statistics import percentile
from udamon.evaluation.table import cell
from udamon.workload import shapes
from udamon.workload.config import load

CHECKS = 1000
SECONDS = 30.0
AT = (1, 5, 30)
SEEDS = (1, 2, 3, 4, 5)
HEAD = (
    "shape", "F1/bound 1 s", "5 s", "30 s", "bound 30 s", "mean F1", "damon", "WSS error", "p90", "wrong age",
    "moves seen", "k checks/s", "damon's", "CPU",
)  # fmt: skip


def names(draw: int = 1) -> list[str]:
    """Of all shapes and traces, as bench.shapes.truth_of takes them."""
    drawn = [
        f"{kind} {name} {draw}"
        for kind, made in ((HELD_OUT, held_out), (OTHER, other_shapes))
        for name in made.SHAPES
    ]
    return [*shapes.names(), *drawn, *shapes.traces()]


def short(name: str) -> str:
    return name.split()[1] if " " in name else name


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        return [figure(lab, names())]


def figure(lab: Lab, chosen: Sequence[str]) -> Figure:
    ours = {name: Run(name, "adaptive", CHECKS, _seconds(name), bound=True) for name in chosen}
    kernel = {name: Run(name, "damon", None, _seconds(name)) for name in chosen}
    rows, reached, near, below = [], 0, 0, 0
    for name in chosen:
        lab.start([ours[name], kernel[name]])
        found, theirs = lab.results(ours[name]) or [], lab.results(kernel[name]) or []
        rows.append(_row(short(name), found, theirs))
        five, last = _middle(found, _share_at(5)), _middle(found, _gap)
        reached += five is not None and five >= 0.85
        near += last is not None and last <= 0.05
        own, other = _middle(found, mean_f1), _middle(theirs, mean_f1)
        below += own is not None and other is not None and own < other - 0.02
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    note = (
        f"Medians of {len(lab.seeds)} seeds (smallest–largest), 5 ms / 100 ms, {SECONDS:g} s or all of a trace, at "
        f"most 1000 regions; adaptive with at most {CHECKS} checks an aggregation, damon with what it makes. At 30 s, "
        f"or at the end. F1 ≥ 0.85 × bound at 5 s: {reached} of {len(rows)}; ≥ bound − 0.05 at the end: {near}; mean "
        f"F1 below damon's by more than 0.02: {below}."
    )
    return Figure("Held against the bound", HEAD, rows, note)


def _seconds(name: str) -> float:
    return SECONDS if name not in shapes.traces() else min(SECONDS, load(shapes.find(name)).duration_ns / 1e9)


def _row(name: str, found: Sequence[Evaluation], kernel: Sequence[Evaluation]) -> list[str]:
    return [
        name,
        *(_cell(map(_share_at(seconds), found), "{:.2f}") for seconds in AT),
        _cell((e.scored[-1].bound.f1 if e.scored[-1].bound else None for e in found), "{:.2f}"),
        _cell(map(mean_f1, found), "{:.2f}"),
        _cell(map(mean_f1, kernel), "{:.2f}"),
        _cell(map(_wss(50), found), "{:.0%}"),
        _cell(map(_wss(90), found), "{:.0%}"),
        _cell((e.age_err for e in found), "{:.0%}"),
        _cell((e.moved_reset_share for e in found), "{:.0%}"),
        _cell((e.scored[-1].checks / e.scored[-1].t / 1000 for e in found), "{:.1f}"),
        _cell((e.scored[-1].checks / e.scored[-1].t / 1000 for e in kernel), "{:.1f}"),
        _cell((e.policy_cpu_share for e in found), "{:.1%}"),
    ]


def _share_at(seconds: float) -> Callable[[Evaluation], float | None]:
    def share(run: Evaluation) -> float | None:
        then = at(run, min(seconds, run.scored[-1].t))
        return then.score.f1 / then.bound.f1 if then and then.bound and then.bound.f1 else None

    return share


def _gap(run: Evaluation) -> float | None:
    last = run.scored[-1]
    return last.bound.f1 - last.score.f1 if last.bound else None


def _wss(percent: float) -> Callable[[Evaluation], float | None]:
    return lambda run: percentile([s.score.wss_error for s in run.scored], percent)


def _middle(runs: Sequence[Evaluation], figure_of: Callable[[Evaluation], float | None]) -> float | None:
    known = [value for run in runs if (value := figure_of(run)) is not None]
    return percentile(known, 50)


def _cell(values: Iterable[float | None], form: str) -> str:
    """`-` where it cannot be said of some seed."""
    known = list(values)
    return "-" if None in known or not known else cell(known, form.format)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bound")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(map(short, names())))
    parser.add_argument(
        "--draw", type=int, default=1, metavar="N", help="of the shapes that are kept in no file"
    )
    configure(parser, "1-5")
    args = parser.parse_args(argv)
    every = names(args.draw)
    if unknown := set(args.names) - set(map(short, every)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    with Lab.of(args) as lab:
        print(as_text(figure(lab, [n for n in every if not args.names or short(n) in args.names])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
