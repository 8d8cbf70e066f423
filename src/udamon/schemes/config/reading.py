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

from udamon.core.scheme import (
    ANY_COUNT,
    U64_MAX,
    AccessPattern,
    Action,
    Bounds,
    Destination,
    Goal,
    GoalMetric,
    GoalTuner,
    Quota,
    Scheme,
    WatermarkMetric,
    Watermarks,
    Weights,
)
from udamon.schemes.config.fields import bp, choice, number, parsed, permil, stall_us, time_ms, time_us, u32
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
from udamon.schemes.config.tree import ConfigValue, load, names

_T = TypeVar("_T")

_SCHEME = names(
    "action", "access_pattern", "apply_interval_us", "quotas", "watermarks", "core_filters", "ops_filters",
    "target_nid", "dests", "max_nr_snapshots", apply_interval="apply_interval_us",
)  # fmt: skip
_QUOTAS = names(
    "ms", "bytes", "reset_interval_ms", "weights", "goals", "goal_tuner", "fail_charge_num", "fail_charge_denom"
)  # fmt: skip
_WEIGHTS = names(
    "sz", "nr_accesses", "age", sz_permil="sz", nr_accesses_permil="nr_accesses", age_permil="age"
)
_GOAL = names("target_metric", "target_value", "current_value", "nid", "path")

_NEED_PATH = {
    GoalMetric.FILE: "the file that holds the number",
    GoalMetric.COMMAND: "the command that prints the number",
    GoalMetric.SOCKET: "where to make the socket that the number is sent to",
    GoalMetric.NODE_MEMCG_USED_BP: "the cgroup",
    GoalMetric.NODE_MEMCG_FREE_BP: "the cgroup",
    GoalMetric.MEMCG_SOME_MEM_PSI_US: "the cgroup",
}
MIGRATIONS = (Action.MIGRATE_HOT, Action.MIGRATE_COLD)


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
    table = place.table(_SCHEME)
    for key, why in (
        ("action", f"one of {', '.join(Action)}"),
        ("access_pattern", "empty, it matches everything"),
    ):
        if key not in table:
            place.fail(f"a scheme needs {key}: {why}.")
    action = choice(table["action"], Action)
    sz, nr_accesses, age = _pattern(table["access_pattern"])
    none: tuple[Destination, ...] = ()
    dests = _read(table, "dests", _dests, none)
    if action in MIGRATIONS and "target_nid" not in table and not dests:
        place.fail(f"{action} needs a node to migrate to: give target_nid, or dests.")
    scheme = Scheme(
        access_pattern=AccessPattern(sz, ANY_COUNT, ANY_COUNT),
        action=action,
        apply_interval_us=_read(table, "apply_interval_us", time_us, 0),
        quotas=_read(table, "quotas", _quota, Quota()),
        watermarks=_read(table, "watermarks", _watermarks, Watermarks()),
        target_nid=_read(table, "target_nid", u32, -1),
        dests=dests,
        core_filters=_read(table, "core_filters", lambda inner: read_filters(inner, core=True), ()),
        ops_filters=_read(table, "ops_filters", lambda inner: read_filters(inner, core=False), ()),
        max_nr_snapshots=_read(table, "max_nr_snapshots", number, 0),
    )
    return WantedScheme(scheme, nr_accesses, age)


def _read(table: dict[str, ConfigValue], key: str, read: Callable[[ConfigValue], _T], default: _T) -> _T:
    return read(table[key]) if key in table else default


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
    table = place.table(_QUOTAS)
    quota = Quota(
        ms=_read(table, "ms", time_ms, 0),
        bytes=_read(table, "bytes", lambda inner: parsed(inner, parse_bytes), 0),
        reset_interval_ms=_read(table, "reset_interval_ms", time_ms, 0),
        weights=_read(table, "weights", _weights, Weights()),
        goals=_read(table, "goals", lambda inner: tuple(map(_goal, inner.items())), ()),
        goal_tuner=_read(table, "goal_tuner", lambda inner: choice(inner, GoalTuner), GoalTuner.CONSIST),
        fail_charge_num=_read(table, "fail_charge_num", u32, 0),
        fail_charge_denom=_read(table, "fail_charge_denom", u32, 0),
    )
    if (quota.ms or quota.bytes or quota.goals) and not quota.reset_interval_ms:
        place.fail("a quota needs reset_interval_ms: the time that it is for, such as 1s.")
    return quota


def _weights(place: ConfigValue) -> Weights:
    table = place.table(_WEIGHTS)
    return Weights(*(_read(table, key, u32, 0) for key in ("sz", "nr_accesses", "age")))


def _goal(place: ConfigValue) -> Goal:
    table = place.table(_GOAL)
    for key in ("target_metric", "target_value"):
        if key not in table:
            place.fail(f"a goal needs {key}.")
    metric = choice(table["target_metric"], GoalMetric)
    if metric in _NEED_PATH and "path" not in table:
        place.fail(f"the metric {metric} needs path: {_NEED_PATH[metric]}.")
    value = bp if metric.endswith("_bp") else stall_us if metric.endswith("_us") else number
    target = value(table["target_value"])
    if target == 0:
        table["target_value"].fail("a goal of 0 cannot be aimed at; give at least 1.")
    return Goal(
        target_metric=metric,
        target_value=target,
        current_value=_read(table, "current_value", value, 0),
        nid=_read(table, "nid", u32, 0),
        path=table["path"].text() if "path" in table else "",
    )


def _watermarks(place: ConfigValue) -> Watermarks:
    table = place.table(names("metric", "interval_us", "high", "mid", "low", interval="interval_us"))
    if "metric" not in table:
        place.fail(f"watermarks need a metric: {', '.join(WatermarkMetric)}.")
    marks = Watermarks(
        metric=choice(table["metric"], WatermarkMetric),
        interval_us=_read(table, "interval_us", time_us, 0),
        high=_read(table, "high", permil, 0),
        mid=_read(table, "mid", permil, 0),
        low=_read(table, "low", permil, 0),
    )
    if not marks.high >= marks.mid >= marks.low:
        place.fail(f"high {marks.high}, mid {marks.mid} and low {marks.low} are not in falling order.")
    return marks


def _dests(place: ConfigValue) -> tuple[Destination, ...]:
    found = []
    for inner in place.items():
        table = inner.table(names("id", "weight"))
        if "id" not in table:
            inner.fail("a destination needs id, the number of a node.")
        found.append(Destination(u32(table["id"]), _read(table, "weight", u32, 1)))
    return tuple(found)
