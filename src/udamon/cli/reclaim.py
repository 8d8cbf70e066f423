"""Take memory out that was not accessed for long: DAMON_RECLAIM, for a process, a cgroup, or the whole machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from udamon.availability.choice import choose
from udamon.cli.acting import flags as acting_flags
from udamon.cli.acting import session
from udamon.cli.acting.session import Job
from udamon.cli.targets import check
from udamon.core.scheme import SchemeStatus
from udamon.errors import UsageError
from udamon.modules.reclaim import ReclaimParameters
from udamon.schemes.config.pattern import WantedScheme


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be taken out")
    parser.add_argument(
        "--by",
        choices=("region", "cgroup"),
        default="region",
        help="cgroup: find out how much of --cgroup is cold, and let the kernel choose which pages of it to take "
        "(memory.reclaim); default region",
    )
    acting_flags.configure(parser)
    acting_flags.configure_module(parser, ReclaimParameters, tunable=True)


def run(args: argparse.Namespace) -> int:
    """Reclaim until the target, the duration or the user ends it."""
    acting_flags.settle_monitor(args)
    check(args)
    # Of physical memory all is there; and older kernels know no such charge.
    sparse = not args.paddr and (args.sim is not None or choose(args.via) != "kernel")
    by_cgroup = args.by == "cgroup"
    if by_cgroup:
        _check_by_cgroup(args)

    def read() -> Sequence[WantedScheme]:
        return acting_flags.read_parameters(args, ReclaimParameters()).schemes(sparse=sparse)

    file = None if args.parameters is None else Path(args.parameters)
    job = Job(read, file, dry=args.dry_run, by_cgroup=by_cgroup, more=_by_the_kernels_names)
    return session.run(args, job)


def _check_by_cgroup(args: argparse.Namespace) -> None:
    if args.cgroup is None:
        raise UsageError("--by cgroup takes memory of a whole cgroup; say which with --cgroup PATH.")
    if args.include:
        raise UsageError("with --by cgroup the kernel chooses the pages; leave --include out.")
    if args.via == "kernel":
        raise UsageError("--by cgroup is done from outside the kernel; choose another --via.")


def _by_the_kernels_names(statuses: Sequence[SchemeStatus]) -> Mapping[str, object]:
    """What DAMON_RECLAIM calls them."""
    (stats,) = (status.stats for status in statuses)
    return {
        "nr_reclaim_tried_regions": stats.nr_tried,
        "bytes_reclaim_tried_regions": stats.sz_tried,
        "nr_reclaimed_regions": stats.nr_applied,
        "bytes_reclaimed_regions": stats.sz_applied,
        "nr_quota_exceeds": stats.qt_exceeds,
    }
