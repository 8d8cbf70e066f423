"""Tables of documents that come from the code: each is in a document as it is made, and a test compares.

python -m scripts.tables        write them
"""

from __future__ import annotations

import json
from collections.abc import Callable

from scripts.stages import ROOT
from udamon.control import nodes
from udamon.core import scheme_fields
from udamon.core.adaptive import parameters

SCHEMAS = ROOT / "docs" / "schemas"


def of_schemas() -> str:
    """JSON documents, by the titles of their schemas."""
    titles = {path.stem: json.loads(path.read_text())["title"] for path in sorted(SCHEMAS.glob("*.json"))}
    rows = [f"| [{name}]({name}.json) | {title} |" for name, title in titles.items()]
    return "\n".join(["| schema | of |", "|---|---|", *rows]) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "docs/acting.md": scheme_fields.table,
    "docs/adaptive.md": parameters.table,
    "docs/control.md": nodes.table,
    "docs/schemas/README.md": of_schemas,
}
"""Document → its table, which the first two lines of it are known by."""


def with_table(document: str, table: str) -> str:
    """The document with the table in place of the one that has the same head. Raises ValueError where there is none."""
    head = "\n".join(table.splitlines()[:2]) + "\n"
    before, found, after = document.partition(head)
    if not found:
        raise ValueError(f"there is no table with the head {head!r}")
    lines = after.splitlines(keepends=True)
    rows = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return before + table.rstrip("\n") + "\n" + "".join(lines[rows:])


def main() -> None:
    """Write all tables."""
    for name, make in TABLES.items():
        path = ROOT / name
        path.write_text(with_table(path.read_text(), make()))


if __name__ == "__main__":
    main()
