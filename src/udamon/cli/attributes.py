"""The flags of monitoring attributes, shared by the commands that monitor."""

from __future__ import annotations

import argparse

from udamon.arguments import named
from udamon.assembly.spec import LONGEST_S
from udamon.cli.numbers import whole
from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.errors import UsageError
from udamon.units import parse_share, parse_time_us, whole_number

LONGEST_US = LONGEST_S * 1_000_000


def configure(
    parser: argparse.ArgumentParser, update: str = "1s", sample: str = "what --overhead allows"
) -> None:
    """Add the flags."""
    group = parser.add_argument_group("monitoring attributes")
    group.add_argument(
        "--sample",
        metavar="TIME",
        help=f"sampling interval (default: {sample})",
    )
    group.add_argument("--aggr", metavar="TIME", help="aggregation interval (default 20 sampling intervals)")
    group.add_argument(
        "--update", metavar="TIME", default=update, help=f"update interval of targets (default {update})"
    )
    group.add_argument(
        "--intervals-goal",
        metavar="SHARE,AGGRS,MIN,MAX",
        help="tune the intervals as the kernel does: SHARE of the possible accesses seen, looked at every AGGRS "
        "aggregations, with sampling intervals from MIN to MAX; DAMON's documents recommend 4%%,3,5ms,10s",
    )
    group.add_argument("--min-regions", type=whole, default=10, metavar="N", help="default 10")
    group.add_argument("--max-regions", type=whole, default=1000, metavar="N", help="default 1000")


def attrs_of(args: argparse.Namespace) -> Attrs:
    """The attributes that `args` ask for; a missing interval follows the other as 1:20.

    Raises UsageError for an interval of 0, AttrsError for what DAMON refuses.
    """
    return Attrs.chosen(
        interval("--sample", args.sample),
        interval("--aggr", args.aggr),
        interval("--update", args.update) or 0,
        args.min_regions,
        args.max_regions,
        goal_of(args.intervals_goal),
    )


def goal_of(text: str | None) -> IntervalsGoal:
    """What --intervals-goal says. Raises UsageError."""
    if text is None:
        return IntervalsGoal()
    parts = text.split(",")
    if len(parts) != 4:
        raise UsageError(f"--intervals-goal {text[:60]} has not four parts; write it like 4%,3,5ms,10s.")
    if (whole_number(parts[1].strip()) or 0) < 1:
        raise UsageError(
            f"--intervals-goal {text[:60]}: {parts[1].strip()[:40]!r} is no number of aggregations; give 1 or more, as "
            "in 4%,3,5ms,10s."
        )
    share = named("--intervals-goal", parse_share, parts[0])
    if share == 0:
        raise UsageError("--intervals-goal aims at no accesses; give a share above 0, such as 4%.")
    least, most = (interval("--intervals-goal", part) or 0 for part in parts[2:])
    return IntervalsGoal(max(round(share * 10_000), 1), int(parts[1]), least, most)


def interval(flag: str, text: str | None) -> int | None:
    """Microseconds; None where the flag is not given. Raises UsageError."""
    if text is None:
        return None
    us = 0 if text.strip() == "0" else named(flag, parse_time_us, text)
    if us == 0:
        raise UsageError(f"{flag} {text} is no interval; give at least 1us.")
    if us > LONGEST_US:
        raise UsageError(f"{flag} {text} is longer than 30 days; give a shorter interval.")
    return us
