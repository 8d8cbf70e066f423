"""Check a recording against limits: one line each, and an exit status, for continuous integration."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from udamon import console
from udamon.cli import reading
from udamon.cli.numbers import whole
from udamon.report.check_limits import DEFAULT_COLD_AGE
from udamon.report.levels import LEVELS
from udamon.units import counted

if TYPE_CHECKING:
    from udamon.report.verdicts import Check

NOT_DECIDED = 3
NOT_CHECKED = "not checked"
"""The outcome where the recording could not be read: the status is that of a limit that is broken."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `udamon check`."""
    parser.add_argument("file", metavar="FILE", help="a recording; - is standard input")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--allow-damaged", action="store_true", help="decide by what is left of a damaged recording"
    )
    parser.add_argument(
        "--allow-estimates", action="store_true", help="decide by estimates where bounds cannot"
    )
    reading.configure(parser)
    group = parser.add_argument_group("limits (at least one)")
    group.add_argument("--max-wss", metavar="SIZE", help="the working set is at most this")
    group.add_argument(
        "--min-wss", metavar="SIZE", help="the working set is at least this (something was seen)"
    )
    group.add_argument("--max-footprint", metavar="SIZE", help="memory in use is at most this")
    group.add_argument(
        "--max-cold-share", metavar="SHARE", help="memory that is not accessed is at most this share"
    )
    group.add_argument("--max-rate", metavar="MAPPING=RATE", action="append", default=[],
                       help="a mapping's mean access rate is at most this, e.g. heap=20%%")  # fmt: skip
    group.add_argument("--min-rate", metavar="MAPPING=RATE", action="append", default=[],
                       help="a mapping's mean access rate is at least this")  # fmt: skip
    group.add_argument("--min-length", metavar="TIME", help="the recording is at least so long")
    group.add_argument("--min-snapshots", metavar="N", type=whole, help="and has N snapshots or more")
    parser.add_argument("--level", choices=LEVELS, default="max",
                        help="of working set and footprint, over all snapshots (default max)")  # fmt: skip
    parser.add_argument(
        "--cold-age",
        metavar="TIME",
        default=DEFAULT_COLD_AGE,
        help=f"so long without access is cold (default {DEFAULT_COLD_AGE})",
    )
    parser.add_argument(
        "--time", metavar="MIN-MAX", help="look only at this time since the start, e.g. 5s-max"
    )
    parser.add_argument(
        "--target", metavar="N", type=whole, action="append", default=[], help="only at this target"
    )
    parser.add_argument(
        "--mapping", metavar="NAME", help="only at mappings of this name, label or kind; * and ?"
    )
    parser.add_argument(
        "--include-warmup", action="store_true", help="check the start that record --warmup marked, too"
    )


def _verdict(found: list[Check], status: int) -> str:
    """What a status other than 0 means, with how many limits it is about."""
    of = sum(check.holds is (False if status == 1 else None) for check in found)
    verb = "is" if of == 1 else "are"
    what = "broken" if status == 1 else "not decided, and none is broken"
    return f"{of} of {counted(len(found), 'limit')} {verb} {what} (status {status})."


def run(args: argparse.Namespace) -> int:
    """Print the checks; 0 when all hold, 1 when one does not, 3 when one is not decided. Raises UdamonError, of which
    CannotError (1, too) says that nothing was checked."""
    from udamon.errors import CannotError

    try:
        return _checked(args)
    except CannotError as error:
        if args.json:
            console.document(
                {"schema": 1, "outcome": NOT_CHECKED, "holds": None, "checks": [], "why": str(error)}
            )
        raise CannotError(f"nothing was checked: {error}") from None


def _checked(args: argparse.Namespace) -> int:
    import sys

    from udamon.cli.progress_line import ProgressLine
    from udamon.files.ending import removing
    from udamon.record.opening import open_recording
    from udamon.report import checks
    from udamon.report.check_limits import CheckLimits
    from udamon.report.common import common_keys, common_lines
    from udamon.report.filters import Filters
    from udamon.report.source import RecordingSource
    from udamon.text import lines

    limits = CheckLimits.parse(
        level=args.level,
        max_wss=args.max_wss,
        min_wss=args.min_wss,
        max_footprint=args.max_footprint,
        max_cold_share=args.max_cold_share,
        cold_age=args.cold_age,
        max_rate=tuple(args.max_rate),
        min_rate=tuple(args.min_rate),
        min_length=args.min_length,
        min_snapshots=args.min_snapshots,
    )
    filters = Filters.parse(
        time=args.time,
        targets=tuple(args.target),
        mapping=args.mapping,
        include_warmup=args.include_warmup,
    )
    with (
        removing(),
        ProgressLine.of_work(sys.stderr) as line,
        RecordingSource(open_recording(args.file, line.step, reading.limits(args)), filters) as source,
        reading.telling_damage(source.recordings),
    ):
        found = checks.measure(
            source, limits, allow_damaged=args.allow_damaged, allow_estimates=args.allow_estimates
        )
        keys, said = common_keys(source), common_lines(source)
    status = {True: 0, False: 1, None: NOT_DECIDED}[checks.verdict(found)]
    console.answer(status)
    if args.json:
        console.document(checks.document(found) | keys)
    else:
        console.out(lines([checks.render(found), *said]), wrap=True)
        if status:
            console.say(_verdict(found, status))
    return status
