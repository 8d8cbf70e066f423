"""The flags of monitoring attributes, shared by the commands that monitor."""

from __future__ import annotations

import argparse

from udamon.core.attrs import Attrs, IntervalsGoal
from udamon.errors import AttrsError, UsageError
from udamon.units import parse_share, parse_time_us

LONGEST_US = 30 * 86_400_000_000
"""No interval is longer: 30 days. The clocks' 64 bits of nanoseconds end somewhere above."""


def configure(
    parser: argparse.ArgumentParser, update: str = "1s", sample: str = "what --overhead allows"
) -> None:
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
    group.add_argument("--min-regions", type=int, default=10, metavar="N", help="default 10")
    group.add_argument("--max-regions", type=int, default=1000, metavar="N", help="default 1000")


def attrs_of(args: argparse.Namespace) -> Attrs:
    """The attributes that `args` ask for; a missing interval follows the other as 1:20.

    Raises UsageError for an interval of 0, AttrsError for what DAMON refuses.
    """
    sample = _interval("--sample", args.sample)
    aggr = _interval("--aggr", args.aggr)
    update = _interval("--update", args.update)
    if sample is None:
        sample = 5_000 if aggr is None else max(aggr // 20, 1)
    if aggr is None:
        aggr = sample * 20
    if min(args.min_regions, args.max_regions) < 0:
        raise AttrsError("a number of regions is negative; give numbers of at least 3.")
    goal = _goal(args.intervals_goal)
    if goal.aggrs and args.sample is None and args.aggr is None:
        sample = min(max(sample, goal.min_sample_us), goal.max_sample_us)
        aggr = sample * 20
    return Attrs(sample, aggr, update or 0, args.min_regions, args.max_regions, goal)


def _goal(text: str | None) -> IntervalsGoal:
    if text is None:
        return IntervalsGoal()
    parts = text.split(",")
    if len(parts) != 4 or not parts[1].strip().isdecimal() or int(parts[1]) == 0:
        raise UsageError(f"--intervals-goal {text} has not four parts; write it like 4%,3,5ms,10s.")
    share = parse_share(parts[0])
    if share == 0:
        raise UsageError("--intervals-goal aims at no accesses; give a share above 0, such as 4%.")
    least, most = (_interval("--intervals-goal", part) or 0 for part in parts[2:])
    return IntervalsGoal(max(round(share * 10_000), 1), int(parts[1]), least, most)


def _interval(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    interval = 0 if text.strip() == "0" else parse_time_us(text)
    if interval == 0:
        raise UsageError(f"{flag} {text} is no interval; give at least 1us.")
    if interval > LONGEST_US:
        raise UsageError(f"{flag} {text} is longer than 30 days; give a shorter interval.")
    return interval
