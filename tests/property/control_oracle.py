"""A second, naive account of the control tree, to judge the served one by.

It keeps a flat dictionary of paths and applies the rules of docs/damon.md#sysfs in the plainest way: no classes of
values, no lazy directories. It shares the list of nodes with udamon, and nothing else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from udamon.control.kinds import Boolean, Count, Keyword, Number, TextKind
from udamon.control.nodes import NODES, KeywordVersions, Node

BASE = {"x": 16, "0": 8}


class Refused(Exception):
    """With the error's number."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


class Oracle:
    """All files by path, with their text."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._make("")

    def _make(self, directory: str) -> None:
        """The files that stand below a directory without any number in between."""
        pattern = _pattern(directory)
        for node in NODES:
            rest = node.path.removeprefix(f"{pattern}/") if pattern else node.path
            if (not pattern or rest != node.path) and not _placeholders(rest):
                self.files[f"{directory}/{rest}".lstrip("/")] = _first(node)

    def node(self, path: str) -> Node | None:
        return next((n for n in NODES if path in self.files and n.path == _pattern(path)), None)

    def read(self, path: str) -> str:
        if path not in self.files:
            raise Refused(errno.EISDIR if self._is_directory(path) else errno.ENOENT)
        return self.files[path] + "\n"

    def _is_directory(self, path: str) -> bool:
        return any(each.startswith(f"{path}/") for each in self.files) or path == ""

    def write(self, path: str, text: str) -> None:
        node = self.node(path)
        if node is None:
            raise Refused(errno.EISDIR if self._is_directory(path) else errno.ENOENT)
        if not node.writable:
            raise Refused(errno.EACCES)
        text = text.split("\0")[0]
        if isinstance(node.kind, Count):
            self._resize(path, _number(text, node.kind))
        elif node.kind is None:
            raise Refused(errno.EINVAL)  # nothing runs, and nothing can be started here
        else:
            self.files[path] = _shown(node.kind, text)

    def _resize(self, path: str, count: int) -> None:
        directory = path.rpartition("/")[0]
        numbered = re.compile(re.escape(directory) + r"/\d+/")
        self.files = {each: text for each, text in self.files.items() if not numbered.match(each)}
        self.files[path] = str(count)
        for number in range(count):
            self._make(f"{directory}/{number}")

    def listing(self) -> list[str]:
        return sorted(self.files)


def _pattern(path: str) -> str:
    """A path with letters for numbers, as the list of nodes writes it."""
    letters = iter(_letters(path))
    return "/".join(next(letters) if part.isdigit() else part for part in path.split("/"))


def _letters(path: str) -> Iterator[str]:
    parts = path.split("/")
    for at, part in enumerate(parts):
        if part.isdigit():
            before = parts[at - 1]
            letters = {
                "kdamonds": "K", "contexts": "C", "targets": "T", "regions": "R", "schemes": "S", "goals": "G",
                "dests": "D", "probes": "P", "tried_regions": "R",
            }  # fmt: skip
            yield letters.get(before, "F")


def _placeholders(path: str) -> bool:
    return any(len(part) == 1 and part.isupper() for part in path.split("/"))


def _first(node: Node) -> str:
    if node.path.endswith("avail_operations"):
        return "vaddr\nfvaddr\npaddr"
    if isinstance(node.default, bool):
        return "Y" if node.default else "N"
    return str(node.default)


def _number(text: str, kind: Number) -> int:
    body = text[:-1] if text.endswith("\n") else text
    sign = -1 if body.startswith("-") and kind.least < 0 else 1
    if body.startswith("+") or sign < 0:
        body = body[1:]
    base = 16 if re.fullmatch("0[xX][0-9a-fA-F]+", body) else 8 if body.startswith("0") else 10
    digits = body[2:] if base == 16 else body
    allowed = "0123456789abcdef"[:base]
    if not digits or any(digit not in allowed for digit in digits.lower()):
        raise Refused(errno.EINVAL)
    value = sign * int(digits, base)
    if not kind.least <= value <= kind.most:
        raise Refused(errno.ERANGE if kind.range_error else errno.EINVAL)
    if kind.limit and not kind.limit[0] <= value <= kind.limit[1]:
        raise Refused(errno.EINVAL)
    return value


def _shown(kind: object, text: str) -> str:
    if isinstance(kind, Number):
        return str(_number(text, kind))
    if isinstance(kind, Boolean):
        for words, shown in ((("e", "y", "t", "1", "on"), "Y"), (("d", "n", "f", "0", "of"), "N")):
            if text.lower().startswith(words):
                return shown
        raise Refused(errno.EINVAL)
    if isinstance(kind, KeywordVersions | Keyword):
        word = text[:-1] if text.endswith("\n") else text
        if word not in (kind.since if isinstance(kind, KeywordVersions) else kind.words):
            raise Refused(errno.EINVAL)
        return word
    assert isinstance(kind, TextKind)
    return text
