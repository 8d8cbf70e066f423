"""Which tests a fault is shown to: those that execute the lines it changes."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scripts.faults.catalogue import Fault
from scripts.faults.functions import calls, functions_of
from scripts.faults.recording import Contexts, file_digests
from scripts.faults.suites import OWN_TEST, TESTS
from scripts.stages import ROOT


@dataclass(frozen=True)
class Selection:
    """Arguments for pytest, the quickest files first, and how they were come to."""

    arguments: tuple[str, ...]
    why: str

    def __len__(self) -> int:
        return len(self.arguments)


def select(fault: Fault, contexts: Contexts, root: Path) -> Selection:
    """For the copy of the tests at `root`, which may have changed since coverage was recorded."""
    if fault.is_c:
        found, direct = _by_functions(fault, contexts, root)
        near = found
        why = "reach its C functions"
    else:
        found, direct = _by_lines(contexts, fault.file, _executed(fault)), set()
        near = set().union(*contexts.lines(fault.file).values())
        why = "execute its lines"
        if not found or _at_import(fault):
            # What a module computes when it is imported is used by all that run its functions.
            found = near
            why = "execute its file (its lines only while it is imported)"
    return Selection(_arguments(found, near, direct, contexts, root), why)


def _by_lines(contexts: Contexts, file: str, wanted: set[int]) -> set[str]:
    return {test for line, tests in contexts.lines(file).items() if line in wanted for test in tests}


def _executed(fault: Fault) -> set[int]:
    """The lines of the changed statements; of one with a block (`if`, `for`) those of its head. What is no statement
    (`else`, `finally`) stands for the one that follows."""
    changed = set(fault.lines())
    found: set[int] = set()
    after: set[int] = set()
    for node in ast.walk(ast.parse((ROOT / fault.file).read_text())):
        if not isinstance(node, ast.stmt | ast.ExceptHandler):
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        own = range(node.lineno, max(end, node.lineno) + 1)
        if changed.intersection(own):
            # An `except` is passed by every exception that is another's: what is in it tells.
            found.update([node.body[0].lineno] if isinstance(node, ast.ExceptHandler) else own)
        elif node.lineno > max(changed):
            after.add(node.lineno)
    return found or {min(after)} if after else found


def _at_import(fault: Fault) -> bool:
    """None of the changed lines is in the body of a function."""
    tree = ast.parse((ROOT / fault.file).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {
        line
        for node in functions
        for line in range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1)
    }
    return inside.isdisjoint(fault.lines())


def _by_functions(fault: Fault, contexts: Contexts, root: Path) -> tuple[set[str], set[str]]:
    """Tests that execute a call of a function of that C file, and test files that call one themselves."""
    names = functions_of(fault)
    found: set[str] = set()
    for path in sorted((ROOT / "src/udamon").rglob("*.py")):
        if lines := calls(path, names):
            found |= _by_lines(contexts, str(path.relative_to(ROOT)), lines)
    direct = {
        str(path.relative_to(root))
        for place in TESTS
        for path in sorted((root / place).rglob("test_*.py"))
        if calls(path, names)
    }
    return found, direct


def _arguments(
    found: set[str], near: set[str], direct: set[str], contexts: Contexts, root: Path
) -> tuple[str, ...]:
    """Ids of tests. Of what its tests execute now that a file has changed nothing is known: it is taken whole if one of
    them was `near`; one that is new is taken whole anyway."""
    now = _digests(root)
    same = {file for file, digest in now.items() if contexts.files.get(file) == digest}
    ids: dict[str, list[str]] = defaultdict(list)
    for test in found:
        ids[contexts.tests[test].file].append(test)
    whole = {file for file in direct | ({contexts.tests[test].file for test in near} - same) if file in now}
    whole |= {
        file
        for file in set(now) - set(contexts.files)
        if file.startswith(TESTS) and Path(file).name.startswith("test_")
    }
    seconds: dict[str, float] = defaultdict(float)
    for about in contexts.tests.values():
        if about.file in whole or about.id in found:
            seconds[about.file] += about.seconds
    files = ({file for file in ids if file in same} | whole) - {OWN_TEST}

    def order(file: str) -> tuple[bool, float, str]:
        return file not in direct, seconds[file], file

    return tuple(
        argument
        for file in sorted(files, key=order)
        for argument in ([file] if file in whole else sorted(ids[file]))
    )


@functools.cache
def _digests(root: Path) -> dict[str, str]:
    return file_digests(root)
