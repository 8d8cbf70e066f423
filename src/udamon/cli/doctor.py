"""what this machine offers for monitoring, what is missing, and how to get it"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

from udamon import console, text
from udamon.errors import CannotError
from udamon.linux.failure import hides_processes
from udamon.linux.pid_namespace import foreign
from udamon.linux.roots import Roots
from udamon.linux.sysfs_damon import KernelDamon, kernel_damon
from udamon.ops.actions import ACTIONS, probe_action
from udamon.ops.available import PROBES, Usable, choose, probe
from udamon.ops.lock import HeldLocks, held_locks
from udamon.ops.tlb import Tlb, measured
from udamon.ops.tlb import sentence as tlb_sentence

TOLD = 20
"""Targets with other monitors that are told one by one."""

_GREEN, _RED, _BOLD = "\033[32m", "\033[31m", "\033[1m"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Look, changing nothing, and print what was found."""
    found = examine(Roots())
    if args.json:
        console.document(document(found), indent=2)
    else:
        console.out(text.lines(lines(found, colour=wants_colour(sys.stdout))))
    return 0


@dataclass(frozen=True, slots=True)
class Findings:
    """What doctor found; `auto` is the primitive `--via auto` means, `locks` are targets and their holders.

    `tlb` is of refs, None where that cannot be used.
    """

    auto: str | None
    primitives: Mapping[str, Usable]
    actions: Mapping[str, Usable]
    kernel: KernelDamon
    locks: HeldLocks
    conflicts: tuple[str, ...]
    tlb: Tlb | None


def examine(roots: Roots) -> Findings:
    """Look at the machine. Changes nothing and touches no process but a child of its own."""
    primitives = {name: probe(name, roots) for name in PROBES}
    actions = {name: probe_action(name, roots) for name in ACTIONS}
    kernel, locks = kernel_damon(roots), held_locks(roots)
    conflicts = tuple(_conflicts(kernel, primitives["idle"], locks, roots))
    tlb = measured("refs") if primitives["refs"].usable else None
    return Findings(_auto(roots), primitives, actions, kernel, locks, conflicts, tlb)


def _auto(roots: Roots) -> str | None:
    try:
        return choose("auto", roots)
    except CannotError:
        return None


def _conflicts(kernel: KernelDamon, idle: Usable, locks: HeldLocks, roots: Roots) -> Iterator[str]:
    for target, holder in islice(locks.holders.items(), TOLD):
        yield f"Target {target} is already watched by another monitor ({holder})."
    if (others := len(locks.holders) - TOLD) > 0 or locks.more:
        number = f"{'more than ' if locks.more else ''}{max(others, 0)}"
        yield f"So are {number} other targets{'' if locks.more else ' (--json has them)'}."
    if kernel.busy and idle.offered:
        yield "In-kernel DAMON and idle page tracking use up the same bits: idle will see less."
    if kernel.physical != "no":
        may = "" if kernel.physical == "yes" else "may "
        yield (
            f"In-kernel DAMON {may}watch{'' if may else 'es'} physical memory: refs says too much of files and shared "
            "memory."
        )
    if why := foreign(roots.proc):
        yield why[0].upper() + why[1:]
    if hides_processes(roots.proc):
        yield f"{roots.proc} is mounted with hidepid: processes of other users do not show."


def document(found: Findings) -> dict[str, object]:
    """The document of `--json`."""
    kernel = found.kernel
    return {
        "schema": 1,
        "auto": found.auto,
        "primitives": {name: _as_dict(usable) for name, usable in found.primitives.items()},
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


def _as_dict(found: Usable) -> dict[str, object]:
    return {"usable": found.usable, "why": found.why, "fix": found.fix, "offered": found.offered}


def wants_colour(stream: TextIO) -> bool:
    """Colour on a terminal only, and never against NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def lines(found: Findings, *, colour: bool) -> Iterator[str]:
    """The findings for people: aligned, a line each, what to do below what is missing."""
    yield _paint("Ways to see accesses (record --via)", _BOLD, colour)
    for name, usable in found.primitives.items():
        yield from _item(name, usable, colour)
        if name == "refs" and found.tlb is not None:
            text = tlb_sentence(found.tlb)
            yield f"  {'':<20}{text[0].upper()}{text[1:]}"
    yield f"  auto means {found.auto} here" if found.auto else "  auto finds nothing to use here"
    yield _paint("In-kernel DAMON", _BOLD, colour)
    yield f"  {found.kernel.why}"
    if found.kernel.ops:
        yield f"  It can watch: {', '.join(found.kernel.ops)}."
    yield _paint("Actions on memory (schemes, reclaim, lru-sort)", _BOLD, colour)
    for name, usable in found.actions.items():
        yield from _item(name, usable, colour)
    yield _paint("Conflicts", _BOLD, colour)
    yield from (f"  {conflict}" for conflict in found.conflicts or ("none known",))


def _item(name: str, found: Usable, colour: bool) -> Iterator[str]:
    mark, code = ("yes", _GREEN) if found.usable else ("no", _RED)
    yield text.line(f"  {name:<13}", _paint(f"{mark:<7}", code, colour), found.why)
    if found.fix:
        yield f"  {'':<20}{found.fix}"


def _paint(words: str, code: str, colour: bool) -> text.Shown:
    return text.paint(code, words) if colour else text.escape(words)
