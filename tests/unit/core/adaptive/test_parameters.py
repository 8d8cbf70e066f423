"""The parameters of the policy are in one place, each with unit and reason, and in the document as they are."""

from __future__ import annotations

import ast
import re
from dataclasses import fields

from tests.imports import ROOT, SOURCE
from udamon.core.adaptive.parameters import Parameters, table

ROOM = SOURCE / "core" / "adaptive"
PAGE = (ROOT / "docs" / "adaptive.md").read_text()
ELSEWHERE = {
    "likelihood.py": {"MISS", "NEVER"},
    "space.py": {"PHASES", "GOLDEN"},
    "parameters.py": {"LEVELS", "COARSE_LEVELS"},
}
"""Numbers that nobody chose: codes, and constants of mathematics; and two lists of rates."""


def test_the_document_has_the_table() -> None:
    """python -c "from udamon.core.adaptive.parameters import table; print(table())" prints it."""
    (written,) = re.findall(r"<!-- parameters -->\n\n(.*?)\n\n<!-- end", PAGE, re.DOTALL)
    assert written == table()


def test_each_has_unit_and_reason() -> None:
    for one in fields(Parameters):
        assert one.metadata["unit"]
        assert one.metadata["why"].endswith((".", "."))


def test_names_in_the_formulas_are_parameters() -> None:
    text = PAGE[PAGE.index("## Answers") : PAGE.index("## Parameters")]
    named = {name for name in re.findall(r"`([a-z_]+)`", text) if not name.endswith("nr_regions")}
    assert named - {"adaptive"} <= {one.name for one in fields(Parameters)}


def test_no_other_module_has_numbers_of_its_own() -> None:
    for path in sorted(ROOM.glob("*.py")):
        found = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and any(isinstance(n, ast.Constant) and type(n.value) in (int, float)
                                                    for n in ast.walk(node.value)):  # fmt: skip
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        assert found == ELSEWHERE.get(path.name, set()), path.name
