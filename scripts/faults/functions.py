"""Which functions of the extension reach a C file, and where Python calls them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from scripts.faults.catalogue import Fault, FaultsError
from scripts.stages import ROOT

REACHED_BY = {
    "address_spaces": ("idle", "visits"), "order": ("idle", "pte"), "sampler": ("idle", "pte"),
    "visits": ("idle", "visits"),
    "chain": ("steps",), "change": ("steps",), "json": ("damo",),
}  # fmt: skip
"""C files without a function for Python, and those whose functions call theirs."""
BINDING = "udamon.native"


def functions_of(fault: Fault) -> set[str]:
    """Functions for Python of the fault's C file, or of those that call into it. Raises FaultsError for none."""
    stem = Path(fault.file).stem
    names: set[str] = set()
    for owner in REACHED_BY.get(stem, (stem,)):
        text = (ROOT / f"src/udamon/native/{owner}.c").read_text()
        names.update(re.findall(r'^(?:    \{"|INTERFACE\()(\w+)', text, re.MULTILINE))
    if not names:
        raise FaultsError(
            f"{fault.file} has no function for Python, and REACHED_BY does not say what calls its own."
        )
    return names


def calls(path: Path, names: set[str]) -> set[int]:
    """The lines of statements that call one of these functions of the extension."""
    text = path.read_text()
    if BINDING not in text or not any(name in text for name in names):
        return set()
    lines: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in names:
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    # Passed by name, for example to functools.partial: code that executes the line may call it later.
    return lines or {
        node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and node.id in names
    }
