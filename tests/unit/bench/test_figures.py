"""Tables of the benchmarks go to the page that has their marks, and to no other place."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from bench.figures import DOCUMENTS, page_of, put

A, B = "<!-- bench a -->", "<!-- end a -->"


def test_each_figure_has_one_place() -> None:
    pages = [page.read_text() for page in DOCUMENTS.glob("*.md")]
    begins = Counter(name for page in pages for name in re.findall("<!-- bench (.+?) -->", page))
    ends = Counter(name for page in pages for name in re.findall("<!-- end (.+?) -->", page))
    assert begins
    assert set(begins.values()) == {1}
    assert [name for name in begins if ends[name] != 1] == []


def test_a_table_replaces_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "text of a\n"
    (tmp_path / "a.md").write_text(other)
    (tmp_path / "b.md").write_text(f"before\n{A}\nold\n{B}\nafter <!-- end ab -->\n")
    assert page_of("a", tmp_path) == tmp_path / "b.md"
    put("a", r"| new \1 |", tmp_path)
    assert (tmp_path / "b.md").read_text() == (f"before\n{A}\n\n| new \\1 |\n\n{B}\nafter <!-- end ab -->\n")
    assert (tmp_path / "a.md").read_text() == other
    put("c", "text", tmp_path)
    assert "no page of docs/ has a place for c" in capsys.readouterr().err
