"""What commands that read recordings share: the flags of their limits, and what is said of damage."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from udamon import console
from udamon.arguments import named
from udamon.cli.numbers import whole

if TYPE_CHECKING:
    from udamon.record.limits import ReadLimits
    from udamon.record.reader import Recording

FLAGS = ("max_memory", "max_rows", "max_depth", "max_copy")
"""The names of the flags in what argparse gives."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("limits of reading, against files that were made to be too much")
    group.add_argument(
        "--max-memory", metavar="SIZE", help="for queries and one flush of the file (default 400MiB)"
    )
    group.add_argument("--max-rows", metavar="N", type=whole,
                       help="rows of the recording (default 20 million, or 16 a byte where that is more)")  # fmt: skip
    group.add_argument("--max-depth", metavar="N", type=whole, help="nesting of JSON in it (default 32)")
    group.add_argument(
        "--max-copy", metavar="SIZE", help="a recording through a pipe, copied to TMPDIR (default 1GiB)"
    )


def limits(args: argparse.Namespace) -> ReadLimits:
    """The limits that were given. Raises UsageError."""
    from udamon.record.limits import DEFAULT, ReadLimits
    from udamon.units import parse_size

    return ReadLimits(
        memory=DEFAULT.memory
        if args.max_memory is None
        else named("--max-memory", parse_size, args.max_memory),
        rows=args.max_rows,
        depth=DEFAULT.depth if args.max_depth is None else args.max_depth,
        copy=DEFAULT.copy if args.max_copy is None else named("--max-copy", parse_size, args.max_copy),
    )


@contextmanager
def telling_damage(recordings: Iterable[Recording]) -> Iterator[None]:
    """At the end say on stderr what of them is damaged, a sentence for each place; also where the block raises, for
    what is missing may be why. `recordings` may grow meanwhile."""
    try:
        yield
    finally:
        for recording in recordings:
            for damage in recording.damaged:
                console.say(damage.sentence)
