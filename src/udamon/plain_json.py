"""Reads JSON that anybody may have written: what JSON has, each key once, and nothing that a later step stumbles over.

Python's reader takes NaN and Infinity, makes an infinite number of 1e999, lets the last of equal keys win, and gives
texts that cannot be encoded. Its errors for long numbers and for depth are about Python.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_Found = TypeVar("_Found")

DEPTH = 32
"""Lists and objects inside each other, by default."""

_LONGEST = 1 << 130
"""Whole numbers are smaller: 39 digits."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_ALONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves of UTF-16 pairs, without those that stand for a byte that is not UTF-8 (os.fsdecode)."""
_LONG = "has a number of more than 39 digits"


class JsonError(ValueError):
    """What is wrong with a JSON text, in words that go on after its name: "does not parse", "says 'a' twice"."""


class TooDeep(JsonError):
    """Lists and objects are inside more others than `depth` allows."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JsonError(f"has the number {text[:20]}")
    return value


def _constant(text: str) -> float:
    raise JsonError(f"has the number {text}")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise JsonError(f"says {twice[:40]!a} twice")
    return found


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant, object_pairs_hook=_members)


def read(data: str | bytes, depth: int = DEPTH) -> Any:
    """The value that JSON text is. Raises JsonError."""
    try:
        text = data.decode() if isinstance(data, bytes) else data
        found = _decoded(partial(_DECODER.decode, text))
    except UnicodeDecodeError:
        raise JsonError("is not UTF-8") from None
    except json.JSONDecodeError:
        raise JsonError("does not parse") from None
    check(found, depth, texts=_SURROGATE.search(text) is not None)
    return found


def read_within(text: str, at: int, depth: int = DEPTH) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends. Raises JsonError; JSONDecodeError where it does not parse, as
    where it is not there as a whole."""
    found, end = _decoded(partial(_DECODER.raw_decode, text, at))
    check(found, depth, texts=_SURROGATE.search(text, at, end) is not None)
    return found, end


def _decoded(decode: Callable[[], _Found]) -> _Found:
    try:
        return decode()
    except RecursionError:
        raise JsonError("is nested too deeply") from None
    except (json.JSONDecodeError, JsonError):
        raise
    except ValueError:  # Python makes no number of more than 4300 digits
        raise JsonError(_LONG) from None


def read_object(data: str | bytes, depth: int = DEPTH) -> dict[str, Any]:
    """The object that JSON text is. Raises as `read`."""
    found = read(data, depth)
    if not isinstance(found, dict):
        raise JsonError("is no object")
    return found


def written(value: object) -> str:
    """Compact ASCII JSON of `value` that `read` takes: halves of UTF-16 pairs in texts, which no name of a file or
    process has, become U+FFFD. Raises ValueError for numbers that are not finite."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    if _SURROGATE.search(text):
        text = json.dumps(_whole(value), separators=(",", ":"), ensure_ascii=True)
    return text


def _whole(value: object) -> object:
    if isinstance(value, str):
        return _ALONE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return [_whole(one) for one in value] if isinstance(value, (list, tuple)) else value


def check(value: object, depth: int = DEPTH, *, texts: bool = True) -> None:
    """Raise JsonError (TooDeep) for a value that is nested deeper, has a whole number of 40 digits or more, or (unless
    `texts` is False) half of a character in a text."""
    level: list[object] = [value]
    for _ in range(depth + 1):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
                below += one if texts else ()
            elif isinstance(one, list):
                below += one
            elif isinstance(one, int) and not -_LONGEST < one < _LONGEST:
                raise JsonError(_LONG)
            elif texts and isinstance(one, str) and _ALONE.search(one):
                raise JsonError("has half of a character in a text")
        if not below:
            return
        level = below
    raise TooDeep(f"is nested deeper than {depth}")
