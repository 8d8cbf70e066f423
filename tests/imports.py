"""What a source file of udamon or of its tests imports, read from its text without running it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "udamon"


class Import(NamedTuple):
    path: Path
    line: int
    module: str
    nested: bool  # inside a function or `if TYPE_CHECKING:`

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


@functools.cache
def imports_of(path: Path, text: str | None = None) -> tuple[Import, ...]:
    """Every import, with absolute names. `text` stands for the file's content."""
    tree = ast.parse(path.read_text() if text is None else text, str(path))
    return tuple(_walk(tree, path, nested=False))


def _walk(node: ast.AST, path: Path, nested: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(path, node.lineno, alias.name, nested)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(node, path)
        for alias in node.names:  # `from udamon import ops` names a room only with its last part
            yield Import(path, node.lineno, f"{base}.{alias.name}", nested)
    inner = nested or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        inner = True
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, path, inner)


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(SOURCE.parent if path.is_relative_to(SOURCE) else ROOT).parent.parts
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


NEVER = 1 << 30
EVERYWHERE = {SOURCE / "record" / "reader.py"}
"""Nearly every test reads a recording; the C that reading takes has tests of its own (unit/native/test_rows.py)."""


@functools.cache
def distance_to_native(path: Path) -> int:
    """How many imports, at once or later, lie between a file and the C extension: 1 when it imports that itself,
    NEVER when none leads there. A constant of the extension calls nothing."""
    distances = {path: 1}
    waiting = [path]
    for current in waiting:  # grows meanwhile: nearest first
        if current in EVERYWHERE:
            continue
        for found in imports_of(current):
            if found.module.startswith("udamon.native"):
                if not found.module.rpartition(".")[2].isupper():
                    return distances[current]
                continue
            for file in files_of(found.module):
                if file not in distances:
                    distances[file] = distances[current] + 1
                    waiting.append(file)
    return NEVER


def files_of(module: str) -> list[Path]:
    """The files a name stands for: a module, a package, or something inside of one."""
    top, *rest = module.split(".")
    if top not in ("udamon", "tests"):
        return []
    base = SOURCE if top == "udamon" else ROOT / "tests"
    for parts in (rest, rest[:-1]):
        place = base.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return [file]
    return []
