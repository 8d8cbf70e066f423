"""Say what schemes would do to a target's memory, or with --apply do it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from udamon.cli import acting, acting_flags
from udamon.cli.acting import Job
from udamon.core.scheme import Action
from udamon.errors import UsageError
from udamon.modules.single import FLAGS, scheme_of
from udamon.schemes.config import load_schemes
from udamon.schemes.config_pattern import WantedScheme


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="do it; without this flag nothing is done")
    group = parser.add_argument_group("schemes: a file of them, or one by flags")
    group.add_argument(
        "--config",
        metavar="FILE",
        help="YAML or TOML (docs/acting.md); read again on SIGHUP and when it changes",
    )
    group.add_argument("--action", choices=list(Action), help="what to do to memory that matches")
    for name, flag in FLAGS.items():
        group.add_argument(f"--{name}", metavar=flag.metavar, help=flag.help)
    acting_flags.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Watch and tell, or act, until the target, the duration or the user ends it."""
    flags = {name: text for name in FLAGS if (text := getattr(args, name.replace("-", "_"))) is not None}
    if args.config is not None:
        if args.action is not None or flags:
            raise UsageError(
                "schemes come from --config or from --action and its flags; leave one of them out."
            )
        path = Path(args.config)
        return acting.run(args, Job(lambda: load_schemes(path), path, dry=not args.apply))
    if args.action is None:
        raise UsageError("there is no scheme; give --config FILE, or --action with --min-age and the like.")
    one = scheme_of(Action(args.action), flags)

    def read() -> Sequence[WantedScheme]:
        return (one,)

    return acting.run(args, Job(read, dry=not args.apply))
