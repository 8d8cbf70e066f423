"""The table of JSON documents in docs/schemas/README.md, from the titles of the schemas.

python -m scripts.schemas       write it
"""

from __future__ import annotations

import json

from scripts.stages import ROOT

SCHEMAS = ROOT / "docs" / "schemas"
PAGE = SCHEMAS / "README.md"
HEAD = "| schema | of |\n|---|---|\n"


def table() -> str:
    """The table, a row for each schema."""
    titles = {path.stem: json.loads(path.read_text())["title"] for path in sorted(SCHEMAS.glob("*.json"))}
    return HEAD + "".join(f"| [{name}]({name}.json) | {title} |\n" for name, title in titles.items())


def write() -> None:
    """Put the table into the page, in place of the one that is there."""
    before, _, _ = PAGE.read_text().partition(HEAD)
    PAGE.write_text(before + table())


if __name__ == "__main__":
    write()
