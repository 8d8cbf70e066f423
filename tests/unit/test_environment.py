"""docs/environment.md has every variable that the source reads, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.imports import SOURCE

PAGE = Path(__file__).parents[2] / "docs" / "environment.md"

BY_LIBRARIES = {
    "get_terminal_size": {"COLUMNS", "LINES"},
    "gettempdir": {"TMPDIR", "TEMP", "TMP"},
    "expanduser": {"HOME"},
    "Popen": {"PATH"},
}
"""What functions of the standard library read."""

SET = {"LD_PRELOAD"}
"""Read from what COMMAND would have."""


def variables(text: str) -> set[str]:
    """The variables that a module reads: by name, by a constant of the module that holds the name, or by a library."""
    tree = ast.parse(text)
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            found |= BY_LIBRARIES.get(node.attr if isinstance(node, ast.Attribute) else node.id, set())
        for key in _looked_up(node):
            value = constants.get(key.id) if isinstance(key, ast.Name) else getattr(key, "value", None)
            if isinstance(value, str):
                found.add(value)
    return found


def _looked_up(node: ast.AST) -> Iterator[ast.expr]:
    """The keys that a node looks up in an environment."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("get", "pop")
    ):
        if _environment(node.func.value):
            yield node.args[0]
    elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getenv":
        yield node.args[0]
    elif isinstance(node, ast.Subscript) and _environment(node.value):
        yield node.slice


def _environment(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name.lstrip("_") in ("environ", "environment")


def read_by_source() -> set[str]:
    found = {name for path in SOURCE.rglob("*.py") for name in variables(path.read_text())}
    for path in SOURCE.rglob("*.c"):
        found |= set(re.findall(r'getenv\("(\w+)"\)', path.read_text()))
    return found


def test_the_page_has_them_all_and_no_others() -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| `")]
    on_page = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}
    on_page |= {"TEMP", "TMP"}  # beside TMPDIR, in its row
    assert on_page == read_by_source() | SET


def test_the_search_itself() -> None:
    text = """
import os
NAME = "BY_CONSTANT"
a = os.environ.get(NAME)
b = environ["BY_INDEX"]
c = self._environment.get("BY_ATTRIBUTE", "")
d = os.getenv("BY_FUNCTION")
e = shutil.get_terminal_size()
f = {}.get("NONE")
"""
    assert variables(text) == {"BY_CONSTANT", "BY_INDEX", "BY_ATTRIBUTE", "BY_FUNCTION", "COLUMNS", "LINES"}
