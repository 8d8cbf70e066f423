"""The tables of a fleet: one description of every column, from which schemas, SQL and documents follow.

Types are those that every engine reads: int64, double, timestamps in microseconds of UTC, UTF-8, lists of int64. A
column is never removed, renamed or given another meaning within a layout: it may only be added, with the next version,
and readers take it as null in objects that were written before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import accumulate
from typing import Any

from arro3.core import Array, DataType, Field, RecordBatch, Schema, list_array

from udamon.core.idle_time import LABELS, SECONDS
from udamon.errors import UsageError

AGES = SECONDS
"""Idle times, s, of the lists `cold_bytes` and `promoted_bytes`: entry N is of AGES[N]."""

LAYOUT = 1
"""Of the paths: another number would be tables with another meaning."""

VERSION = 3
"""Of the columns: one more with each addition."""

WINDOW_SECONDS = 300
"""Length of a window; it begins at a multiple of that since 1970 (UTC)."""

METADATA_KEY = "udamon"
"""The one key of an object's own metadata (Parquet's key-value metadata): of two the writer would choose the order, and
the same rows would not give the same bytes."""


class Type(Enum):
    """What a column holds. `sql` is DuckDB's name of it, which SQLGlot translates."""

    INT64 = "BIGINT"
    DOUBLE = "DOUBLE"
    TIME = "TIMESTAMPTZ"
    STRING = "VARCHAR"
    INT64_LIST = "BIGINT[]"

    @property
    def sql(self) -> str:
        return self.value

    @property
    def arrow(self) -> DataType:
        return _ARROW[self]


_ARROW = {
    Type.INT64: DataType.int64(),
    Type.DOUBLE: DataType.float64(),
    Type.TIME: DataType.timestamp("us", tz="UTC"),
    Type.STRING: DataType.utf8(),
    Type.INT64_LIST: DataType.list(Field("item", DataType.int64(), nullable=True)),
}
_SHOWN = {
    Type.INT64: "int64",
    Type.DOUBLE: "double",
    Type.TIME: "timestamp[us, UTC]",
    Type.STRING: "string",
    Type.INT64_LIST: "list<int64>",
}


@dataclass(frozen=True, slots=True)
class Column:
    """`since` is the VERSION that brought it. A column is never null where `required`."""

    name: str
    type: Type
    unit: str
    meaning: str
    since: int = 1
    required: bool = False


@dataclass(frozen=True)
class Table:
    """`key`: two rows that agree in these, and in `apart`, are one fact, told twice. `apart` are columns that may be
    null, as they are in objects of versions before. `order`, then `apart`: how the rows of an object are sorted."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    apart: tuple[str, ...] = ()
    time: str = "window_begin"
    """The column that says to which hour and date a row belongs."""

    @cached_property
    def schema(self) -> Schema:
        """Of the newest version."""
        return self.schema_of(VERSION)

    def schema_of(self, version: int) -> Schema:
        """Of the objects of a version: what was added later is not in it."""
        fields = [
            Field(each.name, each.type.arrow, nullable=not each.required)
            for each in self.columns
            if each.since <= version
        ]
        return Schema(fields)

    def metadata(self, version: int = VERSION) -> dict[str, str]:
        """Of an object's file: a JSON document."""
        return {METADATA_KEY: json.dumps({"table": self.name, "layout": LAYOUT, "version": version})}

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.columns]

    def batch(self, rows: Iterable[Mapping[str, Any]]) -> RecordBatch:
        """The rows, sorted as objects are; each a mapping from names of columns, what is left out is null. Times are
        microseconds since 1970. Raises UsageError for a column that is not there, or a null that may not be."""
        found = sorted(
            rows,
            key=lambda row: (
                *(row[name] for name in self.order),
                *(row.get(name) or "" for name in self.apart),
            ),
        )
        for row in found:
            if unknown := row.keys() - set(self.names):
                raise UsageError(f"the table {self.name} has no column {min(unknown)!r}; see docs/fleet.md.")
        arrays = []
        for each in self.columns:
            values = [row.get(each.name) for row in found]
            if each.required and None in values:
                raise UsageError(f"{each.name} of the table {self.name} is null; every row needs it.")
            arrays.append(_array(values, each.type))
        return RecordBatch.from_arrays(arrays, schema=self.schema)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns of `key` and `apart`."""
        return (*self.key, *self.apart)

    def casts(self) -> str:
        """The columns of a SELECT over an object's rows, each cast to its type."""
        return ", ".join(f"CAST({each.name} AS {each.type.sql}) AS {each.name}" for each in self.columns)

    def document(self) -> str:
        """The columns as a table of Markdown, for docs/fleet.md."""
        lines = ["| column | type | unit | since | meaning |", "|---|---|---|---|---|"]
        for each in self.columns:
            null = "" if each.required else ", or null"
            lines.append(
                f"| `{each.name}` | {_SHOWN[each.type]}{null} | {each.unit} | {each.since} | {each.meaning} |"
            )
        return "\n".join(lines)


def _array(values: Sequence[Any], kind: Type) -> Array:
    if kind is Type.TIME:
        return Array(values, DataType.int64()).cast(kind.arrow)
    if kind is Type.STRING:  # a name may have bytes that are not UTF-8
        values = [value and value.encode("utf-8", "backslashreplace").decode() for value in values]
    if kind is not Type.INT64_LIST:
        return Array(values, kind.arrow)
    ends = [0, *accumulate(len(value or ()) for value in values)]
    entries = [entry for value in values for entry in value or ()]
    return list_array(
        Array(ends, DataType.int32()),
        Array(entries, DataType.int64()),
        type=kind.arrow,
        mask=Array([value is None for value in values], DataType.bool()),
    )


def _required(name: str, kind: Type, unit: str, meaning: str) -> Column:
    return Column(name, kind, unit, meaning, required=True)


_NAMESPACE = _required("namespace", Type.STRING, "", "Kubernetes namespace; empty elsewhere")
_WORKLOAD = _required(
    "workload", Type.STRING, "", "what the service belongs to, such as a Deployment; may be empty"
)
_SERVICE = _required("service", Type.STRING, "", "name of the service: container, unit, or control group")
_HOST = _required("host", Type.STRING, "", "name of the machine")
_MACHINE = Column(
    "machine",
    Type.STRING,
    "",
    "which machine of that name: a digest of its identity; null where it has none",
    since=3,
)
_WINDOW = _required("window_begin", Type.TIME, "", "when the window began, a multiple of 5 minutes")
_WATCHED = _required("seconds", Type.DOUBLE, "s", "how much of the window was watched")

SERVICES = Table(
    "services",
    "A row for each service, host and window of 5 minutes.",
    (
        _NAMESPACE, _WORKLOAD, _SERVICE, _HOST, _WINDOW, _WATCHED,
        _required("via", Type.STRING, "", "how accesses were seen (a primitive); `mixed` for several"),
        _required("grain", Type.STRING, "", "`page`, or `mapping` if accesses are known for whole mappings only"),
        Column("instances", Type.INT64, "", "control groups that are taken together here"),
        Column("processes", Type.INT64, "", "processes at the end of the window"),
        Column("coverage", Type.DOUBLE, "share", "of the resident bytes that were looked at in the window"),
        Column("resident_bytes", Type.INT64, "bytes", "in memory and watched, at the end; a shared page once"),
        Column("accessed_bytes", Type.INT64, "bytes", "touched in the window"),
        Column("cold_bytes", Type.INT64_LIST, "bytes",
               "for each age: not touched for at least so long at the window's end, a lower bound where not exact; "
               "null where nobody watched for so long"),
        Column("promoted_bytes", Type.INT64_LIST, "bytes",
               "for each age: touched again in the window after at least so long; null as above"),
        Column("limit_bytes", Type.INT64, "bytes", "memory limit of the service; null where there is none"),
        Column("cpu_seconds", Type.DOUBLE, "s", "what looking cost in the window: monitor and target"),
        Column("pause_seconds", Type.DOUBLE, "s", "longest time for which one look stopped the target"),
        Column("cold_bytes_high", Type.INT64_LIST, "bytes", "upper bounds of `cold_bytes`; null where that is exact",
               since=2),
        Column("needed_limit_bytes", Type.INT64, "bytes", "limit that right-size recommends", since=2),
        Column("needed_request_bytes", Type.INT64, "bytes", "request that right-size recommends", since=2),
        _MACHINE,
    ),
    ("namespace", "workload", "service", "host", "window_begin"),
    ("namespace", "workload", "service", "window_begin", "host"),
    ("machine",),
)  # fmt: skip

NODES = Table(
    "nodes",
    "A row for each host and window: the machine, and what watching it cost.",
    (
        _HOST, _WINDOW, _WATCHED,
        Column("memory_bytes", Type.INT64, "bytes", "of the machine"),
        Column("available_bytes", Type.INT64, "bytes", "that can be had without swapping (MemAvailable)"),
        Column("far_bytes", Type.INT64, "bytes", "swapped out or compressed"),
        Column("services_wanted", Type.INT64, "", "services that were to be watched"),
        Column("services_seen", Type.INT64, "", "of these, services with a row in the same window"),
        Column("processes_missed", Type.INT64, "", "processes that could not be watched, at the end of the window"),
        Column("agent_cpu_seconds", Type.DOUBLE, "s", "CPU of the agent in the window"),
        Column("agent_resident_bytes", Type.INT64, "bytes", "memory of the agent"),
        Column("rows_dropped", Type.INT64, "", "rows that were lost since the agent's start, for want of room or time"),
        Column("kernel", Type.STRING, "", "release of the kernel", since=2),
        _MACHINE,
    ),
    ("host", "window_begin"),
    ("host", "window_begin"),
    ("machine",),
)  # fmt: skip

REGIONS = Table(
    "regions",
    "A row for each region of a target at the end of a window, of what was recorded in detail.",
    (
        _NAMESPACE, _WORKLOAD, _SERVICE, _HOST, _WINDOW, _WATCHED,
        _required("target", Type.INT64, "", "number of the process within the recording"),
        _required("start_address", Type.INT64, "address", "first byte of the region"),
        _required("end_address", Type.INT64, "address", "behind its last byte"),
        Column("resident_bytes", Type.INT64, "bytes", "in memory"),
        Column("touched_bytes", Type.INT64, "bytes", "accessed in the window"),
        Column("nr_accesses", Type.INT64, "ticks", "in which it was accessed"),
        Column("ticks", Type.INT64, "ticks", "of the window"),
        Column("age_seconds", Type.DOUBLE, "s", "for how long its access rate has not changed"),
        Column("mapping", Type.STRING, "", "file or kind of memory; null unless names were asked for"),
        _MACHINE,
    ),
    ("namespace", "workload", "service", "host", "window_begin", "target", "start_address"),
    ("namespace", "workload", "service", "window_begin", "host", "target", "start_address"),
    ("machine",),
)  # fmt: skip

DEPLOYS = Table(
    "deploys",
    "A row for each change of a service on a host, written by whoever deploys.",
    (
        _required("deploy", Type.STRING, "", "name of the change, as `udamon fleet report after` takes it"),
        _NAMESPACE, _WORKLOAD, _SERVICE,
        _required("host", Type.STRING, "", "where; empty for all hosts at once"),
        _required("time", Type.TIME, "", "when the new version ran there"),
        Column("before", Type.STRING, "", "version before"),
        Column("after", Type.STRING, "", "version after"),
    ),
    ("deploy", "namespace", "workload", "service", "host"),
    ("namespace", "workload", "service", "time", "deploy", "host"),
    time="time",
)  # fmt: skip

TABLES = {table.name: table for table in (SERVICES, NODES, REGIONS, DEPLOYS)}


def place_of(age_seconds: float) -> int:
    """Where an age stands in the lists, from 0. Raises UsageError for one that they have not."""
    if age_seconds not in AGES:
        raise UsageError(
            f"the tables have no age of {age_seconds:g} s; give one of {', '.join(LABELS)} (as 1s, 2m, 8h)."
        )
    return AGES.index(int(age_seconds))
