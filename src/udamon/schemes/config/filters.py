"""The filters of a scheme configuration (docs/damon.md#filters), by the names of the control files."""

from __future__ import annotations

from udamon.core.scheme import CORE_FILTERS, Bounds, Filter, FilterType
from udamon.model import Range
from udamon.schemes.config.fields import choice, flag, number, parsed
from udamon.schemes.config.pattern import parse_bytes
from udamon.schemes.config.tree import ConfigValue, names

_OF_TYPE = {
    FilterType.ADDR: ("addr_start", "addr_end"),
    FilterType.TARGET: ("damon_target_idx",),
    FilterType.MEMCG: ("memcg_path",),
    FilterType.HUGEPAGE_SIZE: ("min", "max"),
}
"""The keys that say what a type of filter looks for; they are needed, and go with no other type."""

_KNOWN = names(
    "type", "matching", "allow", "memcg_path", "addr_start", "addr_end", "min", "max", "damon_target_idx"
)


def read_filters(place: ConfigValue, *, core: bool) -> tuple[Filter, ...]:
    """The filters in the list at `place`, those of the core or those of the operations set. Raises ConfigError."""
    return tuple(_filter(inner, core=core) for inner in place.items())


def _filter(place: ConfigValue, *, core: bool) -> Filter:
    table = place.table(_KNOWN)
    if "type" not in table:
        place.fail(f"a filter needs a type: {', '.join(FilterType)}.")
    kind = choice(table["type"], FilterType)
    if (kind in CORE_FILTERS) != core:
        tests, there = ("regions", "core_filters") if kind in CORE_FILTERS else ("pages", "ops_filters")
        table["type"].fail(f"a filter of type {kind} tests {tests}: put it into {there}.")
    _check_keys(place, table, kind)
    address, size = (_pair(table, *keys) for keys in (("addr_start", "addr_end"), ("min", "max")))
    return Filter(
        type=kind,
        matching=flag(table["matching"]) if "matching" in table else True,
        allow=flag(table["allow"]) if "allow" in table else False,
        memcg_path=table["memcg_path"].text() if "memcg_path" in table else "",
        addr=Range(*address),
        size=Bounds(*size),
        damon_target_idx=number(table["damon_target_idx"]) if "damon_target_idx" in table else 0,
    )


def _check_keys(place: ConfigValue, table: dict[str, ConfigValue], kind: FilterType) -> None:
    own = _OF_TYPE.get(kind, ())
    for key in own:
        if key not in table:
            place.fail(f"a filter of type {kind} needs {key}.")
    for owner, keys in _OF_TYPE.items():
        for key in keys:
            if key in table and key not in own:
                table[key].fail(f"this goes with filters of type {owner}, and this one is of type {kind}.")


def _pair(table: dict[str, ConfigValue], least: str, most: str) -> tuple[int, int]:
    if least not in table:
        return 0, 0
    low, high = parsed(table[least], parse_bytes), parsed(table[most], parse_bytes)
    if low > high:
        table[least].fail(f"{low} is above {most}, which is {high}; swap them.")
    return low, high
