"""Accuracy and cost of a region policy against a known truth."""

from __future__ import annotations

import argparse
import functools
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from udamon import console
from udamon.arguments import named
from udamon.assembly.parts import truth_of
from udamon.cli import attributes
from udamon.cli.numbers import whole
from udamon.cli.progress_line import ProgressLine
from udamon.core.attrs import Attrs
from udamon.core.policies import POLICIES
from udamon.errors import UsageError
from udamon.evaluation.results import Evaluation, document
from udamon.evaluation.run import UNBUDGETED, check_duration, evaluate
from udamon.evaluation.score import HOT
from udamon.evaluation.table import table
from udamon.text import line, lines, ours, pad
from udamon.units import format_size, format_time, parse_duration_ns, parse_size, whole_number
from udamon.workload import shapes
from udamon.workload.truth import Truth

MOST_SEEDS = 10_000
"""Of one command; its results are kept until its end."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument(
        "config", metavar="CONFIG", nargs="+", help="a masim configuration, or a committed shape's name"
    )
    parser.add_argument(
        "--together", action="store_true", help="several configurations: as targets of one context"
    )
    parser.add_argument(
        "--policy", default="adaptive", metavar="P[,P]", help=f"of {', '.join(POLICIES)} (default adaptive)"
    )
    parser.add_argument("--seeds", metavar="A-B", help="run every seed from A to B")
    parser.add_argument("--seed", type=whole, metavar="N", help="one seed (default 1)")
    parser.add_argument("--duration", metavar="S", help="simulated time (default: the workload's length)")
    parser.add_argument(
        "--checks", type=whole, metavar="N", help="per aggregation, for policies with a budget"
    )
    parser.add_argument("--find", metavar="SIZE", help="smallest island worth finding (default a thousandth)")
    parser.add_argument(
        "--bound", action="store_true", help="how much any policy could find with as many checks"
    )
    parser.add_argument("--truth-only", action="store_true", help="print what there is to be found, and end")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    attributes.configure(parser, sample="5ms")
    parser.set_defaults(evaluator=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; returns its exit status. Raises UdamonError."""
    paths = [shapes.find(config) for config in args.config]
    if len(paths) > 1 and not args.together:
        raise UsageError(
            f"{len(paths)} workloads; give one, or --together to have them as targets of one context."
        )
    if args.bound and len(paths) > 1:
        raise UsageError("--bound is of one workload; give one at a time.")
    names = [shapes.name_of(path) for path in paths]
    made = {path: truth_of(str(path)) for path in dict.fromkeys(paths)}
    truths = [made[path] for path in paths]
    attrs = attributes.attrs_of(args)
    if args.truth_only:
        if len(paths) > 1:
            raise UsageError("--truth-only tells of one workload; give one at a time.")
        _refuse_what_runs(args)
        return _print_truth(names[0], truths[0], attrs, as_json=args.json)
    longest = max(truth.workload.duration_ns for truth in truths)
    duration = longest if args.duration is None else named("--duration", parse_duration_ns, args.duration)
    check_duration(duration, attrs)
    policies = _policies(args.policy)
    if args.checks is not None and args.checks < 1:
        raise UsageError(f"--checks {args.checks} is no budget; give at least 1 check per aggregation.")
    if args.checks is not None and not set(policies) - UNBUDGETED:
        raise UsageError(f"policy {args.policy} has no budget of checks; leave --checks out.")
    find = None if args.find is None else named("--find", parse_size, args.find)
    if find is not None and (find < 1 or not set(policies) - UNBUDGETED):
        raise UsageError(f"--find {args.find} is for adaptive, and a size of at least 1.")
    seeds = _seeds(args)
    runs = []
    wanted = [(policy, seed) for policy in policies for seed in seeds]
    with ProgressLine.of_work(sys.stderr) as progress:
        step = progress.step("evaluating")
        for number, (policy, seed) in enumerate(wanted):
            checks = None if policy in UNBUDGETED else args.checks
            told = functools.partial(_tell, step, number, len(wanted))
            size = None if policy in UNBUDGETED else find
            runs.append(
                evaluate(truths, policy, seed, attrs, duration, checks, told, bound=args.bound, find=size)
            )
    if args.json:
        documents = [document(names, run, together=args.together) for run in runs]
        console.document(documents[0] if len(documents) == 1 else documents)
    else:
        console.out(lines([line(_title(names), ": ", _conditions(runs)), "", table(runs, names)]))
    return 0


_OF_RUNS = ("policy", "seeds", "seed", "duration", "checks", "find", "bound")


def _refuse_what_runs(args: argparse.Namespace) -> None:
    """Raises UsageError for flags about running policies, of which --truth-only runs none."""
    for name in _OF_RUNS:
        if getattr(args, name) != args.evaluator.get_default(name):
            raise UsageError(
                f"--{name} is about running a policy, and --truth-only runs none; leave one of them out."
            )


def _tell(step: Callable[[float], None], number: int, runs: int, share: float) -> None:
    """Tell the share 0..1 of all runs, from that of one of them."""
    step((number + share) / runs)


def _title(names: Sequence[str]) -> str:
    return ", ".join(
        name if number == 1 else f"{name} ({number} times)" for name, number in Counter(names).items()
    )


def _policies(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in POLICIES:
            raise UsageError(f"there is no region policy {name!r}; use {' or '.join(sorted(POLICIES))}.")
    if not names:
        raise UsageError("--policy names no policy.")
    return names


def _seeds(args: argparse.Namespace) -> range:
    if args.seeds is not None and args.seed is not None:
        raise UsageError("--seed and --seeds exclude each other; give one of them.")
    first, dash, last = (args.seeds or "").partition("-")
    if args.seeds is None:
        return range(1, 2) if args.seed is None else range(args.seed, args.seed + 1)
    least, most = whole_number(first), whole_number(last if dash else first)
    if least is None or most is None:
        raise UsageError(f"--seeds {args.seeds} is no range of seeds; write it like 1-5.")
    seeds = range(least, most + 1)
    if not seeds:
        raise UsageError(f"--seeds {args.seeds} is empty; write the smaller number first.")
    if len(seeds) > MOST_SEEDS:
        raise UsageError(f"--seeds {args.seeds} are {len(seeds):,} runs; give at most {MOST_SEEDS:,} seeds.")
    return seeds


def _print_truth(name: str, truth: Truth, attrs: Attrs, *, as_json: bool) -> int:
    rows: list[tuple[str, float, int, int]] = []
    sample_ns = attrs.sample_us * 1_000
    t = 0
    for phase in truth.workload.phases:
        # An aggregation that lies in the phase as a whole, so that no other one shines through.
        ticks = min(attrs.max_nr_accesses, max(phase.duration_ns // sample_ns, 1))
        seen = truth.expected(t, ticks, sample_ns)
        hot = sum(e.end - e.start for e in seen if e.mean >= HOT)
        wss = round(sum((e.end - e.start) * e.touched for e in seen))
        rows.append((phase.name, t / 1e9, hot, wss))
        t += phase.duration_ns
    if as_json:
        keys = ("phase", "t", "hot_bytes", "wss_bytes")
        phases = [dict(zip(keys, row, strict=True)) for row in rows]
        console.document({"schema": 1, "workload": name, "attrs": attrs.as_dict(), "phases": phases})
        return 0
    found = [line(pad("phase", "<", 20), f" {'from':>8} {'hot':>12} {'working set':>12}")]
    for phase_name, begin, hot, wss in rows:
        figures = f" {begin:>6.1f} s {format_size(hot):>12} {format_size(wss):>12}"
        found.append(line(pad(phase_name, "<", 20), figures))
    console.out(lines(found))
    return 0


def _conditions(runs: Sequence[Evaluation]) -> str:
    """What all runs have in common, in one line."""
    attrs = runs[0].attrs
    seeds = sorted({run.seed for run in runs})
    many = (
        f"medians of seeds {seeds[0]} to {seeds[-1]} ({ours('smallest–largest')})"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
    )
    sample, aggr = format_time(attrs.sample_us / 1e6), format_time(attrs.aggr_us / 1e6)
    at = "with tuned intervals, first of" if attrs.goal.aggrs else "at"
    return f"{runs[0].scored[-1].t:g} s simulated {at} {sample} / {aggr}, {many}"
