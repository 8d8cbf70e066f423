"""The filters of a scheme configuration (docs/damon.md#filters), by the names of the control files."""

from __future__ import annotations

from typing import Any

from udamon.configuration.tree import ConfigValue
from udamon.core.scheme import CORE_FILTERS, Filter, FilterType
from udamon.core.scheme_fields import FILTER_OPERANDS, made, of_list
from udamon.schemes.config.fields import choice, table_of, values_of


def read_filters(place: ConfigValue, *, core: bool) -> tuple[Filter, ...]:
    """The filters in the list at `place`, those of the core or those of the operations set. Raises ConfigError."""
    return tuple(_filter(inner, core=core) for inner in place.items())


def _filter(place: ConfigValue, *, core: bool) -> Filter:
    table = table_of(place, of_list("filters"))
    if "type" not in table:
        place.fail(f"a filter needs a type: {', '.join(FilterType)}.")
    kind = choice(table["type"], FilterType)
    if (kind in CORE_FILTERS) != core:
        tests, there = ("regions", "core_filters") if kind in CORE_FILTERS else ("pages", "ops_filters")
        table["type"].fail(f"a filter of type {kind} tests {tests}: put it into {there}.")
    _check_keys(place, table, kind)
    values = {"matching": True} | values_of(table, of_list("filters"))
    for least, most in (("addr_start", "addr_end"), ("min", "max")):
        low, high = (_value(values, key) for key in (least, most))
        if least in table and low > high:
            table[least].fail(f"{low} is above {most}, which is {high}; swap them.")
    found: Filter = made("filters", values)
    return found


def _value(values: dict[str, Any], key: str) -> int:
    (name,) = (field.name for field in of_list("filters") if field.written_key == key)
    return int(values.get(name, 0))


def _check_keys(place: ConfigValue, table: dict[str, ConfigValue], kind: FilterType) -> None:
    own = FILTER_OPERANDS.get(kind, ())
    for key in own:
        if key not in table:
            place.fail(f"a filter of type {kind} needs {key}.")
    for owner, keys in FILTER_OPERANDS.items():
        for key in keys:
            if key in table and key not in own:
                table[key].fail(f"this goes with filters of type {owner}, and this one is of type {kind}.")
