"""The parameters of a module: a frozen dataclass whose fields have DAMON's names, each with how its text is read.

One description serves the flags, the parameters file and the values: see `parameter`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from udamon.configuration.tree import ConfigValue, load
from udamon.errors import UsageError
from udamon.schemes.config.fields import parse_flag, parsed

_P = TypeVar("_P")
Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of a parameter becomes its value: `parse` raises UsageError; `metavar` is "" for a yes or no."""

    parse: Callable[[str], Value]
    metavar: str
    help: str


def parameter(default: Value, parse: Callable[[str], Value], metavar: str, help: str) -> Any:
    """A field of a dataclass of parameters."""
    return dataclasses.field(default=default, metadata={"reading": Reading(parse, metavar, help)})


def switch(help: str) -> Any:
    """A field that is off unless it is asked for."""
    return parameter(False, parse_flag, "", help)


def readings(kind: type[Any]) -> dict[str, Reading]:
    """How each parameter of the dataclass `kind` is read, by its name."""
    return {field.name: field.metadata["reading"] for field in dataclasses.fields(kind)}


def with_texts(base: _P, texts: Mapping[str, str]) -> _P:
    """`base` with these parameters read from their texts. Raises UsageError, naming the flag."""
    known = readings(type(base))
    values = {}
    for name, text in texts.items():
        try:
            values[name] = known[name].parse(text)
        except UsageError as error:
            raise UsageError(f"--{name.replace('_', '-')}: {error}") from error
    return _replaced(base, values)


def with_file(base: _P, path: Path) -> _P:
    """`base` with the parameters that the file at `path` (TOML, or YAML) gives.

    Raises ConfigError with file and line, CannotError for a file that cannot be read, MissingExtra.
    """
    return with_table(base, load(path))


def with_table(base: _P, table: ConfigValue) -> _P:
    """`base` with the parameters that a table of a configuration gives. Raises ConfigError with file and line."""
    known = readings(type(base))
    places = table.table({name: name for name in known})
    values = {name: parsed(place, known[name].parse) for name, place in places.items()}
    try:
        return _replaced(base, values)
    except UsageError as error:
        table.fail(str(error))


def _replaced(base: _P, values: Mapping[str, Value]) -> _P:
    return dataclasses.replace(base, **values)  # type: ignore[type-var]
