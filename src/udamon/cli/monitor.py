"""The flags of commands that monitor, and what they ask for as a specification."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udamon.arguments import named
from udamon.assembly import build as assembly
from udamon.assembly.build import DEFAULT_POLICY, Built
from udamon.assembly.child import OWN_FAILURE
from udamon.assembly.spec import VIA, MonitorSpec, Options, overhead_of
from udamon.cli import attributes, targets
from udamon.core.policies import POLICIES
from udamon.errors import CannotError, UsageError
from udamon.linux import open_files
from udamon.linux.pid_namespace import require_own
from udamon.units import parse_share, parse_time_us

if TYPE_CHECKING:
    from udamon.core.scheme import Scheme
    from udamon.engine.acting import PatternsFor


def configure(parser: argparse.ArgumentParser, more_ways: tuple[str, ...] = ()) -> None:
    """`more_ways`: of looking, beside those of a specification."""
    targets.configure(parser)
    group = parser.add_argument_group("how to look")
    group.add_argument("--ops", choices=("vaddr", "fvaddr", "paddr"), help="operations set (default vaddr)")
    group.add_argument(
        "--via", choices=(*VIA, *more_ways), default="auto",
        help="how accesses are seen (default auto; udamon doctor has the ways); naming pte is the consent to read "
        "kernel memory",
    )  # fmt: skip
    group.add_argument(
        "--policy",
        choices=POLICIES,
        help=f"region policy, for primitives that sample (default {DEFAULT_POLICY}); via pte: samples, and no census",
    )
    group.add_argument(
        "--overhead",
        metavar="SHARE",
        help="of one CPU: what the monitor may use; chooses the intervals and how much is looked at (default 1%%, "
        "when no interval is given)",
    )
    group.add_argument(
        "--same-cpu",
        action="store_true",
        help="with idle: visit the processor where the target runs, to see working sets within the TLB's reach",
    )
    group.add_argument(
        "--max-pause",
        metavar="TIME",
        help="the longest that a look may stop a target (default: as long as it takes; said where it is over 10 ms)",
    )
    group.add_argument(
        "--clear",
        choices=("auto", "refs", "cold", "idle"),
        help="with pte: how accessed bits are cleared (default auto: refs where --max-pause allows it, else cold)",
    )
    attributes.configure(parser)


def validate(args: argparse.Namespace) -> None:
    """What can be told wrong before anything is started, and room for many targets.

    Raises UsageError, and NotSupported where /proc is another pid namespace's.
    """
    attributes.attrs_of(args)
    spec, options = spec_of(args)
    open_files.raise_limit()
    if args.sim is None and not args.paddr:
        try:
            require_own()  # a COMMAND is not started for nothing
        except CannotError as error:
            if args.command is not None:
                error.status = OWN_FAILURE
            raise
    if args.sim is None:
        overhead_of(spec, options)


def build(
    args: argparse.Namespace,
    command_pid: int | None,
    kernel_schemes: Sequence[Scheme] = (),
    patterns_for: PatternsFor | None = None,
) -> Built:
    """The monitor that `args` describe; `command_pid` is the started command's. Raises UdamonError.

    See assembly.build for `kernel_schemes` and `patterns_for`.
    """
    spec, options = spec_of(args)
    return assembly.build(
        spec, options, command_pid=command_pid, kernel_schemes=kernel_schemes, patterns_for=patterns_for
    )


def spec_of(args: argparse.Namespace) -> tuple[MonitorSpec, Options]:
    """What the flags ask for. Raises UsageError for what cannot be parsed, or is a mistake by its flags alone."""
    if args.sim is not None and (args.ops is not None or args.via != "auto" or args.range):
        raise UsageError("--sim has its own operations set; leave --ops, --via and --range out.")
    if args.sim is None and args.ops is not None and args.paddr != (args.ops == "paddr"):
        raise UsageError("--ops paddr watches physical memory: it goes with --paddr, and nothing else does.")
    goal = attributes.goal_of(args.intervals_goal)
    intervals = {
        name: us / 1e6
        for name in ("sample", "aggr", "update")
        if (us := attributes.interval(f"--{name}", getattr(args, name))) is not None
    }
    spec = MonitorSpec(
        pids=tuple(targets.pids(args.pid or [])),
        children=args.children,
        cgroup=args.cgroup,
        command=args.command if args.sim is None else (args.sim,),
        paddr=args.paddr,
        ops="sim" if args.sim is not None else args.ops or ("paddr" if args.paddr else "vaddr"),
        via=args.via,
        policy=args.policy,
        min_regions=args.min_regions,
        max_regions=args.max_regions,
        overhead=None if args.overhead is None else named("--overhead", parse_share, args.overhead),
        max_pause=_max_pause(args.max_pause),
        **intervals,
    )
    ranges = tuple(targets.ranges(args.range))
    return spec, Options(ranges, args.same_cpu, args.clear, goal, flags=True)


def _max_pause(text: str | None) -> float | None:
    """Seconds; None where that is not limited. Raises UsageError."""
    if text is None:
        return None
    limit = named("--max-pause", parse_time_us, text)
    if limit == 0:
        raise UsageError(f"--max-pause {text} leaves no time to look; give at least 1ms.")
    return limit / 1e6
