"""check_rows: every value that no monitor writes is told, with the row; what a monitor writes is not."""

from __future__ import annotations

from typing import Any

import pytest
from arro3.core import Array, RecordBatch

from tests.unit.record.test_writer import snapshot
from udamon.native._native import RowsChecked, check_rows
from udamon.record.buffer import PendingRows
from udamon.record.schema import COLUMNS, IDLE_COLUMNS, RATE_COLUMNS, SCHEMA, SHARING_COLUMNS, TYPES

FAR = 1 << 62
STATE = 24 * 16


def columns(*seqs: int, target: int = 0, regions: int = 3) -> dict[str, list[Any]]:
    rows = PendingRows()
    for seq in seqs:
        rows.add_snapshot(snapshot(seq, regions=regions, target=target, resident=True))
    (batch,) = rows.batches()
    found: dict[str, list[Any]] = {name: list(batch[name].to_pylist()) for name in COLUMNS}
    if regions:
        found |= {name: [0] * len(found["time"]) for name in SHARING_COLUMNS}
        found |= dict(
            zip(RATE_COLUMNS, ([rate] * len(found["time"]) for rate in (0.25, 0.0, 1.0)), strict=True)
        )
    return found


def idle(**changes: int | None) -> dict[str, list[tuple[int, Any]]]:
    """What a snapshot of three rows knows of idle memory."""
    values = dict.fromkeys(IDLE_COLUMNS, 9) | changes
    return {name: [(row, value) for row in range(3)] for name, value in values.items()}


def check(
    values: dict[str, list[Any]], state: bytearray | None = None, *, strict: bool = True
) -> tuple[str | None, int, int, int]:
    arrays = [Array(values[name], TYPES[name]) for name in COLUMNS]
    batch = RecordBatch.from_arrays(arrays, schema=SCHEMA)
    return call(batch, bytearray(STATE) if state is None else state, strict)


def call(batch: RecordBatch, state: bytearray, strict: bool) -> RowsChecked:
    schema, capsule = batch.__arrow_c_array__()
    return check_rows(schema=schema, batch=capsule, state=state, strict=strict)


def test_what_a_monitor_writes() -> None:
    """Snapshots are counted, also one without regions; so are events."""
    assert check(columns(0, 1, 2))[::2] == (None, 3)
    assert check(columns(0, regions=0))[::2] == (None, 1)
    events: dict[str, list[Any]] = {name: [None, None] for name in COLUMNS}
    events |= {"time": [1, 0], "event": ["note"] * 2, "data": ["{}"] * 2}
    assert check(events)[2:] == (0, 2)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"event": [(1, "note")]}, "no name or no data"),
        ({"event": [(4, "note")], "data": [(4, "{}")]}, "in one batch"),
        ({"begin": [(3, None)]}, "no begin, seq or target"),
        ({"target": [(0, None)]}, "no begin, seq or target"),
        ({"ticks": [(0, None)]}, "no ticks"),
        ({"time": [(i, FAR) for i in range(3)]}, "too far"),
        ({"seq": [(i, -FAR) for i in range(3)]}, "too far"),
        ({"begin": [(i, 10**9) for i in range(3)]}, "ends before it begins"),
        ({"ticks": [(i, 0) for i in range(3)]}, "ticks of a window"),
        ({"sample_ns": [(i, 0) for i in range(3)]}, "ticks of a window"),
        ({"sample_ns": [(i, FAR) for i in range(3)]}, "ticks of a window"),
        ({"target": [(i, -1) for i in range(3)]}, "negative"),
        ({"pid": [(i, -1) for i in range(3)]}, "negative"),
        ({"seq": [(i, 0) for i in range(3, 6)]}, "not later"),
        ({"time": [(i, 10**8 - 1) for i in range(3, 6)], "begin": [(i, 0) for i in range(3, 6)]}, "not later"),
        ({"pid": [(1, 7)]}, "contradict"),
        ({"begin": [(2, 1)]}, "contradict"),
        ({"sample_ns": [(5, 1)]}, "contradict"),
        ({"resident": [(1, None)]}, "contradict"),
        ({"touched": [(1, None)]}, "lacks some"),
        ({"start": [(0, None)]}, "lacks some"),
        ({"end": [(0, 0)]}, "ends where it begins"),
        ({"start": [(4, 4096 * 300)]}, "ends where it begins"),
        ({"start": [(0, 4097)]}, "begin or end at a page"),
        ({"start": [(1, 4096)]}, "out of order"),
        ({"nr_accesses": [(5, 21)]}, "more ticks than there were"),
        ({"touched": [(5, 4097)]}, "touched than there is"),
        ({"resident": [(5, 4097)]}, "resident than there is"),
        ({"rate_low": [(1, None)]}, "an interval no rate"),
        ({"access_rate": [(1, None)]}, "an interval no rate"),
        ({"access_rate": [(1, float("nan"))]}, "not within its interval"),
        ({"rate_low": [(1, -0.1)]}, "not within its interval"),
        ({"rate_low": [(1, 0.3)]}, "not within its interval"),
        ({"rate_high": [(1, 0.2)]}, "not within its interval"),
        ({"rate_high": [(1, 1.1)]}, "not within its interval"),
        ({"same_as": [(i, -1) for i in range(3)]}, "negative"),
        ({"same_as": [(1, 0)]}, "contradict"),
        ({"private": [(1, None)]}, "lacks some"),
        ({"anonymous": [(1, None)]}, "lacks some"),
        ({"touched_min": [(4, None)]}, "lacks some"),
        ({"object": [(5, None)]}, "lacks some"),
        ({name: [(0, None)] for name in SHARING_COLUMNS[:4]}, "lacks some"),
        ({"private": [(1, 4097)]}, "private, anonymous"),
        ({"anonymous": [(1, 4097)]}, "private, anonymous"),
        ({"touched_min": [(1, 4097)]}, "private, anonymous"),
        ({"distinct": [(1, 4097)]}, "private, anonymous"),
        ({"file_offset": [(1, (1 << 64) - 4096)]}, "beyond the end"),
        ({"touched_high": [(i, 9000) for i in range(3)]}, "one bound"),
        ({"touched_low": [(i, 1) for i in range(3)], "touched_high": [(i, 0) for i in range(3)]}, "above the upper"),
        ({"touched_low": [(i, i) for i in range(3)], "touched_high": [(i, 9) for i in range(3)]}, "contradict"),
        ({"touched_low": [(i, 1) for i in range(3)], "touched_high": [(i, 9 + i) for i in range(3)]}, "contradict"),
        *((idle(**{missing: None}), "lacks some") for missing in IDLE_COLUMNS),
        (idle(idle_checks=8), "met accesses than"),
        *(({**idle(), name: [(i, 9 + i) for i in range(3)]}, "contradict") for name in IDLE_COLUMNS),
    ],
)  # fmt: skip
def test_what_no_monitor_writes(changes: dict[str, list[tuple[int, Any]]], why: str) -> None:
    values = columns(0, 1)
    for name, pairs in changes.items():
        for row, value in pairs:
            values[name][row] = value
    found = check(values)
    assert found[0] is not None
    assert why in found[0]


def test_bounds_of_what_was_touched() -> None:
    values = columns(0, 1)
    values |= {"touched_low": [0] * 3 + [5] * 3, "touched_high": [(1 << 64) - 1] * 3 + [5] * 3}
    values |= {name: [0] * 3 + [(1 << 32) - 1] * 3 for name in ("idle_checks", "idle_hits")}
    values |= {name: [0] * 3 + [(1 << 64) - 1] * 3 for name in ("idle_bytes", "idle_mixed")}
    assert check(values)[0] is None


def test_several_rows_without_regions() -> None:
    """A snapshot without regions is one row."""
    values = {name: column * 2 for name, column in columns(0, regions=0).items()}
    assert check(values)[0] == "a snapshot without regions has several rows"


def test_what_is_shared() -> None:
    """Nothing is known of some regions, no offset and no frames of others; of no region there is nothing to know."""
    values = columns(0, 1)
    for name in SHARING_COLUMNS:
        values[name][0] = None
    values["file_offset"][1] = values["distinct"][1] = None
    values["file_offset"][2] = (1 << 64) - 8192
    assert check(values)[0] is None
    for name in SHARING_COLUMNS:
        none = columns(0, regions=0)
        none[name][0] = 0
        assert check(none)[0] == "a region lacks some of its values"


def test_the_last_snapshots_are_known_across_batches() -> None:
    """Each target by itself; targets that share a place in the state forget each other and refuse nothing."""
    state = bytearray(STATE)
    assert check(columns(5), state)[0] is None
    assert check(columns(5, target=1), state)[0] is None
    assert check(columns(4), state)[0] is not None
    assert check(columns(6), state)[0] is None
    assert check(columns(0, target=16), state)[0] is None
    assert check(columns(0), state)[0] is None


def test_other_tools_know_regions_that_are_no_pages() -> None:
    """Without `strict`, addresses and times are as they came; the rest is checked all the same."""
    values = columns(0)
    values["start"][0] += 1
    values["touched"][0] = 0
    values["resident"][0] = 0
    assert check(values)[0] is not None
    assert check(values, strict=False)[0] is None
    values["nr_accesses"][0] = 21
    assert check(values, strict=False)[0] is not None


def test_wrong_batches() -> None:
    """No room for the state, and columns that are not those of a recording."""
    with pytest.raises(ValueError, match="whole records"):
        check(columns(0), bytearray(1))
    batch = RecordBatch.from_arrays([Array([1], TYPES["time"])], names=["time"])
    with pytest.raises(ValueError, match="no such column"):
        call(batch, bytearray(STATE), True)
