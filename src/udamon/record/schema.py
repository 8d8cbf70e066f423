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
| private     | uint64 | event, ** | resident bytes that no other mapping has, where the primitive knows    |
| anonymous   | uint64 | event, ** | resident bytes that are no page cache and no shared memory             |
| touched_min | uint64 | event, ** | bytes of `touched` that this target itself accessed, for sure          |
| object      | uint64 | event, ** | a number: regions of different ones have no page in common             |
| file_offset | uint64 | event, ** | bytes into the object where the region begins; null: anonymous memory  |
| distinct    | uint64 | event, ** | resident bytes that no earlier region of this seq and object has       |
| same_as     | int32  | event     | the target whose address space this one's is, where that is another    |
| access_rate | double | event, ** | chance that a page is accessed in a tick, 0..1, where that is known    |
| rate_low    | double | event, ** | the truth of it is not below this                                      |
| rate_high   | double | event, ** | nor above this, in at least 95 of 100 cases                            |
| touched_low | uint64 | event, ** | where `touched` is an estimate: that of the whole snapshot is not less |
| touched_high| uint64 | event, ** | nor more than this, with a confidence of 95 %                          |
| idle_checks | uint32 | event, ** | there too: checks over the whole window in memory that stays idle      |
| idle_hits   | uint32 | event, ** | those of them that met an access                                       |
| idle_bytes  | uint64 | event, ** | there too: bytes of the memory that these checks were in               |
| idle_mixed  | uint64 | event, ** | bytes of regions told as idle that are not, or not for as long as told |

*  An event that is about a target says so in `target`; its `pid` is in the data.
** A snapshot without regions is one row in which these are null, so no snapshot is lost.
   From `private` on, columns are null where the primitive does not know, and missing in recordings of earlier
   versions of udamon (`SHARED_COLUMNS`, after them `RATE_COLUMNS`, `BOUND_COLUMNS` and `IDLE_COLUMNS`). "Earlier"
   is by the order of rows.

Snapshots and events each keep their order; the events of a flush come before its snapshots, and `time`
orders the two. A snapshot is never divided between batches. A file without the stream's end mark was
not closed: it reads up to its last whole batch.

The schema's metadata has JSON under "udamon": `version` of this schema, and what was known at the start
(udamon.record.metadata).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from arro3.core import DataType, Field, Schema

from udamon import plain_json

VERSION = 1
METADATA_KEY = b"udamon"

REGION_COLUMNS = ("start", "end", "nr_accesses", "age", "touched", "resident")
SHARING_COLUMNS = ("private", "anonymous", "touched_min", "object", "file_offset", "distinct")
SHARED_COLUMNS = (*SHARING_COLUMNS, "same_as")
"""Columns that recordings of earlier versions do not have."""
RATE_COLUMNS = ("access_rate", "rate_low", "rate_high")
"""Columns that came after those."""
BOUND_COLUMNS = ("touched_low", "touched_high")
IDLE_COLUMNS = ("idle_checks", "idle_hits", "idle_bytes", "idle_mixed")
"""And after those, one after the other: alike in all rows of a snapshot."""

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
    "private": DataType.uint64(),
    "anonymous": DataType.uint64(),
    "touched_min": DataType.uint64(),
    "object": DataType.uint64(),
    "file_offset": DataType.uint64(),
    "distinct": DataType.uint64(),
    "same_as": DataType.int32(),
    "access_rate": DataType.float64(),
    "rate_low": DataType.float64(),
    "rate_high": DataType.float64(),
    "touched_low": DataType.uint64(),
    "touched_high": DataType.uint64(),
    "idle_checks": DataType.uint32(),
    "idle_hits": DataType.uint32(),
    "idle_bytes": DataType.uint64(),
    "idle_mixed": DataType.uint64(),
}
COLUMNS = tuple(_TYPES)
_LATER = (SHARED_COLUMNS, RATE_COLUMNS, BOUND_COLUMNS, IDLE_COLUMNS)
FIRST_COLUMNS = COLUMNS[: -sum(map(len, _LATER))]
"""Those that every recording has; more may follow."""
WIDTHS = tuple(accumulate(map(len, _LATER), initial=len(FIRST_COLUMNS)))
"""Numbers of columns: of recordings of earlier versions, and of this one."""
TYPES: Mapping[str, DataType] = _TYPES
SCHEMA = Schema([Field(name, kind, nullable=name != "time") for name, kind in _TYPES.items()])


def schema_with(metadata: Mapping[str, object]) -> Schema:
    """The schema that heads a file with this metadata."""
    return SCHEMA.with_metadata({METADATA_KEY: plain_json.written(dict(metadata)).encode()})


def schema_of(columns: int) -> Schema:
    """The first so many columns of the schema: those of this version, or of an earlier one."""
    return SCHEMA if columns == len(COLUMNS) else Schema([SCHEMA.field(name) for name in COLUMNS[:columns]])
