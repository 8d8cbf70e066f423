"""What this machine offers for monitoring, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TypedDict

from udamon import console, text
from udamon.availability.findings import Findings, examine
from udamon.availability.primitives import Usable
from udamon.availability.tlb import sentence as tlb_sentence
from udamon.cli.defaults import Defaults, values
from udamon.configuration import files
from udamon.linux.roots import Roots
from udamon.model import grain

_GREEN, _RED, _BOLD = "\033[32m", "\033[31m", "\033[1m"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, as JSON does")


def run(args: argparse.Namespace) -> int:
    """Look, changing nothing, and print what was found."""
    defaults = Defaults.read()
    variables = defaults.check()
    found, configured = examine(Roots()), configuration(defaults, variables)
    if args.json:
        console.document(document(found) | {"configuration": configured}, indent=2)
    else:
        colour = console.wants_colour(sys.stdout)
        console.out(
            text.lines(
                [*lines(found, colour=colour, details=args.verbose), *_defaults(configured, colour=colour)]
            ),
            wrap=True,
        )
    return 0


class Configuration(TypedDict):
    """Of the document of `--json`: values by their keys, or by the names of variables."""

    environment: dict[str, str]
    files: list[ConfigurationFile]


class ConfigurationFile(TypedDict):
    """`read`: it is there."""

    file: str
    read: bool
    values: dict[str, str]


def configuration(defaults: Defaults, variables: dict[str, str]) -> Configuration:
    """Where defaults of flags come from: files in the order in which they count, after the environment's variables."""
    read = {file.name: values(file) for file in defaults.files}
    places = [str(path) for path in (files.user_path(), files.SYSTEM) if path is not None]
    return {
        "environment": variables,
        "files": [{"file": place, "read": place in read, "values": read.get(place, {})} for place in places],
    }


def document(found: Findings) -> dict[str, object]:
    """The document of `--json`."""
    kernel = found.kernel
    return {
        "schema": 1,
        "auto": found.auto,
        "auto_why": found.auto_why,
        "offered": found.offered,
        "grain": None if found.auto is None else grain(found.auto),
        "primitives": {name: _as_primitive(name, usable) for name, usable in found.primitives.items()},
        "lru_gen": _as_dict(found.lru_gen),
        "tlb": found.tlb and found.tlb.state,
        "tlb_missed_below_bytes": found.tlb and found.tlb.missed_below,
        "actions": {name: _as_dict(usable) for name, usable in found.actions.items()},
        "kernel_damon": {
            "present": kernel.present,
            "busy": kernel.busy,
            "why": kernel.why,
            "users": list(kernel.users),
            "ops": None if kernel.ops is None else list(kernel.ops),
            "physical": kernel.physical,
        },
        "locks": [{"target": target, "holder": holder} for target, holder in found.locks.holders.items()],
        "locks_more": found.locks.more,
        "conflicts": list(found.conflicts),
    }


def _as_primitive(name: str, found: Usable) -> dict[str, object]:
    own = {"grain": grain(name), "details": found.details}
    return _as_dict(found) | own | ({"backend": found.backend or None} if name == "pte" else {})


def _as_dict(found: Usable) -> dict[str, object]:
    return {"usable": found.usable, "why": found.why, "fix": found.fix, "offered": found.offered}


def lines(found: Findings, *, colour: bool, details: bool = False) -> Iterator[str]:
    """The findings for people: aligned, a line each, what to do below what is missing; with `details` all there is."""
    yield _paint("Ways to see accesses (record --via)", _BOLD, colour)
    for name, usable in found.primitives.items():
        yield from _item(name, usable, colour)
        if details and usable.details:
            yield f"  {'':<20}{usable.details}"
        if name == "refs" and found.tlb is not None:
            text = tlb_sentence(found.tlb)
            yield f"  {'':<20}{text[0].upper()}{text[1:]}"
    yield from _item("lru_gen", found.lru_gen, colour)
    yield f"  auto means {found.auto} here" if found.auto else "  auto finds nothing to use here"
    if details:
        yield f"  {'':<20}{found.auto_why[0].upper()}{found.auto_why[1:].rstrip('.')}."
    if found.offered is not None:
        yield f"  {found.offered}"
    yield _paint("In-kernel DAMON", _BOLD, colour)
    yield f"  {found.kernel.why}"
    if found.kernel.ops:
        yield f"  It can watch: {', '.join(found.kernel.ops)}."
    yield _paint("Actions on memory (schemes, reclaim, lru-sort)", _BOLD, colour)
    for name, usable in found.actions.items():
        yield from _item(name, usable, colour)
    yield _paint("Conflicts", _BOLD, colour)
    yield from (f"  {conflict}" for conflict in found.conflicts or ("none known",))


def _defaults(found: Configuration, *, colour: bool) -> Iterator[str]:
    yield _paint("Defaults of flags, in the order in which they count", _BOLD, colour)
    for name, value in found["environment"].items():
        yield f"  {name}={value}"
    for file in found["files"]:
        yield f"  {file['file']}{'' if file['read'] else ' (there is none)'}"
        yield from (f"    {key} = {value}" for key, value in file["values"].items())


def _item(name: str, found: Usable, colour: bool) -> Iterator[str]:
    mark, code = ("yes", _GREEN) if found.usable else ("no", _RED)
    yield text.line(f"  {name:<13}", _paint(f"{mark:<7}", code, colour), found.why)
    if found.fix:
        yield f"  {'':<20}{found.fix}"


def _paint(words: str, code: str, colour: bool) -> text.Shown:
    return text.paint(code, words) if colour else text.escape(words)
