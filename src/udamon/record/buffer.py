"""Rows that wait for the next flush, kept in arrays: adding a snapshot copies memory and boxes nothing."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from math import isnan
from typing import Any

from arro3.core import Array, RecordBatch

from udamon import plain_json
from udamon.model import NOWHERE, Event, Snapshot
from udamon.record.schema import (
    BOUND_COLUMNS,
    COLUMNS,
    IDLE_COLUMNS,
    RATE_COLUMNS,
    REGION_COLUMNS,
    SCHEMA,
    SHARING_COLUMNS,
    TYPES,
)

_CODES = {
    "time": "q", "begin": "q", "seq": "q", "target": "i", "pid": "i", "start": "Q", "end": "Q",
    "nr_accesses": "I", "ticks": "I", "sample_ns": "q", "age": "I", "touched": "Q", "resident": "Q",
    "private": "Q", "anonymous": "Q", "touched_min": "Q", "object": "Q", "file_offset": "Q", "distinct": "Q",
    "same_as": "i", "access_rate": "d", "rate_low": "d", "rate_high": "d", "touched_low": "Q", "touched_high": "Q",
    "idle_checks": "I", "idle_hits": "I", "idle_bytes": "Q", "idle_mixed": "Q",
}  # fmt: skip


@cache
def _null_block(name: str, length: int) -> Array:
    return Array([None] * length, TYPES[name])


_FIRST_OF_TYPE = {
    name: next(other for other in TYPES if TYPES[other] == kind) for name, kind in TYPES.items()
}


def _nulls(name: str, length: int) -> Array:
    """Built once per type and power of two: all columns of a type share it."""
    return _null_block(_FIRST_OF_TYPE[name], 1 << length.bit_length()).slice(0, length)


class _Column:
    """One column under construction: values, and the spans in which there are none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: array[Any] = array(_CODES[name])
        self.missing: list[tuple[int, int]] = []

    def repeat(self, value: int | None, count: int) -> None:
        if value is None:
            self.missing.append((len(self.values), len(self.values) + count))
        self.values.extend(array(self.values.typecode, (value or 0,)) * count)

    def extend(self, values: array[int]) -> None:
        self.values.extend(values)  # the same type code: a copy of memory

    def extend_known(self, values: array[int]) -> None:
        """As `extend`; NOWHERE is null."""
        begin = len(self.values)
        self.values.extend(values)
        if NOWHERE in values:
            self.missing += [
                (begin + at, begin + at + 1) for at, value in enumerate(values) if value == NOWHERE
            ]

    def extend_rates(self, values: array[float]) -> None:
        """As `extend`; NaN is null."""
        begin = len(self.values)
        self.values.extend(values)
        self.missing += [(begin + at, begin + at + 1) for at, value in enumerate(values) if isnan(value)]

    def finish(self) -> Array:
        if not self.missing:
            return Array(self.values)  # shares the memory: the column is not extended again
        if sum(end - begin for begin, end in self.missing) == len(self.values):
            return _nulls(self.name, len(self.values))
        rows: list[float | None] = list(self.values)
        for begin, end in self.missing:
            rows[begin:end] = [None] * (end - begin)
        return Array(rows, TYPES[self.name])


class PendingRows:
    """Snapshots and events that wait; `len` is the rows there are, `snapshots` how many snapshots."""

    def __init__(self) -> None:
        self.snapshots = 0
        self._columns = {name: _Column(name) for name in _CODES}
        self._events: list[tuple[int, int | None, str, str]] = []

    def __len__(self) -> int:
        return len(self._columns["time"].values) + len(self._events)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """One row a region, or one row without a region."""
        columns, count = self._columns, len(snapshot) or 1
        self.snapshots += 1
        columns["time"].repeat(snapshot.end_ns, count)
        columns["begin"].repeat(snapshot.begin_ns, count)
        columns["seq"].repeat(snapshot.seq, count)
        columns["target"].repeat(snapshot.target, count)
        columns["pid"].repeat(snapshot.pid, count)
        columns["ticks"].repeat(snapshot.ticks, count)
        columns["sample_ns"].repeat(snapshot.sample_ns, count)
        regions = (snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages, snapshot.touched)
        for name, values in zip(REGION_COLUMNS, (*regions, snapshot.resident), strict=True):
            if values is None or not len(snapshot):
                columns[name].repeat(None, count)
            else:
                columns[name].extend(values)
        sharing = snapshot.sharing if len(snapshot) else None
        columns["same_as"].repeat(None if sharing is None else sharing.same_as, count)
        if sharing is None:
            for name in SHARING_COLUMNS:
                columns[name].repeat(None, count)
        else:
            known = (
                sharing.private,
                sharing.anonymous,
                sharing.touched_min,
                sharing.objects,
                sharing.file_offsets,
                sharing.distinct,
            )
            for name, values in zip(SHARING_COLUMNS, known, strict=True):
                columns[name].extend_known(values)
        rates = snapshot.rates if len(snapshot) else None
        if rates is None:
            for name in RATE_COLUMNS:
                columns[name].repeat(None, count)
        else:
            for name, found in zip(RATE_COLUMNS, (rates.rate, rates.low, rates.high), strict=True):
                columns[name].extend_rates(found)

        for name in (*BOUND_COLUMNS, *IDLE_COLUMNS):
            columns[name].repeat(getattr(snapshot, name) if len(snapshot) else None, count)

    def add(self, event: Event) -> None:
        """One row."""
        target = event.data.get("target")
        known = target if isinstance(target, int) else None
        self.add_event(event.time_ns, known, event.name, plain_json.written(dict(event.data)))

    def add_event(self, time_ns: int, target: int | None, name: str, data: str) -> None:
        """One row; `data` is JSON text."""
        self._events.append((time_ns, target, name, data))

    def batches(self) -> list[RecordBatch]:
        """What waits, as record batches: events, then snapshots. The object must not be used again."""
        found = []
        if self._events:
            found.append(_event_batch(self._events))
        if count := len(self._columns["time"].values):
            arrays = {name: column.finish() for name, column in self._columns.items()}
            found.append(_batch(arrays, count))
        return found


def _event_batch(events: Sequence[tuple[int, int | None, str, str]]) -> RecordBatch:
    columns: dict[str, Sequence[Any]] = dict(
        zip(("time", "target", "event", "data"), zip(*events, strict=True), strict=True)
    )
    arrays = {name: Array(list(values), TYPES[name]) for name, values in columns.items()}
    return _batch(arrays, len(events))


def _batch(arrays: dict[str, Array], count: int) -> RecordBatch:
    full = [arrays.get(name) or _nulls(name, count) for name in COLUMNS]
    return RecordBatch.from_arrays(full, schema=SCHEMA)


def with_all_columns(batch: RecordBatch) -> RecordBatch:
    """A batch of a recording of any version, in the schema of this one: what it does not know is null."""
    if batch.column_names == list(COLUMNS):
        return batch
    known = set(batch.column_names)
    full = [batch[name] if name in known else _nulls(name, batch.num_rows) for name in COLUMNS]
    return RecordBatch.from_arrays(full, schema=SCHEMA)
