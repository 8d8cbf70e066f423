"""The control tree against a naive account of it: whatever is read, written and counted, both say the same."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.property.control_oracle import Oracle, Refused
from udamon.control.kinds import Count
from udamon.control.nodes import NODES, KeywordVersions
from udamon.control.tree import Tree, TreeDirectory

WORDS = sorted({word for node in NODES if isinstance(node.kind, KeywordVersions) for word in node.kind.since})
DRAWN = ["0", "1", "2", "3\n", "0x1f", "Y", "n", "-1", "junk", *WORDS, *(str(2**n) for n in (16, 31, 32, 64))]
"""Written to files at random."""
NUMBERS = ["0", "1", "2", "00", "x"]
TEXTS = st.one_of(
    st.sampled_from(
        ["0", "1", "2", "10\n", "0x10", "010", "-1", "+3\n", "Y", "off", "on\n", "", "\n", " 1", "1 ", "1e3"]
    ),
    st.sampled_from([str(2**n + d) for n in (31, 32, 63, 64) for d in (-1, 0)]),
    st.sampled_from([word + end for word in WORDS for end in ("", "\n")]),
    st.text(max_size=12),
)


def outcome(action: Callable[[], object]) -> object:
    """What came of it: a value, or the number of an error."""
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except Refused as refusal:
        return errno.errorcode[refusal.number]


def files_of(tree: Tree, path: str = "") -> list[str]:
    found: list[str] = []
    for name in tree.names(path):
        below = f"{path}/{name}".lstrip("/")
        found += files_of(tree, below) if isinstance(tree.find(below), TreeDirectory) else [below]
    return sorted(found)


class Both:
    """The tree and its oracle, told the same."""

    def __init__(self) -> None:
        self.tree, self.oracle = Tree(), Oracle()

    def write(self, path: str, text: str) -> None:
        got = outcome(lambda: self.tree.write(path, text))
        assert got == outcome(lambda: self.oracle.write(path, text)), (path, text)

    def read(self, path: str) -> None:
        got = outcome(lambda: self.tree.read(path))
        assert got == outcome(lambda: self.oracle.read(path)), path

    def compare(self) -> None:
        assert files_of(self.tree) == self.oracle.listing()
        for path, text in self.oracle.files.items():
            assert self.tree.read(path) == text + "\n", path


def small(path: str, text: str) -> str:
    """Counts stay small: what a million schemes cost is another question."""
    node = next((n for n in NODES if n.path.rpartition("/")[2] == path.rpartition("/")[2]), None)
    counts = node is not None and isinstance(node.kind, Count)
    return text if not counts or len(text) < 2 else "2"


class Operations(RuleBasedStateMachine):
    """Any file there is, any text; sometimes a file that there is not."""

    def __init__(self) -> None:
        super().__init__()
        self.both = Both()
        self.both.write("kdamonds/nr_kdamonds", "1")
        self.both.write("kdamonds/0/contexts/nr_contexts", "1")

    @rule(choice=st.integers(0, 10**6), text=TEXTS)
    def write(self, choice: int, text: str) -> None:
        paths = self.both.oracle.listing()
        path = paths[choice % len(paths)]
        self.both.write(path, small(path, text))

    @rule(choice=st.integers(0, 10**6), count=st.sampled_from(["0", "1", "2"]))
    def count(self, choice: int, count: str) -> None:
        paths = [p for p in self.both.oracle.listing() if isinstance(self.both.oracle.node(p).kind, Count)]  # type: ignore[union-attr]
        self.both.write(paths[choice % len(paths)], count)

    @rule(
        path=st.sampled_from([node.path for node in NODES]),
        number=st.sampled_from(["0", "1", "2", "00", "x"]),
        text=TEXTS,
    )
    def write_anywhere(self, path: str, number: str, text: str) -> None:
        path = "/".join(number if len(part) == 1 and part.isupper() else part for part in path.split("/"))
        self.both.write(path, small(path, text))
        self.both.read(path)

    @invariant()
    def the_same(self) -> None:
        self.both.compare()


TestOperations = Operations.TestCase


@given(st.binary(max_size=40), st.sampled_from(sorted({node.path.rpartition("/")[2] for node in NODES})))
def test_bytes_of_any_kind_are_taken_or_refused(data: bytes, name: str) -> None:
    """Never anything but the error of a file operation; and what was taken reads back as one line or text."""
    tree = Tree()
    tree.write("kdamonds/nr_kdamonds", "1")
    tree.write("kdamonds/0/contexts/nr_contexts", "1")
    tree.write("kdamonds/0/contexts/0/schemes/nr_schemes", "1")
    for path in files_of(tree):
        if path.rpartition("/")[2] == name and not path.rpartition("/")[2].startswith("nr_"):
            got = outcome(lambda: tree.file(path).write(data))  # noqa: B023 (called at once)
            assert got in (len(data), "EINVAL", "ERANGE")
            assert tree.read(path).endswith("\n")


@pytest.mark.slow
@pytest.mark.parametrize("operations", [int(os.environ.get("UDAMON_FUZZ", "5000"))])
def test_long_random_walk(operations: int) -> None:
    """UDAMON_FUZZ=100000 for the long one. Compared as a whole now and then, and file by file all the time."""
    chance, both = random.Random(8), Both()
    texts = [*DRAWN, ""]
    for step in range(operations):
        paths = list(both.oracle.files)
        path = chance.choice(paths)
        node = both.oracle.node(path)
        counts = node is not None and isinstance(node.kind, Count)
        text = chance.choice(("0", "1", "2", "-1", "junk")) if counts else chance.choice(texts)
        if counts and path.count("/") < 4:
            text = "1"  # else the tree is empty most of the time
        both.write(path, text)
        both.read(chance.choice(paths))
        if step % 500 == 0:
            both.compare()
    both.compare()
