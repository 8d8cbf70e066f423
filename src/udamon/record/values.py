"""Metadata and events of a recording, checked where they enter: JSON that anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from udamon import plain_json
from udamon.plain_json import JsonError, TooDeep
from udamon.record.damo.values import time_in
from udamon.record.limits import ReadLimits, check_size
from udamon.sites.checks import wrong_key

_FARTHEST = 1 << 61
_LONGEST = 1 << 16
"""Letters of a name: paths of the kernel have 4096 at most, each of which may be escaped."""

Check = Callable[[Any], bool]


def document(text: str, limits: ReadLimits) -> dict[str, Any]:
    """The object that JSON text is. Raises ValueError with what is wrong."""
    check_size(text, limits)
    try:
        return plain_json.read_object(text, limits.depth)
    except TooDeep as error:
        raise ValueError(f"a JSON document in it {error} (--max-depth)") from error
    except JsonError as error:
        raise ValueError(f"a JSON document in it {error}") from error


def _int(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _texts(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _amount(value: Any) -> bool:
    """A number from 0, whole or not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _FARTHEST


_INDEX, _PID, _TIME = _int(0, (1 << 31) - 1), _maybe(_int(0, (1 << 31) - 1)), _int(-_FARTHEST, _FARTHEST)
_ADDRESS = _int(0, (1 << 64) - 1)


def _mapping(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 6:
        return False
    start, end, perms, offset, inode, name = row
    known = _ADDRESS(start) and _ADDRESS(end) and start < end and _ADDRESS(offset) and _ADDRESS(inode)
    return known and isinstance(perms, str) and len(perms) <= 16 and _text(name)


def _mappings(value: Any) -> bool:
    return isinstance(value, list) and all(map(_mapping, value))


def _attrs(value: Any) -> bool:
    """Intervals and numbers of regions; what else is said of them is for people."""
    return isinstance(value, dict) and all(
        _amount(number) for key, number in value.items() if key.endswith(("_us", "_nr_regions"))
    )


def _intervals(value: Any) -> bool:
    """What damo says of its intervals: None, or times of which the two that are used are above 0."""
    if value is None:
        return True
    try:
        times = [time_in(1000, value[key]) for key in ("sample_us", "aggr_us")]
    except (KeyError, TypeError, ValueError):
        return False
    return all(0 < time < _FARTHEST for time in times)


def _advice(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, list) and len(one) == 3 and all(map(_ADDRESS, one[:2])) and one[2] in _ADVICE
        for one in value
    )


def _schemes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


_ADVICE = ("random", "sequential")
_WHO: Mapping[str, Check] = {
    "target": _INDEX, "pid": _PID, "comm": _maybe(_text), "cmdline": _maybe(_texts), "user": _maybe(_text),
}  # fmt: skip
_EVENTS: Mapping[str, Mapping[str, Check]] = {
    "target_start": _WHO,
    "target_exec": _WHO,
    "target_end": {"target": _INDEX, "pid": _PID, "why": _maybe(_text)},
    "mappings": {"target": _INDEX, "add": _mappings,
                 "remove": lambda value: isinstance(value, list) and all(map(_ADDRESS, value))},
    "advice": {"target": _INDEX, "mappings": _advice},
    "cost": {
        "cpu_ns": _amount,
        **{key: _maybe(_amount) for key in ("kdamond_cpu_ns", "max_rss_bytes", "checks", "snapshots", "skipped",
                                            "target_cost_ns", "longest_pause_ns", "reclaim_pages")},
    },
    "note": {"text": _text},
    "subscriber": {"what": _text, "why": _text},
    "coverage": {**{key: _maybe(_amount) for key in ("processes_seen", "processes_missed", "bytes_missed",
                                                "bytes_missed_high")},
                 "exact": _maybe(lambda value: isinstance(value, bool)), "why": _maybe(_text)},
    "page_cache": {
        **{f"{key}_bytes": _amount for key in ("file", "mapped", "hot", "only_read", "kernel")}, "source": _text,
    },
    "schemes": {"schemes": _schemes},
    "damo_record": {"target": _INDEX, "kdamond_idx": _maybe(_INDEX), "context_idx": _maybe(_INDEX),
                    "target_id": _maybe(_ADDRESS), "intervals": _intervals},
}  # fmt: skip
"""What the data of an event may be, for the keys that are used. A key may be missing, but not `target`."""

_METADATA: Mapping[str, Check] = {
    "monotonic_ns": _maybe(_TIME), "wall_ns": _maybe(_TIME), "startup_cpu_ns": _maybe(_amount),
    "part": _int(1, 1 << 31), "attrs": _maybe(_attrs), "page_size": _maybe(_int(1, 1 << 30)),
    "tlb_missed_below_bytes": _maybe(_amount), "taken_by_others": _maybe(_texts),
    **dict.fromkeys(
        ("why", "tlb", "marked_by_others", "grain", "via", "sees", "ops", "policy", "host", "kernel", "machine",
         "boot_id", "read_from"),
        _maybe(_text)
    ),
}  # fmt: skip


def event(name: str, text: str, limits: ReadLimits) -> dict[str, Any]:
    """The data of an event. Raises ValueError with what is wrong."""
    data = document(text, limits)
    check_event(name, data)
    return data


def check_event(name: str, data: Mapping[str, Any]) -> None:
    """Raise ValueError for data that no event of this name has."""
    checks = _EVENTS.get(name, {})
    wrong = [key for key, check in checks.items() if key in data and not check(data[key])]
    if "target" in checks and "target" not in data:
        wrong.append("target")
    if (key := wrong_key(name, data)) is not None:
        wrong.append(key)
    if wrong or (name == "attrs" and not _attrs(dict(data))) or len(name) > _LONGEST:
        of = f" of {wrong[0]}" if wrong else ""
        raise ValueError(f"an event {name[:40]!r} says something impossible{of}")


def metadata(text: bytes, limits: ReadLimits) -> dict[str, Any]:
    """What a recording says of itself at its start. Raises ValueError with what is wrong."""
    try:
        found = document(text.decode(), limits)
    except UnicodeDecodeError as error:
        raise ValueError("the JSON in its head is not UTF-8") from error
    for key, check in _METADATA.items():
        if key in found and not check(found[key]):
            raise ValueError(f"its head says something impossible of {key}")
    return found
