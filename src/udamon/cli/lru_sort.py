"""Sort hot memory to the head of the kernel's lists and cold memory to their tail: DAMON_LRU_SORT."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from udamon.availability.choice import choose
from udamon.cli.acting import flags as acting_flags
from udamon.cli.acting import session
from udamon.cli.acting.session import Job
from udamon.cli.targets import check
from udamon.core.scheme import Action, SchemeStatus
from udamon.errors import UsageError
from udamon.modules.lru_sort import LruSortParameters
from udamon.schemes.config.pattern import WantedScheme


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be sorted")
    parser.add_argument(
        "--cold-only",
        action="store_true",
        help="only the cold half, which is all that can be asked for from outside the kernel",
    )
    acting_flags.configure(parser)
    acting_flags.configure_module(parser, LruSortParameters, tunable=True)


def run(args: argparse.Namespace) -> int:
    """Sort until the target, the duration or the user ends it."""
    check(args)
    from_outside = args.sim is None and choose(args.via) != "kernel"
    if from_outside and not args.cold_only and not args.dry_run:
        raise UsageError(
            "no system call moves another process's hot memory to the head of the lists; use --via kernel, where "
            "DAMON does it, or --cold-only for the cold half alone."
        )
    acting_flags.settle_monitor(args)

    def read() -> Sequence[WantedScheme]:
        parameters = acting_flags.read_parameters(args, LruSortParameters())
        return (parameters.cold(),) if args.cold_only else parameters.schemes()

    file = None if args.parameters is None else Path(args.parameters)
    return session.run(args, Job(read, file, dry=args.dry_run, more=_by_the_kernels_names))


def _by_the_kernels_names(statuses: Sequence[SchemeStatus]) -> Mapping[str, object]:
    """What DAMON_LRU_SORT calls them."""
    found: dict[str, object] = {}
    for status in statuses:
        half, stats = "hot" if status.scheme.action is Action.LRU_PRIO else "cold", status.stats
        found |= {
            f"nr_lru_sort_tried_{half}_regions": stats.nr_tried,
            f"bytes_lru_sort_tried_{half}_regions": stats.sz_tried,
            f"nr_lru_sorted_{half}_regions": stats.nr_applied,
            f"bytes_lru_sorted_{half}_regions": stats.sz_applied,
            f"nr_{half}_quota_exceeds": stats.qt_exceeds,
        }
    return found
