"""Schemes in a file: the names of DAMON's control files, with sizes, shares and times as people write them.

    schemes:
      - action: pageout
        access_pattern:
          sz: {min: 4 KiB}
          nr_accesses: {max: 0%}
          age: {min: 5s}
        quotas: {bytes: 64 MiB, reset_interval_ms: 1s}

A bound that is left out bounds nothing; what else is left out is as in core.scheme. docs/acting.md has all keys.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from udamon.configuration.tree import ConfigValue, load, names
from udamon.core.scheme import (
    ANY_COUNT,
    U64_MAX,
    AccessPattern,
    Bounds,
    Destination,
    Goal,
    GoalMetric,
    Quota,
    Watermarks,
)
from udamon.core.scheme_fields import MIGRATIONS, FieldSyntax, in_table, made, of_list
from udamon.schemes.config.fields import (
    bp,
    choice,
    needs,
    number,
    parsed,
    stall_us,
    table_of,
    values_of,
)
from udamon.schemes.config.filters import read_filters
from udamon.schemes.config.pattern import (
    MAX,
    NONE,
    Quantity,
    QuantityBounds,
    WantedScheme,
    parse_age,
    parse_bytes,
    parse_rate,
)

_T = TypeVar("_T")

_NEED_PATH = {
    GoalMetric.FILE: "the file that holds the number",
    GoalMetric.COMMAND: "the command that prints the number",
    GoalMetric.SOCKET: "where to make the socket that the number is sent to",
    GoalMetric.NODE_MEMCG_USED_BP: "the cgroup",
    GoalMetric.NODE_MEMCG_FREE_BP: "the cgroup",
    GoalMetric.MEMCG_SOME_MEM_PSI_US: "the cgroup",
}


def load_schemes(path: Path) -> list[WantedScheme]:
    """The schemes in the file at `path` (YAML, or TOML by its name), in its order.

    Raises ConfigError with file and line, CannotError for one that cannot be read, MissingExtra without PyYAML.
    """
    return read_schemes(load(path))


def read_schemes(root: ConfigValue) -> list[WantedScheme]:
    """The schemes of a configuration: its list `schemes`, or the list that it is. Raises ConfigError."""
    if isinstance(root.value, dict):
        table = root.table(names("schemes"))
        if "schemes" not in table:
            root.fail("there is no list of schemes; begin it with the key schemes.")
        root = table["schemes"]
    schemes = [_scheme(place) for place in root.items()]
    if not schemes:
        root.fail("there is no scheme in the list.")
    return schemes


def _scheme(place: ConfigValue) -> WantedScheme:
    fields = in_table("")
    table = table_of(
        place, fields, "access_pattern", "quotas", "watermarks", "core_filters", "ops_filters", "dests"
    )
    needs(place, table, fields, "a scheme needs")
    if "access_pattern" not in table:
        place.fail("a scheme needs access_pattern: empty, it matches everything.")
    sz, nr_accesses, age = _pattern(table["access_pattern"])
    values = values_of(table, fields) | {"access_pattern": AccessPattern(sz, ANY_COUNT, ANY_COUNT)}
    for key, read in _TABLES.items():
        if key in table:
            values[key] = read(table[key])
    action = values["action"]
    if action in MIGRATIONS and "target_nid" not in table and not values.get("dests"):
        place.fail(f"{action} needs a node to migrate to: give target_nid, or dests.")
    for key in ("target_nid", "dests"):
        if key in table and action not in MIGRATIONS:
            table[key].fail(f"this goes with {' and '.join(MIGRATIONS)}, and the action is {action}.")
    return WantedScheme(made("", values), nr_accesses, age)


def _pattern(place: ConfigValue) -> tuple[Bounds, QuantityBounds, QuantityBounds]:
    table = place.table(names("sz", "nr_accesses", "age"))
    sz = _bounds(table.get("sz"), parse_bytes, 0, U64_MAX)
    if sz[0] > sz[1]:
        table["sz"].fail(f"the minimum {sz[0]} is above the maximum {sz[1]}; swap them.")
    rates = _quantities(table.get("nr_accesses"), parse_rate)
    return Bounds(*sz), rates, _quantities(table.get("age"), parse_age)


def _quantities(place: ConfigValue | None, parse: Callable[[str], Quantity]) -> QuantityBounds:
    low, high = _bounds(place, parse, NONE, MAX)
    if place is not None and low.unit is high.unit and low.value > high.value:
        place.fail("the minimum is above the maximum; swap them.")
    return QuantityBounds(low, high)


def _bounds(place: ConfigValue | None, parse: Callable[[str], _T], least: _T, most: _T) -> tuple[_T, _T]:
    if place is None:
        return least, most
    table = place.table(names("min", "max"))
    low = parsed(table["min"], parse) if "min" in table else least
    return low, parsed(table["max"], parse) if "max" in table else most


def _quota(place: ConfigValue) -> Quota:
    fields = in_table("quotas")
    table = table_of(place, fields, "weights", "goals")
    values = {name.removeprefix("quotas."): value for name, value in values_of(table, fields).items()}
    if "weights" in table:
        weights = in_table("quotas/weights")
        found = values_of(table_of(table["weights"], weights), weights)
        values |= {name.removeprefix("quotas."): value for name, value in found.items()}
    if "goals" in table:
        values["goals"] = tuple(map(_goal, table["goals"].items()))
    quota: Quota = made("quotas", values)
    if (quota.ms or quota.bytes or quota.goals) and not quota.reset_interval_ms:
        place.fail("a quota needs reset_interval_ms: the time that it is for, such as 1s.")
    return quota


def _goal(place: ConfigValue) -> Goal:
    fields = of_list("quotas/goals")
    table = table_of(place, fields)
    needs(place, table, fields, "a goal needs")
    metric = choice(table["target_metric"], GoalMetric)
    if metric in _NEED_PATH and "path" not in table:
        place.fail(f"the metric {metric} needs path: {_NEED_PATH[metric]}.")
    value = bp if metric.endswith("_bp") else stall_us if metric.endswith("_us") else number
    of_metric = [field for field in fields if field.written is FieldSyntax.OF_METRIC]
    values = values_of(table, [field for field in fields if field not in of_metric])
    values |= {
        field.name: value(table[field.written_key]) for field in of_metric if field.written_key in table
    }
    goal: Goal = made("quotas/goals", values)
    if goal.target_value == 0:
        table["target_value"].fail("a goal of 0 cannot be aimed at; give at least 1.")
    return goal


def _watermarks(place: ConfigValue) -> Watermarks:
    fields = in_table("watermarks")
    table = table_of(place, fields)
    needs(place, table, fields, "watermarks need a")
    values = {name.removeprefix("watermarks."): value for name, value in values_of(table, fields).items()}
    marks: Watermarks = made("watermarks", values)
    if not marks.high >= marks.mid >= marks.low:
        place.fail(f"high {marks.high}, mid {marks.mid} and low {marks.low} are not in falling order.")
    return marks


def _dests(place: ConfigValue) -> tuple[Destination, ...]:
    fields = of_list("dests")
    found = []
    for inner in place.items():
        table = table_of(inner, fields)
        needs(inner, table, fields, "a destination needs")
        found.append(made("dests", {"weight": 1} | values_of(table, fields)))
    return tuple(found)


_TABLES: dict[str, Callable[[ConfigValue], object]] = {
    "quotas": _quota,
    "watermarks": _watermarks,
    "core_filters": lambda place: read_filters(place, core=True),
    "ops_filters": lambda place: read_filters(place, core=False),
    "dests": _dests,
}
"""What else a scheme has: tables and lists."""
