"""The flags that say what to watch, shared by the commands that monitor."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from udamon import console
from udamon.errors import UsageError
from udamon.linux.cgroup.names import find_container, find_unit
from udamon.model import Range
from udamon.targets.named import NameMatch, find
from udamon.units import parse_size

_LISTED = 8
"""Pids of one name that are listed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group(
        "target", "One of -p, --cgroup, --service, --container, --paddr, --sim, or -- COMMAND ARGS."
    )
    group.add_argument(
        "-p",
        "--pid",
        action="append",
        metavar="PID|NAME[,…]",
        help="processes, by pid or by the name of their program (may be repeated; self: who started udamon)",
    )
    group.add_argument("--children", action="store_true", help="their descendants too, as they come and go")
    group.add_argument("--cgroup", metavar="PATH", help="every process of a control group and below")
    group.add_argument("--service", metavar="UNIT", help="the control group of a unit of systemd")
    group.add_argument(
        "--container",
        metavar="ID",
        help="the control group of a container: the first digits of its id, 4 or more",
    )
    group.add_argument("--paddr", action="store_true", help="the physical memory of the machine")
    group.add_argument("--sim", metavar="CONFIG", help="a simulated workload, in real time, for trying out")
    group.add_argument("--user", metavar="NAME", help="run COMMAND as this user (needs root)")
    group.add_argument(
        "--range", action="append", default=[], metavar="START-END", help="address range, with --ops fvaddr"
    )


def check(args: argparse.Namespace, *, or_file: bool = False) -> None:
    """Names in `args.pid` become pids, and a unit or a container `args.cgroup`; says what a name stands for.

    `or_file`: the command takes a recording as well. Raises UsageError unless exactly one target is given and its flags
    fit it, CannotError where it is not there.
    """
    given = [
        name
        for name, value in (
            ("-p", args.pid),
            ("--cgroup", args.cgroup),
            ("--service", args.service),
            ("--container", args.container),
            ("--paddr", args.paddr),
            ("--sim", args.sim),
            ("-- COMMAND", args.command is not None),
        )
        if value
    ]
    if not given:
        raise UsageError(
            f"there is nothing to {'read or ' if or_file else ''}watch; give "
            f"{'FILE (a recording), ' if or_file else ''}-p PID, --cgroup PATH, "
            "--service UNIT, --container ID, --paddr, --sim or -- COMMAND, for example -p redis-server."
        )
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} exclude each other; give one target.")
    if args.command == []:
        raise UsageError("there is no command behind --; write -- COMMAND ARGS.")
    if args.user and args.command is None:
        raise UsageError("--user says who runs COMMAND, and there is none; add -- COMMAND.")
    if args.children and not (args.pid or args.command):
        raise UsageError("--children goes with -p or -- COMMAND.")
    if args.service or args.container:
        args.cgroup = find_unit(args.service) if args.service else find_container(args.container)
        args.service = args.container = None
    if args.pid:
        found = find(args.pid)
        args.pid = [str(pid) for one in found for pid in one.pids] or args.pid
        if not getattr(args, "quiet", False):
            for one in found:
                if len(one.pids) > 1:
                    console.say(_several(one))


def _several(found: NameMatch) -> str:
    shown = ", ".join(map(str, found.pids[:_LISTED]))
    more = f" and {len(found.pids) - _LISTED} more" if len(found.pids) > _LISTED else ""
    return f"{len(found.pids)} processes are called {found.word}: {shown}{more}."


def pids(texts: Sequence[str]) -> list[int]:
    """The pids of `args.pid` after `check`."""
    return [int(word) for text in texts for word in text.split(",") if word]


def ranges(texts: Sequence[str]) -> list[Range]:
    """Ranges from "START-END", decimal, 0x… or with a unit. Raises UsageError."""
    parsed = []
    for text in texts:
        start, dash, end = text.partition("-")
        if not dash:
            raise UsageError(f"--range: {text[:60]!r} is not a range; write it like 0x1000-0x5000.")
        parsed.append(Range(_address(text, start), _address(text, end)))
    return parsed


def _address(text: str, part: str) -> int:
    try:
        return parse_size(part)
    except UsageError as error:
        raise UsageError(
            f"--range {text[:60]}: {part[:24]!r} is no address; write it like 0x7f0000001000, with 0x in front, which "
            "/proc/PID/maps leaves out."
        ) from error
