"""The figures of docs/benchmarks.md and the pages beside it.

python -m bench [NAME…]          measure all, or the named ones, and print a table for each
python -m bench --list           what there is
python -m bench --write [NAME…]  put the tables into their pages, too

Each figure is kept in .work/bench as well. Comparisons are ratios within one run; medians come with the
smallest and the largest value. The load of the machine is printed beside each, because it decides how much a
time is worth.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from bench import machine
from bench.figures import Figure, as_markdown, as_text, put

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".work" / "bench"

FIGURES = {
    "working_sets": "what refs finds of real workloads against their truth (1 min)",
    "known_sets": "what refs finds of twenty kinds of memory whose touched bytes are known (9 min)",
    "record": "CPU and memory of udamon record at default settings (4 min)",
    "sim": "simulated aggregations per second, by shape (1 min)",
    "regions": "what operations on 1000 regions cost (10 s)",
    "accuracy": "accuracy of the region policies on all shapes (1 min)",
    "goals": "what policy adaptive must show in simulation, goal by goal (4 min)",
    "bound": "adaptive held against the bound, on all shapes and traces (20 min)",
    "unseen": "the policies on shapes that are held out and on traces of real programs (2 min)",
    "curves": "F1 against checks for every shape, drawn into docs/pictures (7 min)",
    "sensitivity": "policy adaptive with each parameter halved and doubled (6 min, only when it is named)",
    "budget": "whether --overhead is kept, by size of the target (7 min)",
    "startup": "start, memory and installed size (1 min)",
    "recordings": "writing, reading and reporting, by row (1 min)",
    "damo": "reports beside damo's on 3.0 M regions (8 min; the first time 20)",
    "right_size": "real programs under the limit that right-size recommends, and under less (100 min; as root)",
    "sites": "what record --sites costs real programs, in pairs (5 min)",
    "known_sites": "bytes of ten sites of known bytes, in 200 runs (2 min)",
    "programs": "Redis and PostgreSQL with and without a monitor, in pairs (9 min)",
}
"""Names and what they show; NAME is the module bench.NAME, whose `measure` returns figures."""

ONLY_NAMED = {"sensitivity", "damo", "right_size"}
"""What changes only with the policy itself, damo or the recommendation, and takes long."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the documents state.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--write", action="store_true", help="put the tables into their pages in docs/")
    args = parser.parse_args(argv)
    unknown = set(args.names) - FIGURES.keys()
    if unknown:
        parser.error(f"there is no figure {', '.join(sorted(unknown))}; --list shows them")
    if args.list:
        print("\n".join(f"{name:<14}{text}" for name, text in FIGURES.items()))
        return 0
    print(machine.describe())
    if not machine.favour_us():
        print("Everything runs at an ordinary priority: what else the machine does is in the figures.")
    for name in args.names or [name for name in FIGURES if name not in ONLY_NAMED]:
        _show(name, write=args.write)
    return 0


def _show(name: str, *, write: bool) -> None:
    print(f"\n== {name}: {FIGURES[name]}", flush=True)
    before, begin = machine.load(), time.monotonic()
    figures: list[Figure] = importlib.import_module(f"bench.{name}").measure()
    state = f"Load of the machine before and after: {before:.1f}, {machine.load():.1f}."
    for figure in figures:
        print(f"\n{as_text(figure)}", flush=True)
    print(f"\n{state} Took {time.monotonic() - begin:.0f} s.", flush=True)
    text = "\n\n".join([*map(as_markdown, figures), f"{state} Measured on {machine.describe()}."])
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{name}.md").write_text(text + "\n")
    if write:
        put(name, text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
