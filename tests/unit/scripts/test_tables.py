"""Tables of documents are those that the code makes."""

from __future__ import annotations

import pytest

from scripts.tables import TABLES, with_table
from tests.imports import ROOT


@pytest.mark.parametrize("name", TABLES)
def test_documents_have_the_tables(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text == with_table(text, TABLES[name]()), "run: python -m scripts.tables"


def test_a_table_takes_the_place_of_the_one_with_its_head() -> None:
    old = "a\n\n| x | y |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\nb\n\n| z |\n|---|\n| 5 |\n"
    assert with_table(old, "| x | y |\n|---|---|\n| 6 | 7 |\n") == old.replace(
        "| 1 | 2 |\n| 3 | 4 |", "| 6 | 7 |"
    )
    assert with_table(old, "| z |\n|---|\n") == old.removesuffix("| 5 |\n")
    with pytest.raises(ValueError, match="no table"):
        with_table(old, "| w |\n|---|\n")
