"""Take memory out that was not accessed for long: DAMON_RECLAIM, for a process, a cgroup, or the whole machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from udamon.cli import acting, acting_flags
from udamon.cli.acting import Job
from udamon.core.scheme import SchemeStatus
from udamon.modules.reclaim import ReclaimParameters
from udamon.schemes.config_pattern import WantedScheme


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only say what would be taken out")
    acting_flags.configure(parser)
    acting_flags.configure_module(parser, ReclaimParameters, tunable=True)


def run(args: argparse.Namespace) -> int:
    """Reclaim until the target, the duration or the user ends it."""
    acting_flags.settle_monitor(args)

    def read() -> Sequence[WantedScheme]:
        return acting_flags.read_parameters(args, ReclaimParameters()).schemes()

    file = None if args.parameters is None else Path(args.parameters)
    return acting.run(args, Job(read, file, dry=args.dry_run, more=_by_the_kernels_names))


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
