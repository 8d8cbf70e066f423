"""--anonymize: what of a recording's metadata and events may stay.

The lists say what stays, not what goes: a key that is added elsewhere and forgotten here is left out.
Numbers stay (process ids, addresses, totals); text stays only where its values are udamon's own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from udamon.record.naming import without_secrets

_METADATA = frozenset(
    {"version", "udamon", "attrs", "via", "why", "ops", "policy", "sees", "kernel", "machine",
     "grain", "marked_by_others", "taken_by_others", "tlb", "tlb_missed_below_bytes", "page_size",
     "monotonic_ns", "wall_ns", "part", "startup_cpu_ns", "warmup_until_ns"}
)  # fmt: skip
_TEXTS = {
    "target_end": frozenset({"why"}),
    "coverage": frozenset({"why"}),
    "page_cache": frozenset({"source"}),
}


def metadata(full: Mapping[str, object]) -> dict[str, object]:
    """The start's facts without host, boot id, command line, and anything this module does not know."""
    return {key: value for key, value in full.items() if key in _METADATA} | {"anonymized": True}


def event_data(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event's data without paths, command lines, names of programs and users."""
    if name == "mappings":
        added = [_mapping(row) for row in data.get("add", ())]
        return {"target": data.get("target"), "add": added, "remove": list(data.get("remove", ()))}
    if name == "advice":
        return {"target": data.get("target"), "mappings": list(data.get("mappings", ()))}
    if name == "schemes":
        return {"schemes": [_numbers(row, frozenset({"action"})) for row in data.get("schemes", ())]}
    return _numbers(data, _TEXTS.get(name, frozenset()))


def _numbers(data: Mapping[str, Any], texts: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key in texts or isinstance(value, int | float)}


def _mapping(row: Sequence[Any]) -> list[Any]:
    start, end, perms, offset, _inode, name = row
    return [start, end, perms, offset, 0, without_secrets(name)]
