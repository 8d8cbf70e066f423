"""A configuration file as a tree of values that know the line they stand at: YAML or TOML.

Scalars stay the text that was written, so that no format turns `1:30` into 90 or `no` into false before the reader
of a field has seen it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from udamon import extras
from udamon.errors import CannotError, ConfigError
from udamon.units import format_size

if TYPE_CHECKING:
    from pathlib import Path

MAX_TEXT = 1 << 18
MAX_DEPTH, MAX_NODES = 32, 10_000
"""More than any configuration has; YAML's aliases can make a short text endless."""

_LONG_KEY = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}""")
"""Each dot of a key of TOML is a table in a table; what reads them takes time by the square of their number."""

_READ_AGAIN = 4 << 20
"""Letters that are read again, about, to find the line of an error."""

Key = str | int
Tree = str | dict[str, "Tree"] | list["Tree"]


class ConfigValue:
    """A value of a configuration and where it stands: `path` are the keys and positions that lead to it."""

    def __init__(
        self, name: str, value: Tree, line_of: Callable[[tuple[Key, ...]], int], path: tuple[Key, ...] = ()
    ) -> None:
        self.name = name
        self.value = value
        self.path = path
        self._line_of = line_of

    @property
    def line(self) -> int:
        return self._line_of(self.path)

    def fail(self, message: str) -> NoReturn:
        """Raises ConfigError: file, line, the path of keys, and `message`."""
        keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path).lstrip(".")
        raise ConfigError(f"{self.name}:{self.line}: {keys + ': ' if keys else ''}{message}")

    def text(self) -> str:
        """The scalar as it was written. Raises ConfigError."""
        if not isinstance(self.value, str):
            kind = "a list" if isinstance(self.value, list) else "a table"
            self.fail(f"this is {kind}, where one value belongs.")
        if not self.value.strip():
            self.fail("there is no value; give one, or leave the key out.")
        return self.value

    def flag(self) -> bool:
        """True or false, as TOML writes them. Raises ConfigError."""
        text = self.text()
        if text not in ("true", "false"):
            self.fail(f"{text[:48]!r} is neither true nor false.")
        return text == "true"

    def key(self, name: str) -> ConfigValue | None:
        """What a table has under this key; None where it has nothing, or this is no table."""
        inside = self.value if isinstance(self.value, dict) else {}
        return self._below(name, inside[name]) if name in inside else None

    def items(self) -> Iterator[ConfigValue]:
        """The elements of a list. Raises ConfigError."""
        if not isinstance(self.value, list):
            self.fail("this is not a list; begin each of its entries with '-' (YAML) or write [[…]] (TOML).")
        for position, value in enumerate(self.value):
            yield self._below(position, value)

    def table(self, known: Mapping[str, str]) -> dict[str, ConfigValue]:
        """The values of a table by their first names; `known`: other accepted names → first names.

        Raises ConfigError for a key that is unknown, or given twice under two names.
        """
        if not isinstance(self.value, dict):
            self.fail(f"this is not a table with keys such as {', '.join(list(known)[:3])}.")
        found: dict[str, ConfigValue] = {}
        for key, value in self.value.items():
            place = self._below(key, value)
            if key not in known:
                place.fail(f"there is no such key; known here: {', '.join(dict.fromkeys(known.values()))}.")
            if known[key] in found:
                place.fail(f"this says again what {found[known[key]].path[-1]} says; leave one of them out.")
            found[known[key]] = place
        return found

    def _below(self, key: Key, value: Tree) -> ConfigValue:
        return ConfigValue(self.name, value, self._line_of, (*self.path, key))


def names(*keys: str, **others: str) -> dict[str, str]:
    """What Place.table knows: `keys`, and `others` as other name = first name."""
    return {key: key for key in keys} | others


def load(path: Path) -> ConfigValue:
    """The configuration in the file at `path`: .toml is TOML, anything else YAML.

    Raises ConfigError, CannotError if it cannot be read, MissingExtra where YAML needs a library.
    """
    try:
        with path.open("rb") as file:
            return read(file, str(path), toml=path.suffix == ".toml")
    except OSError as error:
        raise CannotError(f"cannot read {path}: {error.strerror}; give a file that exists.") from error


def read(file: BinaryIO, name: str, *, toml: bool) -> ConfigValue:
    """The configuration in an open file, which errors call `name`. Raises ConfigError, MissingExtra and OSError."""
    data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise ConfigError(
            f"{name}:1: this is longer than any configuration, which has at most {format_size(MAX_TEXT)}; give another."
        )
    refuse_binary(data, name)
    return parse(decoded(data, name), name, toml=toml)


def refuse_binary(data: bytes, name: str) -> None:
    """Raise ConfigError for a file with NUL bytes, which errors call `name`."""
    if b"\0" in data:
        raise ConfigError(f"{name}:1: this is not text in UTF-8, for it has bytes of 0; save it as such.")


def decoded(data: bytes, name: str) -> str:
    """The text of a file, which errors call `name`, without a byte order mark. Raises ConfigError with the line that is
    no text."""
    try:
        # Not as utf-8-sig: who gave up its rights may no longer read the module of that codec.
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: this is not text in UTF-8; save it as such.") from error


def parse(text: str, name: str, *, toml: bool) -> ConfigValue:
    """The configuration in `text`, which errors call `name`. Raises ConfigError or MissingExtra."""
    return _parse_toml(text, name) if toml else _parse_yaml(text, name)


def _parse_toml(text: str, name: str) -> ConfigValue:
    import tomllib  # most schemes come from flags

    if (long := _LONG_KEY.search(text)) is not None:
        line = text.count("\n", 0, long.start()) + 1
        raise ConfigError(f"{name}:{line}: this is nested too deeply.")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, why = _toml_error(text, str(error))
        raise ConfigError(f"{name}:{line}: this is not TOML: {why}.") from error
    except RecursionError as error:
        raise ConfigError(f"{name}:1: this is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError(f"{name}:1: this has a number that is too long.") from error
    count = [0]
    return ConfigValue(name, _plain(name, value, 0, count), lambda path: _toml_line(text, path))


def _toml_error(text: str, error: str) -> tuple[int, str]:
    message, _, where = error.rpartition(" (at ")
    number = where.removeprefix("line ").partition(",")[0]
    if number.isdecimal():
        return int(number), message
    return text.count("\n") + 1, message or error


def _toml_line(text: str, path: tuple[Key, ...]) -> int:
    """The line where the statement that gives `path` begins; only asked for when there is an error to tell.

    tomllib tells no lines. But the lines before a statement are TOML, too, and do not have what it gives: it begins
    behind the longest such beginning of the text.
    """
    lines = [line + "\n" for line in text.split("\n")]
    looks = max(20, _READ_AGAIN // len(text))
    low, high = 0, len(lines)  # so many lines are TOML without what is looked for, and with it
    while high - low > 1 and looks > 0:
        middle = (low + high) // 2
        begun = None
        for end in (*range(middle, low, -1), *range(middle + 1, high)):
            looks -= 1
            if looks < 0 or (begun := _begun(lines[:end])) is not None:
                break
        if begun is None:
            break  # it is one statement
        if _has(begun, path):
            high = end
        else:
            low = end
    return low + 1


def _begun(lines: list[str]) -> dict[str, Any] | None:
    """What is given by some lines, None where they end within a statement."""
    import tomllib

    try:
        return tomllib.loads("".join(lines))
    except tomllib.TOMLDecodeError:
        return None


def _has(value: Any, path: tuple[Key, ...]) -> bool:
    for key in path:
        there = key in value if isinstance(value, dict) else isinstance(key, int) and key < len(value)
        if not there:
            return False
        value = value[key]
    return True


def _plain(name: str, value: object, depth: int, count: list[int]) -> Tree:
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_NODES:
        raise ConfigError(f"{name}:1: this is nested too deeply, or too much of it.")
    if isinstance(value, dict):
        return {key: _plain(name, inner, depth + 1, count) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(name, inner, depth + 1, count) for inner in value]
    try:
        return str(value).lower() if isinstance(value, bool) else str(value)
    except ValueError as error:
        raise ConfigError(f"{name}:1: this has a number that is too long.") from error


def _parse_yaml(text: str, name: str) -> ConfigValue:
    try:
        import yaml
    except ImportError as error:
        raise extras.missing(
            f"{name} is read as YAML, which", "yaml", "write TOML, which needs nothing"
        ) from error
    try:
        # What it is made of is counted before a tree is made of it.
        depth = 0
        for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH or count > 3 * MAX_NODES:
                line = 1 if event.start_mark is None else event.start_mark.line + 1
                raise ConfigError(f"{name}:{line}: this is nested too deeply, or too much of it.")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{name}:{line}: this is not YAML: {error.problem}.") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}:1: this is not YAML: {str(error).splitlines()[0]}.") from error
    if root is None:
        raise ConfigError(f"{name}:1: there is nothing in it.")
    lines: dict[tuple[Key, ...], int] = {}
    tree = _YamlTree(name, lines).tree(root, (), root.start_mark.line + 1)
    return ConfigValue(name, tree, lines.__getitem__)


class _YamlTree:
    """Turns the nodes of PyYAML into a Tree, and notes the line of each: a key's own, or an element's."""

    def __init__(self, name: str, lines: dict[tuple[Key, ...], int]) -> None:
        self._name = name
        self._lines = lines

    def tree(self, node: Any, path: tuple[Key, ...], line: int) -> Tree:
        self._lines[path] = line
        if len(path) > MAX_DEPTH or len(self._lines) > MAX_NODES:
            self._fail(line, "this is nested too deeply, or too much of it.")
        if node.id == "sequence":
            return [
                self.tree(inner, (*path, position), inner.start_mark.line + 1)
                for position, inner in enumerate(node.value)
            ]
        if node.id == "mapping":
            return self._mapping(node, path)
        return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)

    def _mapping(self, node: Any, path: tuple[Key, ...]) -> Tree:
        found: dict[str, Tree] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.id != "scalar":
                self._fail(line, "a key is one word.")
            if key.value in found:
                self._fail(line, f"the key {key.value} stands here for the second time.")
            found[key.value] = self.tree(value, (*path, key.value), line)
        return found

    def _fail(self, line: int, message: str) -> NoReturn:
        raise ConfigError(f"{self._name}:{line}: {message}")
