"""The flags of monitoring attributes, shared by the commands that monitor."""

from __future__ import annotations

import argparse

from udamon.core.attrs import Attrs
from udamon.errors import AttrsError, UsageError
from udamon.units import parse_time_us

LONGEST_US = 30 * 86_400_000_000
"""No interval is longer: 30 days. The clocks' 64 bits of nanoseconds end somewhere above."""


def configure(parser: argparse.ArgumentParser, update: str = "1s") -> None:
    group = parser.add_argument_group("monitoring attributes")
    group.add_argument(
        "--sample",
        metavar="TIME",
        help="sampling interval (default 5ms; via refs and softdirty, what --overhead allows)",
    )
    group.add_argument("--aggr", metavar="TIME", help="aggregation interval (default 20 sampling intervals)")
    group.add_argument(
        "--update", metavar="TIME", default=update, help=f"update interval of targets (default {update})"
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
    return Attrs(sample, aggr, update or 0, args.min_regions, args.max_regions)


def _interval(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    interval = 0 if text.strip() == "0" else parse_time_us(text)
    if interval == 0:
        raise UsageError(f"{flag} {text} is no interval; give at least 1us.")
    if interval > LONGEST_US:
        raise UsageError(f"{flag} {text} is longer than 30 days; give a shorter interval.")
    return interval
