"""Policies on what no parameter was chosen by: shapes that are held out, and traces of real programs.

python -m bench unseen                                      both, as figures
python -m bench.unseen [held-out|traces|NAME…]              some of it
python -m bench.unseen held-out --draw 7 --seeds 1          another draw of the shapes, one seed
python -m bench.unseen traces --checks 300                  another budget

Policy adaptive has `--checks` an aggregation, 1000 unless stated.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from bench import held_out
from bench.figures import Figure, as_text
from bench.runs import Lab, Run, configure
from bench.shapes import HELD_OUT
from udamon.evaluation.results import Evaluation, mean_f1
from udamon.evaluation.run import UNBUDGETED
from udamon.evaluation.statistics import percentile
from udamon.evaluation.table import cell
from udamon.workload.config import load
from udamon.workload.shapes import find, traces

POLICIES = ("damon", "adaptive")
CHECKS = 1000
SEEDS = (1, 2, 3, 4, 5)


def held_out_shapes(draw: int = 1) -> list[str]:
    return [f"{HELD_OUT} {name} {draw}" for name in held_out.SHAPES]


def measure() -> list[Figure]:
    with Lab(SEEDS) as lab:
        return [figure(lab, HELD_OUT, held_out_shapes()), figure(lab, "traces", traces())]


def figure(lab: Lab, title: str, shapes: Sequence[str], checks: int = CHECKS) -> Figure:
    """Each shape with one row a policy."""
    runs = {(shape, policy): _run(shape, policy, checks) for shape in shapes for policy in POLICIES}
    lab.start(runs.values())
    rows = []
    for (shape, policy), run in runs.items():
        found = lab.results(run) or []
        rows.append([
            _short(shape) if policy == POLICIES[0] else "",
            policy,
            _cell(map(mean_f1, found), "{:.2f}"),
            _cell((e.scored[-1].checks / e.scored[-1].t / 1000 for e in found), "{:.1f}"),
            _cell(map(_wss(50), found), "{:.0%}"),
            _cell(map(_wss(90), found), "{:.0%}"),
            _cell((e.age_err for e in found), "{:.0%}"),
            _cell((e.moved_reset_share for e in found), "{:.0%}"),
            _cell((e.policy_cpu_share for e in found), "{:.2%}"),
        ])  # fmt: skip
    head = ("shape", "policy", "mean F1", "k checks/s", "WSS error", "p90", "wrong age", "moves seen", "CPU")
    titles = {HELD_OUT: "On shapes that were held out", "traces": "On traces of real programs"}
    return Figure(titles.get(title, title), head, rows, _note(lab, checks))


def _note(lab: Lab, checks: int) -> str:
    return (
        f"Medians of {len(lab.seeds)} seeds (smallest–largest); 5 ms / 100 ms, at most 1000 regions, adaptive with "
        f"at most {checks} checks an aggregation. WSS error: median and 90th percentile over all snapshots. Wrong "
        "age: share of bytes at the end. Moves seen: share of the bytes whose rate changed with an age that says so "
        "a second later."
    )


def _run(shape: str, policy: str, checks: int) -> Run:
    seconds = 60.0 if shape.startswith(HELD_OUT) else load(find(shape)).duration_ns / 1e9
    return Run(shape, policy, None if policy in UNBUDGETED else checks, seconds)


def _short(shape: str) -> str:
    return shape.split()[1] if shape.startswith(HELD_OUT) else shape


def _wss(percent: float) -> Callable[[Evaluation], float | None]:
    return lambda e: percentile([s.score.wss_error for s in e.scored], percent)


def _cell(values: Iterable[float | None], form: str) -> str:
    """`-` where it cannot be said of some seed: nothing moved."""
    known = list(values)
    return "-" if None in known or not known else cell(known, form.format)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.unseen")
    every = {HELD_OUT: list(held_out.SHAPES), "traces": traces()}
    names = [*every, *chain.from_iterable(every.values())]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--draw", type=int, default=1, metavar="N", help="of the shapes that are held out")
    configure(parser, "1-5")
    parser.add_argument("--checks", type=int, default=CHECKS, metavar="N", help=f"default {CHECKS}")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    begin = time.monotonic()
    with Lab.of(args) as lab:
        for title, shapes in ((HELD_OUT, held_out_shapes(args.draw)), ("traces", traces())):
            chosen = [s for s in shapes if not args.names or title in args.names or _short(s) in args.names]
            if chosen:
                print(as_text(figure(lab, title, chosen, args.checks)), end="\n\n", flush=True)
    print(f"Took {time.monotonic() - begin:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
