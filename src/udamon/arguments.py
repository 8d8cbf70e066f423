"""Values that callers of the library give: what is a number, and what is a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import isfinite
from numbers import Integral, Real
from typing import Any, TypeVar

from udamon.errors import UsageError

T = TypeVar("T")


def plain(value: Any) -> Any:
    """A number of another library (numpy, fractions) as Python's own int or float; all else as it is, text and
    truth values too."""
    if isinstance(value, bool | int | float) or not isinstance(value, Real):
        return value
    try:
        return int(value) if isinstance(value, Integral) else float(value)
    except OverflowError:
        return value


def is_number(value: object) -> bool:
    """Whether it is an int or a float, and finite; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or isfinite(value)


def is_whole(value: object) -> bool:
    """Whether it is an int; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def shown(value: object) -> str:
    """How a sentence quotes a value: Python refuses to print whole numbers of thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} that is too long to print"


def named(flag: str, parse: Callable[[str], T], text: str) -> T:
    """What `parse` makes of the value of `flag`, which its UsageError names."""
    try:
        return parse(text)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}") from error


def path_of(what: str, value: object) -> str:
    """The name of a file, from text, bytes or any os.PathLike. Raises UsageError."""
    try:
        name = os.fsdecode(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # UnicodeError is a ValueError: a surrogate that stands for no byte
        name = ""
    if not name or "\0" in name:
        raise UsageError(f"{what} {shown(value)} is no path; give text, or a pathlib.Path.")
    return name
