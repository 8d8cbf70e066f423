"""Faults chosen at random by cosmic-ray (`pip install cosmic-ray`), as text for mutations.toml.

They are written down there, so that nobody needs the tool to run them again.
"""

from __future__ import annotations

import ast
import difflib
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from scripts.faults.catalogue import FaultsError
from scripts.stages import ROOT

try:
    from cosmic_ray import plugins
    from cosmic_ray.commands.init import init
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.work_db import WorkDB, use_db
except ImportError as error:
    raise FaultsError("mutations are made by cosmic-ray; install it: pip install cosmic-ray.") from error

ROOMS = ("core", "schemes", "ops", "acting", "targets", "claim", "scheme_metrics", "record")
SAME = ("_Is", "_IsNot")
"""Comparisons made `is` and `is not` are left out: of small numbers they mostly are what they were."""


def generate(seed: int, number: int) -> str:
    """`number` mutations of ROOMS in text, in different files, chosen by `seed`: first a place, then what is done.

    What changes annotations alone is left out, for it changes nothing.
    """
    chance = random.Random(seed)
    places: dict[tuple[Path, int, int, str], list[tuple[str, int]]] = defaultdict(list)
    for path, operator, occurrence, line, column in _all():
        if not operator.endswith(SAME):
            places[path, line, column, "_".join(operator.split("_")[:2])].append((operator, occurrence))
    order = sorted(places)
    chance.shuffle(order)
    files: set[Path] = set()
    found: list[str] = []
    for place in order:
        path = place[0]
        operator, occurrence = chance.choice(sorted(places[place]))
        before = path.read_text()
        after = mutate_code(before, plugins.get_operator(operator)(), occurrence)
        if path in files or after is None or _meaning(before) == _meaning(after):
            continue
        files.add(path)
        found.append(_entry(path, before, after, operator))
        if len(found) == number:
            break
    return f"# cosmic-ray, seed {seed}\n\n" + "\n".join(found)


def _all() -> Iterator[tuple[Path, str, int, int, int]]:
    paths = sorted(path for room in ROOMS for path in (ROOT / "src/udamon" / room).rglob("*.py"))
    with use_db(":memory:", WorkDB.Mode.create) as work:
        init(paths, work, {})
        for item in work.work_items:
            for mutation in item.mutations:
                yield (
                    Path(mutation.module_path), mutation.operator_name, mutation.occurrence, *mutation.start_pos,
                )  # fmt: skip


def _meaning(text: str) -> str:
    """What is executed: the tree without annotations."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(tree)


def _entry(path: Path, before: str, after: str, operator: str) -> str:
    """As few whole lines as are in the file once."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    changes = [
        one
        for one in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if one[0] != "equal"
    ]
    first, last = changes[0][1], changes[-1][2]
    grown = changes[-1][4] - changes[0][3] - (last - first)
    while before.count("".join(old[first:last])) != 1:
        first = max(first - 1, 0)
    lines = "".join(old[first:last]), "".join(new[first : last + grown])
    name = f"{path.stem.replace('_', '-')}-{first + 1}"
    return (
        f'[[fault]]\nid = "{name}"\npart = "{path.relative_to(ROOT / "src/udamon").parts[0]}"\n'
        f'file = "{path.relative_to(ROOT)}"\n'
        f"old = '''\n{lines[0]}'''\nnew = '''\n{lines[1]}'''\n"
        f'breaks = "{operator.removeprefix("core/")}"\n'
    )
