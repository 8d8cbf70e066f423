"""The flags of all parsers that take a value, and words before which they stand.

Commands that watch or act are given a simulated workload that is not there: their flags are read, and nothing runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from udamon.cli.parsers import COMMANDS, parser_of, with_all_below

_WATCHING = frozenset({"record", "schemes", "reclaim", "lru-sort", "stat", "live", "size"})
_LEFT_OUT = {
    "doctor": "it looks at the machine", "agent": "it watches the machine", "control": "it serves until it is ended",
    "completion": "it takes nothing but choices",
}  # fmt: skip
_NOT = frozenset(
    {
        "--pid", "-p", "--cgroup", "--service", "--container", "--paddr", "--sim", "--children", "--user", "--via",
        "--range", "--ops", "--output", "-o", "--engine", "--master", "--iceberg", "--spool", "--help",
        "--version", "--namespace", "--workload", "--host",
        "--pprof", "--flame", "--svg", "--png", "--html", "--truth",
    }
)  # fmt: skip
"""What chooses targets, runs other programs, or names a file (see fields._file)."""


@cache
def flag_fields() -> list[tuple[str, ...]]:
    """Words of a command, and a flag that takes a value."""
    found = []
    for command in COMMANDS:
        if command in _LEFT_OUT:
            continue
        for parser in with_all_below(parser_of(command)):
            path = tuple(parser.prog.split()[1:])
            found += [
                (*path, action.option_strings[-1])
                for action in parser._actions
                if action.option_strings
                and not _NOT & set(action.option_strings)
                and action.nargs != 0
                and not isinstance(action, argparse._SubParsersAction)
            ]
    return found


def words_of(path: Sequence[str], base: Path, place: Path) -> list[str]:
    """A command line to which a flag may be added."""
    recording, fleet, workload = (str(base / name) for name in ("recording", "fleet", "short.masim"))
    command, *below = path
    missing = str(place / "missing.masim")
    if command == "report":
        return [*path, recording, *([recording] if below == ["diff"] else [])]
    if command == "check":
        return [*path, recording, "--max-wss", "1GiB", "--min-snapshots", "1"]
    if command == "convert":
        return [*path, recording, "-o", str(place / "out"), "--to", "csv"]
    if command == "fleet":
        if below[:1] == ["report"]:
            return [*path, *(["d1"] if below[1:] == ["after"] else []), fleet]
        if below == ["deploy"]:
            return [*path, "d2", str(place / "fleet"), "--service", "web"]
        if below == ["upload"]:
            (place / "spool").mkdir(exist_ok=True)
            return [*path, "--spool", str(place / "spool"), str(place / "fleet")]
        return [*path, str(place / "fleet")]
    if command == "eval":
        return [*path, workload]
    if command == "workload":
        return [*path, missing]
    assert command in _WATCHING, f"give {command} words, or a reason in _LEFT_OUT"
    words = [*path, "--sim", missing]
    return [*words, "-o", str(place / "out")] if command == "record" else words


_ENDLESS = frozenset({"--duration", "--interval", "--for", "--patience"})
"""Flags that may ask for long work, and say so."""


def working_fields() -> list[tuple[str, ...]]:
    """As `flag_fields`, of commands that can do their work on a simulated workload, and flags that do not end it."""
    working = {*_WATCHING, "workload"} - {"live"}
    return [field for field in flag_fields() if field[0] in working and field[-1] not in _ENDLESS]


def working_words(path: Sequence[str], base: Path, place: Path) -> list[str]:
    """A command line that does a little work, to which a flag may be added."""
    workload = str(base / "short.masim")
    words = [workload if word.endswith("missing.masim") else word for word in words_of(path, base, place)]
    action = ["--action", "stat"] if path[0] == "schemes" else []
    return [*words, *action, "--duration", "300ms"]
