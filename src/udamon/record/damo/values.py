"""Numbers as damo writes them in JSON: 4096, "4,096", "4 KiB", "5 ms", "1 m 26.4 s"."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from udamon.errors import UsageError
from udamon.units import parse_size, parse_time_ns

_TIMES = re.compile(r"\s*(?:[0-9][0-9,]*(?:\.[0-9]+)?\s*[A-Za-zµ]+\s*)+")
_PART = re.compile(r"[0-9][0-9,.]*\s*[A-Za-zµ]+")
_LONGEST = 60


def number(value: Any) -> int:
    """A count or a size in bytes. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no number")
    if isinstance(value, int):
        return value
    if len(value) > _LONGEST:
        raise ValueError(f"{value[:20]!r}… is no number")
    if re.fullmatch(r"[0-9,.\s]*\.[0-9,.\s]*", value):
        raise ValueError(f"{value!r} is no whole number")
    return int(value.replace(",", "")) if _bare(value) else _with(parse_size, value)


def time_in(unit_ns: int, value: Any) -> int:
    """A time in ns: a bare number counts units of `unit_ns`. Raises ValueError."""
    if isinstance(value, str) and len(value) <= _LONGEST and not _bare(value):
        if not _TIMES.fullmatch(value):
            raise ValueError(f"{value!r} is no time")
        return sum(_with(parse_time_ns, part) for part in _PART.findall(value))
    return number(value) * unit_ns


FARTHEST = 1 << 61
"""Times in ns are nearer to 0: sums and differences of two fit into 64 bits."""


def check_window(begin_ns: int, end_ns: int, sample_ns: int, ticks: int) -> None:
    """Raise ValueError for a window that no monitor can have had."""
    if not -FARTHEST <= begin_ns <= end_ns <= FARTHEST:
        raise ValueError("a window ends before it begins, or is too far from now")
    if not 0 < ticks < 1 << 32 or not 0 < sample_ns <= FARTHEST // ticks:
        raise ValueError("the ticks of a window or their length are not possible")


def _with(parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except UsageError as error:  # nobody typed it: the file is wrong, not the request
        raise ValueError(f"{text!r} is no number with a unit") from error


def _bare(text: str) -> bool:
    return re.fullmatch(r"\s*-?[0-9][0-9,]*\s*", text) is not None
