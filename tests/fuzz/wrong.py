"""Recordings that any Arrow library reads and no monitor writes: right columns, right checksums, wrong values."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

from arro3.core import Array, RecordBatch, Table

from tests.fuzz.bases import ATTRS, COVERAGE, METADATA, allocations, events, shot
from tests.fuzz.mutate import NUMBERS
from udamon.model import Snapshot
from udamon.record.buffer import PendingRows
from udamon.record.metadata import machine
from udamon.record.schema import COLUMNS, RATE_COLUMNS, SCHEMA, TYPES
from udamon.record.stream import Stream

_BOUNDS = {"int64": (-(1 << 63), (1 << 63) - 1), "int32": (-(1 << 31), (1 << 31) - 1),
           "uint64": (0, (1 << 64) - 1), "uint32": (0, (1 << 32) - 1)}  # fmt: skip
_KINDS = {
    name: next((word for word in _BOUNDS if str(TYPES[name]).lower().find(f"<{word}>") >= 0), None)
    for name in COLUMNS
}
_JSON: tuple[Any, ...] = (
    None, True, -1, 0, 1, 1.5, 1e308, 1 << 64, -(1 << 63), 10**39, "", "x", "x" * 100_000, "\udcff\x1b[2J\u202e", [],
    {},
    [[]], {"a": {"b": []}}, [1, 2], [[0, 4096, "rw-p", 0, 0, "[heap]"]], [[4096, 0, "rw-p", 0, 0, ""]], [None] * 6,
)  # fmt: skip
_RAW = ("", "{", "[]", "null", "NaN", '{"a": NaN}', '{"target": 1e999}', "[" * 5000, '{"a":' * 500 + "1" + "}" * 500,
        "9" * 5000, '{"pid": ' + "9" * 5000 + "}", '{"text": "' + "\\u0000" * 50 + '"}')  # fmt: skip


COSTS = ("cpu_ns", "kdamond_cpu_ns", "max_rss_bytes", "checks", "snapshots", "skipped", "target_cost_ns",
         "longest_pause_ns", "reclaim_pages")  # fmt: skip


_SHARES = (
    0.0,
    0.5,
    1.0,
    -0.0,
    -1e-9,
    1 + 1e-9,
    1e308,
    -1e308,
    5e-324,
    float("inf"),
    float("-inf"),
    float("nan"),
)


def value(name: str, random: Random) -> Any:
    """A value of the column's type that is on the edge of it, or null."""
    if name in RATE_COLUMNS:
        return random.choice((None, *_SHARES))
    kind = _KINDS[name]
    if kind is None:
        return random.choice((None, "", "note", "mappings", "target_start", *_RAW))
    low, high = _BOUNDS[kind]
    if random.random() < 0.2:
        return None if name != "time" else 0
    return min(high, max(low, random.choice(NUMBERS)))


def _rows(random: Random, seq: int) -> tuple[list[RecordBatch], int]:
    """Batches of a flush, and how many snapshots they say they have."""
    rows = PendingRows()
    snapshots: list[Snapshot] = [shot(seq, regions=random.choice((0, 1, 5, 40)))]
    if random.random() < 0.5:
        snapshots = [
            replace(
                one,
                touched_low=0,
                touched_high=1 << 40,
                idle_checks=9,
                idle_hits=1,
                idle_bytes=1 << 40,
                idle_mixed=0,
            )
            for one in snapshots
        ]
    for one in snapshots:
        rows.add_snapshot(one)
    (batch,) = rows.batches()
    columns: dict[str, list[Any]] = {name: list(batch[name].to_pylist()) for name in COLUMNS}
    count = batch.num_rows
    kind = random.randrange(6)
    if kind <= 2:  # some values of a good snapshot
        for _ in range(random.choice((1, 1, 3, 10))):
            name = random.choice(COLUMNS)
            columns[name][random.randrange(count)] = value(name, random)
    elif kind == 3:  # a whole column
        name = random.choice(COLUMNS)
        columns[name] = [value(name, random)] * count
    elif kind == 4:  # nothing is right
        count = random.choice((1, 3, 50))
        columns = {name: [value(name, random) for _ in range(count)] for name in COLUMNS}
    elif random.random() < 0.1:  # very many rows of the same, which a few bytes tell
        return [_repeated(columns, random.choice((1000, 100_000, 1_200_000)))], len(snapshots)
    arrays = [Array(columns[name], TYPES[name]) for name in COLUMNS]
    return [RecordBatch.from_arrays(arrays, schema=SCHEMA)], len(snapshots)


def _repeated(columns: dict[str, list[Any]], count: int) -> RecordBatch:
    """So many thousand rows; a thousand are made of Python's numbers, which takes longest."""
    arrays = [Array([columns[name][0]] * 1000, TYPES[name]) for name in COLUMNS]
    thousand = RecordBatch.from_arrays(arrays, schema=SCHEMA)
    (all_of_them,) = Table.from_batches([thousand] * (count // 1000)).combine_chunks().to_batches()
    return all_of_them


def many_rows(count: int) -> bytes:
    """A recording of one batch of so many equal rows."""
    rows, stream = PendingRows(), Stream()
    rows.add_snapshot(shot(0, regions=1))
    (batch,) = rows.batches()
    many = _repeated({name: list(batch[name].to_pylist()) for name in COLUMNS}, count)
    return stream.head(machine() | METADATA) + stream.batch(many, 1) + stream.end()


def known_events() -> dict[str, dict[str, Any]]:
    """Data of an event of every name that recordings have."""
    return {event.name: dict(event.data) for event in (*events(0), *allocations())} | {
        "advice": {"target": 0, "mappings": [[1 << 30, (1 << 30) + 4096, "random"]]},
        "target_end": {"target": 0, "pid": 1, "why": "exited"}, "cost": dict.fromkeys(COSTS, 1),
        "attrs": dict(ATTRS), "note": {"text": "x"}, "subscriber": {"what": "x", "why": "y"},
        "coverage": {**COVERAGE, "processes_seen": 1},
        "target_exec": {"target": 0, "pid": 1, "comm": "x", "cmdline": []}, "schemes": {"schemes": [{"scheme": 0}]},
        "damo_record": {"target": 0, "kdamond_idx": 0, "intervals": {"sample_us": "5 ms", "aggr_us": "100 ms"}},
    }  # fmt: skip


def _event(random: Random) -> tuple[str, str]:
    """A name, and data that is wrong somewhere."""
    known = known_events()
    name = random.choice([*known, "unknown"])
    if random.random() < 0.2:
        return name, random.choice(_RAW)
    data: Any = known.get(name, {})
    for _ in range(random.choice((1, 1, 2))):
        key = random.choice([*data, "target", "x"])
        data[key] = random.choice(_JSON)
        if random.random() < 0.2:
            data.pop(random.choice(list(data)))
    return name, json.dumps(data)


def recording(random: Random) -> bytes:
    """A whole file."""
    metadata: dict[str, Any] = machine() | dict(METADATA)
    if random.random() < 0.3:
        metadata[random.choice(list(metadata))] = random.choice(_JSON)
    stream = Stream(random.choice((0, 0, 0, 5, 1 << 63)))
    parts = [stream.head(metadata)]
    begin = PendingRows()
    for event in (*events(0), *(allocations() if random.random() < 0.5 else ())):
        begin.add_event(event.time_ns, 0, event.name, json.dumps(dict(event.data)))
    parts.append(stream.flush(begin))
    for seq in range(random.randrange(1, 5)):
        if random.random() < 0.4:
            spoiled = PendingRows()
            for _ in range(random.choice((1, 3))):
                spoiled.add_event(
                    random.choice((1 << 40, 0, (1 << 63) - 1)), random.choice((0, None, -5)), *_event(random)
                )
            parts.append(stream.flush(spoiled))
        else:
            batches, count = _rows(random, seq)
            parts += [stream.batch(batch, random.choice((count, count, count, 0, 7))) for batch in batches]
        good = PendingRows()
        good.add_snapshot(shot(100 + seq))
        parts.append(stream.flush(good))
    parts.append(stream.end())
    return b"".join(parts)
