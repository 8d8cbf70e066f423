"""The flags of commands that act: what to leave alone, how long, what to say; and DAMON's names of what is watched."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from udamon.acting.exclusions import Exclusions
from udamon.arguments import named
from udamon.cli import monitor
from udamon.cli.numbers import whole
from udamon.core.scheme import WatermarkMetric
from udamon.errors import UsageError
from udamon.modules.parameters import readings, with_file, with_texts
from udamon.schemes.governor import PressureLimits
from udamon.units import parse_share, parse_size, whole_number

_P = TypeVar("_P")
KINDS = ("locked", "shared", "text")
AUTOTUNE = "0.4%,3,5ms,10s"
"""The goal of autotune_monitoring_intervals (docs/damon.md#modules)."""
SAMPLE, AGGR = "5ms", "100ms"
"""The intervals of DAMON's modules."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of everything that acts."""
    monitor.configure(parser)
    group = parser.add_argument_group("what to leave alone")
    group.add_argument(
        "--include",
        metavar="KINDS",
        default="",
        help=f"act on these, too, which are left alone otherwise: {', '.join(KINDS)} (locked memory, pages that "
        "other processes share, executable mappings)",
    )
    group = parser.add_argument_group("when to stop acting")
    group.add_argument(
        "--max-major-faults",
        metavar="RATE",
        default="100",
        help="major faults of all targets a second above which nothing is done for a while (default 100; or off)",
    )
    group.add_argument(
        "--max-psi",
        metavar="SHARE",
        default="10%",
        help="time in which somebody waits for memory, in the system or the cgroup, above which nothing is done for a "
        "while (default 10%%; or off)",
    )
    configure_output(parser)


def configure_output(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Returns the group, for what else a command prints."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--duration", metavar="TIME", help="end after this time (default: when the target ends)"
    )
    group.add_argument("--json", action="store_true", help="print one JSON document at the end")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="say nothing but errors and what --json prints"
    )
    return group


def configure_module(
    parser: argparse.ArgumentParser, parameters: type[object] | None, *, tunable: bool
) -> None:
    """Flags of a module: its parameters by DAMON's names, the same in a file, and DAMON's names of the attributes."""
    names = parser.add_argument_group("DAMON's names of the above")
    for name, target in (
        ("sample-interval", "sample"),
        ("aggr-interval", "aggr"),
        ("min-nr-regions", "min_regions"),
        ("max-nr-regions", "max_regions"),
    ):
        kind = whole if target.endswith("regions") else str
        flag = "--" + target.replace("_", "-")
        names.add_argument(
            f"--{name}", dest=target, type=kind, metavar="N" if kind is whole else "TIME",
            default=argparse.SUPPRESS, help=f"the same as {flag}",
        )  # fmt: skip
    names.add_argument("--monitor-region-start", metavar="ADDRESS", help="with --paddr: watch from here")
    names.add_argument("--monitor-region-end", metavar="ADDRESS", help="with --paddr: watch up to here")
    names.add_argument("--addr-unit", type=whole, default=1, metavar="BYTES", help="of these two (default 1)")
    if tunable:
        names.add_argument(
            "--autotune-monitoring-intervals",
            action="store_true",
            help=f"tune the intervals as DAMON's modules do: --intervals-goal {AUTOTUNE.replace('%', '%%')}",
        )
    if parameters is None:
        return
    group = parser.add_argument_group("parameters")
    group.add_argument(
        "--parameters",
        metavar="FILE",
        help="TOML or YAML with parameters by these names, with _ for -; read again on SIGHUP and when it changes. "
        "Parameters that have a flag stay as the flag says",
    )
    for name, reading in readings(parameters).items():
        flag = "--" + name.replace("_", "-")
        if reading.metavar:
            group.add_argument(flag, metavar=reading.metavar, help=reading.help)
        else:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=reading.help)


def settle_monitor(args: argparse.Namespace) -> None:
    """Turn DAMON's names in `args` into udamon's own, and give the whole machine the intervals of DAMON's modules.

    Raises UsageError.
    """
    given = any((args.sample, args.aggr, args.overhead, args.intervals_goal))
    if getattr(args, "autotune_monitoring_intervals", False):
        if given:
            raise UsageError(
                "--autotune-monitoring-intervals chooses the intervals; leave the other flags out."
            )
        args.intervals_goal = AUTOTUNE
    elif args.paddr and not given:
        args.sample, args.aggr = SAMPLE, AGGR
    bounds = args.monitor_region_start, args.monitor_region_end
    if args.addr_unit < 1:
        raise UsageError(f"--addr-unit {args.addr_unit} is no size; give at least 1.")
    if bounds == (None, None):
        return
    if None in bounds or not args.paddr:
        raise UsageError("--monitor-region-start and --monitor-region-end go together, and with --paddr.")
    start, end = (
        named(f"--monitor-region-{which}", parse_size, bound) * args.addr_unit
        for which, bound in zip(("start", "end"), bounds, strict=True)
    )
    args.range = [*args.range, f"{start:#x}-{end:#x}"]


def read_parameters(args: argparse.Namespace, base: _P) -> _P:
    """`base` with what the parameters file says, and above that the flags; the whole machine has watermarks.

    Raises UsageError, ConfigError or CannotError.
    """
    names = readings(type(base))
    flags = {name: str(value) for name in names if (value := getattr(args, name)) is not None}
    if args.paddr:
        base = with_texts(base, {"wmarks_metric": str(WatermarkMetric.FREE_MEM_RATE)})
    if args.parameters is not None:
        base = with_file(base, Path(args.parameters))
    merged = with_texts(base, flags)
    _check_watermarks(merged, flags)
    return merged


def _check_watermarks(parameters: object, flags: Iterable[str]) -> None:
    """Raises UsageError for a watermark that has no effect, as no metric is chosen."""
    marks = [name for name in flags if name.startswith("wmarks_") and name != "wmarks_metric"]
    if marks and getattr(parameters, "wmarks_metric", "") == WatermarkMetric.NONE:
        flag = "--" + marks[0].replace("_", "-")
        raise UsageError(f"{flag} is of use with --wmarks-metric free_mem_rate; add that, or leave it out.")


def exclusions(args: argparse.Namespace) -> Exclusions:
    """What to leave alone. Raises UsageError."""
    wanted = {word.strip() for word in args.include.split(",")} - {""}
    unknown = sorted(wanted - set(KINDS))
    if unknown:
        raise UsageError(f"--include knows {', '.join(KINDS)}, and not {unknown[0][:40]!r}.")
    return Exclusions(**{kind: kind not in wanted for kind in KINDS})


def limits(args: argparse.Namespace) -> PressureLimits:
    """The limits of memory pressure. Raises UsageError."""
    faults, psi = args.max_major_faults.strip(), args.max_psi.strip()
    if faults != "off" and ((found := whole_number(faults)) is None or found < 0):
        raise UsageError(
            f"--max-major-faults {faults[:40]} is no number of faults a second; give 100, or off."
        )
    return PressureLimits(
        max_major_faults=None if faults == "off" else float(faults),
        max_psi=None if psi == "off" else named("--max-psi", parse_share, psi),
    )
