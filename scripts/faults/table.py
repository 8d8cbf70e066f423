"""docs/faults.md: which suite catches which fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scripts.faults import catalogue
from scripts.faults.catalogue import Fault
from scripts.faults.running import Result, Results
from scripts.faults.suites import GUEST_LIMIT_S, LIMIT_S, SUITES, Suite
from scripts.faults.verdicts import CAUGHT
from scripts.stages import ROOT

DOCUMENT = ROOT / "docs" / "faults.md"
STAGES = ("selected", "whole", "guest")

HEAD = (
    "# Planted faults\n\n"
    "To test the tests, {number} faults are planted in a copy of the source, one at a time. {hand} were "
    "written by hand (`scripts/faults/planted.toml`); a mutation tool drew {drawn} at random "
    "(`scripts/faults/mutations.toml`).\n\n"
    "Each fault is tried in up to three steps, until a test fails:\n\n"
    "1. The tests that execute the changed lines (for C: that call functions of the file), for at most "
    "{limit:.0f} s.\n"
    "2. All tests on the host.\n"
    "3. The files of `tests/guest` that reach lines which only a guest's kernel executes, for at most "
    "{guest:.0f} s.\n\n"
    "A test on the host that caught a fault was run again without it, and passed. `make test-all` runs every test of "
    "`make test`, with more examples: what the latter caught was not run again (*as test*).\n\n"
    "`python -m scripts.faults run` does this and keeps the results in `.work/faults`. "
    "`python -m scripts.faults table` writes this file from them.\n\n"
    "*Missed*: no test failed. *Out of time*: the limit was reached before one did.\n\n"
    "| suite | is | caught | missed | out of time | not run |\n"
    "|---|---|---|---|---|---|"
)


def write(results: Results) -> Path:
    """Write the document; returns where."""
    faults = catalogue.load()
    lines = [head(faults)]
    for suite in SUITES.values():
        verdicts = [found.verdict if (found := final(results, fault, suite)) else "" for fault in faults]
        counts = [str(verdicts.count(verdict)) for verdict in (CAUGHT, "missed", "timeout", "")]
        lines.append(f"| {suite.name} | {suite.says} | {' | '.join(counts)} |")
    names = " | ".join(SUITES)
    lines += ["", f"| fault | in | what breaks | {names} |", "|---|---|---|" + "---|" * len(SUITES)]
    for fault in faults:
        cells = " | ".join(_cell(final(results, fault, suite), suite) for suite in SUITES.values())
        lines.append(f"{row(fault)} {cells} |")
    DOCUMENT.write_text("\n".join(lines) + "\n")
    return DOCUMENT


def head(faults: Sequence[Fault]) -> str:
    """What stands above the figures."""
    hand = sum(fault.author == "hand" for fault in faults)
    drawn = len(faults) - hand
    return HEAD.format(number=len(faults), hand=hand, drawn=drawn, limit=LIMIT_S, guest=GUEST_LIMIT_S)


def row(fault: Fault) -> str:
    """What stands before the verdicts on a fault."""
    breaks = fault.breaks if fault.author == "hand" else f"{fault.author}: {fault.breaks}"
    return f"| {fault.id} | {fault.file.removeprefix('src/udamon/')} | {breaks} |"


def final(results: Results, fault: Fault, suite: Suite) -> Result | None:
    """The stage that caught it, else the last one that ran; None where none did for this fault as it is now. What an
    included suite caught counts as caught."""
    if suite.includes and (less := final(results, fault, SUITES[suite.includes])) and less.verdict == CAUGHT:
        return less
    found = [one for stage in STAGES if (one := results.get(fault, suite.name, stage)) is not None]
    found = [one for one in found if one.key.startswith(fault.digest)]
    caught = [one for one in found if one.verdict == CAUGHT]
    return caught[0] if caught else found[-1] if found else None


def _cell(result: Result | None, suite: Suite) -> str:
    if result is None:
        return "not run"
    if result.suite != suite.name:
        return f"as {result.suite}"
    if result.verdict != CAUGHT:
        return f"**{result.verdict}**" + ("" if result.stage == "selected" else f" ({result.stage})")
    test = result.by.removeprefix("tests/").partition("[")[0].replace("|", "\\|")
    return f"`{test}`, {result.seconds:.0f} s" if test else f"{result.stage}, {result.seconds:.0f} s"
