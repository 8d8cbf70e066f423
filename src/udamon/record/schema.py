"""The one schema of a recording, and what its metadata says.

A recording is an Arrow IPC stream (zstd-compressed buffers) with one row per region per snapshot.

| column      | type   | null      | meaning                                                                |
|-------------|--------|-----------|------------------------------------------------------------------------|
| time        | int64  | never     | ns on CLOCK_MONOTONIC: end of the window, or when the event was        |
| begin       | int64  | event     | ns on CLOCK_MONOTONIC: begin of the window [begin, time)               |
| seq         | int64  | event     | number of the aggregation, shared by the snapshots of all its targets  |
| target      | int32  | *         | index of the target, never reused within a recording                   |
| pid         | int32  | *         | the target's process, where it is one                                  |
| start, end  | uint64 | event, ** | the region [start, end) in bytes                                       |
| nr_accesses | uint32 | event, ** | ticks in which the region was seen accessed, 0..ticks                  |
| ticks       | uint32 | event     | ticks of the window                                                    |
| sample_ns   | int64  | event     | length of a tick                                                       |
| age         | uint32 | event, ** | aggregations for which the region stayed as it is                      |
| touched     | uint64 | event, ** | bytes accessed at least once in the window                             |
| resident    | uint64 | event, ** | bytes in memory, where the primitive knows                             |
| event       | utf8   | snapshot  | name of an event (udamon.model.Event)                                  |
| data        | utf8   | snapshot  | its data, one JSON object                                              |

*  An event that is about a target says so in `target`; its `pid` is in the data.
** A snapshot without regions is one row in which these are null, so no snapshot is lost.

Snapshots and events each keep their order; the events of a flush come before its snapshots, and `time`
orders the two. A snapshot is never divided between batches. A file without the stream's end mark was
not closed: it reads up to its last whole batch.

The schema's metadata has JSON under "udamon": `version` of this schema, and what was known at the start
(udamon.record.metadata).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from arro3.core import DataType, Field, Schema

VERSION = 1
METADATA_KEY = b"udamon"

REGION_COLUMNS = ("start", "end", "nr_accesses", "age", "touched", "resident")

_TYPES = {
    "time": DataType.int64(),
    "begin": DataType.int64(),
    "seq": DataType.int64(),
    "target": DataType.int32(),
    "pid": DataType.int32(),
    "start": DataType.uint64(),
    "end": DataType.uint64(),
    "nr_accesses": DataType.uint32(),
    "ticks": DataType.uint32(),
    "sample_ns": DataType.int64(),
    "age": DataType.uint32(),
    "touched": DataType.uint64(),
    "resident": DataType.uint64(),
    "event": DataType.utf8(),
    "data": DataType.utf8(),
}
COLUMNS = tuple(_TYPES)
TYPES: Mapping[str, DataType] = _TYPES
SCHEMA = Schema([Field(name, kind, nullable=name != "time") for name, kind in _TYPES.items()])


def to_json(value: object) -> str:
    """Compact ASCII JSON: a file name that is not UTF-8 (lone surrogates) survives. NaN is refused."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def schema_with(metadata: Mapping[str, object]) -> Schema:
    """The schema that heads a file with this metadata."""
    return SCHEMA.with_metadata({METADATA_KEY: to_json(dict(metadata)).encode()})


def metadata_of(schema: Schema) -> dict[str, Any] | None:
    """The metadata of a file's schema, or None when it is not one of ours."""
    text = schema.metadata.get(METADATA_KEY)
    if text is None or schema.names[: len(COLUMNS)] != list(COLUMNS):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
