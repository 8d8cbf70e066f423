"""Say what schemes would do to a target's memory, or with --apply do it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from udamon.availability.choice import choose
from udamon.cli.acting import flags as acting_flags
from udamon.cli.acting import session
from udamon.cli.acting.session import Job
from udamon.cli.attributes import attrs_of
from udamon.core.scheme import Action
from udamon.core.scheme_fields import MIGRATIONS
from udamon.errors import UsageError
from udamon.modules.reclaim import ReclaimParameters
from udamon.modules.single import FLAGS, PATTERN, QUOTA, RESET, scheme_of
from udamon.schemes.config.pattern import WantedScheme
from udamon.schemes.config.reading import load_schemes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--apply", action="store_true", help="do it; without this flag nothing is done")
    group = parser.add_argument_group("schemes: a file of them, or one by flags")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="YAML or TOML (docs/acting.md); read again on SIGHUP and when it changes",
    )
    group.add_argument(
        "--action",
        choices=[action.value for action in Action],
        metavar="ACTION",
        help=f"what to do to memory that matches: {', '.join(Action)}",
    )
    for name, flag in FLAGS.items():
        group.add_argument(f"--{name}", metavar=flag.metavar, help=flag.help)
    group.add_argument(
        "--no-quota",
        action="store_true",
        help="no limit of time or bytes (default: that of reclaim, 10ms and 128 MiB a second)",
    )
    group.add_argument(
        "--all", action="store_true", help="act on all memory, the hot included: instead of a pattern"
    )
    acting_flags.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Watch and tell, or act, until the target, the duration or the user ends it."""
    flags = {name: text for name in FLAGS if (text := getattr(args, name.replace("-", "_"))) is not None}
    if args.config is not None:
        if args.action is not None or flags or args.all or args.no_quota:
            raise UsageError(
                "schemes come from --config or from --action and its flags; leave one of them out."
            )
        path = Path(args.config)
        return session.run(args, Job(lambda: load_schemes(path), path, dry=not args.apply))
    if args.action is None:
        raise UsageError("there is no scheme; give --config FILE, or --action with --min-age and the like.")
    one = _scheme(args, Action(args.action), flags)

    def read() -> Sequence[WantedScheme]:
        return (one,)

    return session.run(args, Job(read, dry=not args.apply))


def _scheme(args: argparse.Namespace, action: Action, flags: Mapping[str, str]) -> WantedScheme:
    """The scheme that the flags describe. Raises UsageError."""
    pattern = [name for name in PATTERN if name in flags]
    if args.all and pattern:
        raise UsageError(f"--all and --{pattern[0]} exclude each other; leave one of them out.")
    quota = [name for name in QUOTA if name in flags]
    if args.no_quota and quota:
        raise UsageError(f"--no-quota and --{quota[0]} exclude each other; leave one of them out.")
    if "target-nid" in flags and action not in MIGRATIONS:
        raise UsageError(f"--target-nid is of use with {' and '.join(MIGRATIONS)}; leave it out.")
    one = scheme_of(action, flags)
    if args.apply and not args.all and action is not Action.STAT and one.matches_all(attrs_of(args)):
        how = "with this pattern" if pattern else "without a pattern"
        raise UsageError(
            f"{how} {action} would be applied to all memory, the hot included; say which memory with "
            f"{', '.join('--' + name for name in PATTERN[:-1])} or --{PATTERN[-1]}, or give --all."
        )
    found, limits = one.scheme.quotas, [name for name in quota if name != RESET]
    if quota and not found.reset_interval_ms:
        raise UsageError(f"--{RESET} {flags[RESET]} is no time that a quota can be for; give at least 1ms.")
    if limits and not (found.ms or found.bytes):
        raise UsageError(f"--{limits[0]} {flags[limits[0]]} limits nothing; give more, or --no-quota.")
    if limits or args.no_quota or action is Action.STAT:
        return one
    # As in reclaim: of physical memory all is there, and older kernels know no charge of failures.
    sparse = not args.paddr and (args.sim is not None or choose(args.via) != "kernel")
    (like,) = ReclaimParameters().schemes(sparse=sparse)
    quotas = like.scheme.quotas
    if quota:
        quotas = replace(quotas, reset_interval_ms=found.reset_interval_ms)
    return replace(one, scheme=replace(one.scheme, quotas=quotas))
