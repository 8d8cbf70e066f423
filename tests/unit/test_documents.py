"""What documents and comments refer to is there: links of pages, and the pages and sections that comments cite."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.imports import ROOT
from udamon.cli.parsers import COMMANDS, parser_of, with_all_below

CITATION = re.compile(r"(?<![\w/.])((?:docs/[\w./-]+|DESIGN|README|CONTRIBUTING|CHANGELOG)\.md)(#[\w-]+)?")
"""A page of this repository in a comment, with or without a section."""
FURTHER = re.compile(r"(?:,| and)\s+(#[a-z][\w-]*)")
"""Behind a citation: a further section of the same page."""
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
CODE = re.compile(r"^```.*?^```|^(?: {4}|\t).*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def sources() -> list[Path]:
    """Program text: what may cite a page. This file has made-up ones."""
    rooms = [ROOT / room for room in ("src", "tests", "bench", "scripts", "examples")]
    found = [path for room in rooms for path in room.rglob("*") if path.suffix in (".py", ".pyi", ".c", ".h")]
    return sorted(path for path in found if path != Path(__file__))


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if path.parent.name != "generated")  # what `make docs` makes


def anchors(page: Path) -> set[str]:
    """The sections of a page, named as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = 0
        while (unique := name if number == 0 else f"{name}-{number}") in found:
            number += 1
        found.add(unique)
    return found


def wrong_citations(text: str) -> Iterator[str]:
    """What `text` cites and is not there."""
    for cited in CITATION.finditer(text):
        page, section = ROOT / cited[1], cited[2]
        if not page.is_file():
            yield cited[0]
            continue
        named = [section] if section else []
        at = cited.end()
        while section and (more := FURTHER.match(_joined(text[at : at + 200]))):
            named.append(more[1])
            at = text.index(more[1], at) + len(more[1])
        there = anchors(page) if named else set()
        yield from (f"{cited[1]}{name}" for name in named if name[1:] not in there)


def _joined(text: str) -> str:
    """A comment that goes on in the next line, as one line."""
    return re.sub(r"\n\s*(?:# |\* )?", " ", text)


def test_what_comments_cite_is_there() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {each}"
        for path in sources()
        for each in wrong_citations(path.read_text())
    ]
    assert not wrong, "no such page or section:\n" + "\n".join(wrong)


def test_comments_cite_by_page_and_section_and_not_by_number() -> None:
    """A number tells nobody where to look, and is wrong after the next section that is added."""
    wrong = [str(path.relative_to(ROOT)) for path in sources() if re.search(r"§\s*\d", path.read_text())]
    assert not wrong


def links(page: Path) -> Iterator[str]:
    yield from LINK.findall(CODE.sub("", page.read_text()))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository that git has, and to a section of it. Nothing is asked of the network."""
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, section = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (section and section not in anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# see docs/damon.md#merging", []),
        ("# see docs/damon.md#merging and #goals.", []),
        ("# see docs/damon.md#merging,\n    # #no-such", ["docs/damon.md#no-such"]),
        ("# see docs/damon.md#no-such", ["docs/damon.md#no-such"]),
        ("# see docs/no-such.md", ["docs/no-such.md"]),
        ("# a picture docs/pictures/heatmap.svg", []),
    ],
)
def test_the_search_itself(text: str, wrong: list[str]) -> None:
    assert list(wrong_citations(text)) == wrong


def test_every_flag_is_explained() -> None:
    """In some page, beside the list that is made from the parsers."""
    text = "\n".join(page.read_text() for page in pages())
    flags = {
        (parser.prog, name)
        for command in COMMANDS
        for parser in with_all_below(parser_of(command))
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for name in action.option_strings
        if name.startswith("--")
    }
    lost = [each for each in sorted(flags) if not re.search(rf"{each[1]}(?![\w-])", text)]
    assert not lost, f"no page has these flags: {lost}"


def test_every_page_can_be_found() -> None:
    """From README, by links."""
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_file():
                left.append(target)
    lost = [str(page.relative_to(ROOT)) for page in pages() if page not in seen]
    assert not lost, f"no link leads to these pages: {lost}"


PRIVATE_EXAMPLES = {"docs/reports.md"}
"""Pages whose Python uses private modules, and says so."""


def test_examples_of_pages_use_the_public_library() -> None:
    """Code that readers copy must not break when a private module changes."""
    public = {"udamon", "udamon.errors"}
    for page in pages():
        name = str(page.relative_to(ROOT))
        blocks = re.findall(r"^```python$(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        used = {
            found for block in blocks for found in re.findall(r"^(?:from|import) (udamon[\w.]*)", block, re.M)
        }
        assert used <= public or name in PRIVATE_EXAMPLES, f"{name}: {used - public}"
        assert name not in PRIVATE_EXAMPLES or not used <= public, f"{name} uses public names alone"
