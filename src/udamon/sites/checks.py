"""What the events of allocations may say, for a recording that anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from udamon.native._native import RING_MAX_FRAMES

_NUMBER, _TIME, _ADDRESS, _BYTES = (1 << 31) - 1, 1 << 62, (1 << 64) - 1, 1 << 57
_LONGEST = 1 << 16

Check = Callable[[Any], bool]


def _whole(value: Any, high: int, low: int = 0) -> bool:
    return type(value) is int and low <= value <= high


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _list_of(value: Any, check: Check) -> bool:
    return isinstance(value, list) and all(map(check, value))


def _row(row: Any) -> bool:
    if not isinstance(row, list) or len(row) not in (2, 5):
        return False
    placed = _whole(row[0], _TIME) and _whole(row[1], _ADDRESS, 1)
    if len(row) == 2:
        return placed
    sized = _whole(row[2], _BYTES, 1) and _whole(row[3], _BYTES, 1) and _whole(row[4], _NUMBER)
    return placed and sized and row[1] + row[2] <= _ADDRESS


def _module(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 3:
        return False
    number, path, build_id = row
    hexadecimal = (
        isinstance(build_id, str) and len(build_id) <= 128 and all(c in "0123456789abcdef" for c in build_id)
    )
    return _whole(number, _NUMBER) and _text(path) and hexadecimal


def _stack(row: Any) -> bool:
    if (
        not isinstance(row, list)
        or len(row) != 2
        or not _whole(row[0], _NUMBER)
        or not isinstance(row[1], list)
    ):
        return False
    parts = row[1]
    return (
        len(parts) % 2 == 0
        and len(parts) <= 2 * RING_MAX_FRAMES
        and all(_whole(module, _NUMBER, -1) for module in parts[::2])
        and all(_whole(address, _ADDRESS) for address in parts[1::2])
    )


def _symbol(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and _whole(row[0], _ADDRESS)
        and isinstance(row[1], list)
        and 0 < len(row[1]) <= _LONGEST
        and all(map(_frame, row[1]))
    )


def _frame(frame: Any) -> bool:
    if not isinstance(frame, list) or len(frame) != 3:
        return False
    function, file, line = frame
    return _text(function) and (file is None or _text(file)) and (line is None or _whole(line, _NUMBER))


def _number_or_none(value: Any) -> bool:
    return value is None or _whole(value, _NUMBER)


_KEYS: Mapping[str, Mapping[str, Check]] = {
    "allocation_stacks": {
        "modules": lambda value: _list_of(value, _module),
        "stacks": lambda value: _list_of(value, _stack),
    },
    "allocations": {
        "image": lambda value: _whole(value, _NUMBER),
        "pid": lambda value: _whole(value, _NUMBER),
        "mean": lambda value: _whole(value, 1 << 50, 1),
        "begin": lambda value: _whole(value, _TIME),
        "parent": _number_or_none,
        "parent_ns": lambda value: value is None or _whole(value, _TIME),
        **dict.fromkeys(("lost_allocated", "lost_bytes", "lost_freed"), lambda value: _whole(value, _TIME)),
        "rows": lambda value: _list_of(value, _row),
    },
    "symbols": {
        "module": lambda value: _whole(value, _NUMBER, -1),
        "symbols": lambda value: _list_of(value, _symbol),
    },
    "allocations_unseen": {
        "pid": lambda value: _whole(value, _NUMBER),
        "comm": _text,
        "why": _text,
    },
}
"""Every key of these events; none may be missing."""


def wrong_key(name: str, data: Mapping[str, Any]) -> str | None:
    """The key of an event that says something impossible, or is missing; None where all is well."""
    for key, check in _KEYS.get(name, {}).items():
        if key not in data or not check(data[key]):
            return key
    return None
