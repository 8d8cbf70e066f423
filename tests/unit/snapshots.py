"""Short ways to make snapshots, and to write and read what holds them."""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from udamon.model import Event, Snapshot
from udamon.record import arrow_file
from udamon.record.reader import Recording
from udamon.record.schema import VERSION

MS = 1_000_000
Region = tuple[int, int, int, int]
"""start, end, nr_accesses, age."""


def snap(
    seq: int, regions: Sequence[Region], *, target: int = 0, begin: int | None = None, window: int = 100 * MS,
    ticks: int = 20, sample: int = 5 * MS,
) -> Snapshot:  # fmt: skip
    """A snapshot of `window` ns; the default ones follow on each other. Touched is damo's definition."""
    begin = seq * window if begin is None else begin
    starts, ends, counts, ages = zip(*regions, strict=True) if regions else ((), (), (), ())
    touched = [end - start if count else 0 for start, end, count, _ in regions]
    return Snapshot(
        target=target, pid=None, seq=seq, begin_ns=begin, end_ns=begin + window, sample_ns=sample, ticks=ticks,
        starts=array("Q", starts), ends=array("Q", ends), nr_accesses=array("I", counts), ages=array("I", ages),
        touched=array("Q", touched),
    )  # fmt: skip


def recorded(path: Path, items: Sequence[Snapshot | Event], **metadata: object) -> Recording:
    """A recording of udamon with these."""
    with path.open("wb") as file:
        arrow_file.write(items, {"version": VERSION, **metadata}, file)
    return Recording(path)


INTERVALS = {
    "sample_us": "5000", "aggr_us": "100000", "ops_update_us": "1000000",
    "intervals_goal": {"access_bp": "0.000000", "aggrs": "0", "min_sample_us": "0", "max_sample_us": "0"},
}  # fmt: skip


def damo_region(start: object, end: object, samples: object = 0, age: object = "0") -> dict[str, Any]:
    """A region with damo's keys."""
    return {"start": start, "end": end, "nr_accesses": {"samples": samples, "percent": None},
            "age": {"usec": None, "aggr_intervals": age}, "probe_hits": [], "sz_filter_passed": "0 B"}  # fmt: skip


def damo_snapshot(begin: object, end: object, regions: object, **more: object) -> dict[str, Any]:
    """A snapshot with damo's keys."""
    return {"start_time": begin, "end_time": end, "regions": regions, "total_bytes": "0", "damos_stats": None,
            "sample_interval_us": None} | more  # fmt: skip


def damo_record(snapshots: object, **more: object) -> dict[str, Any]:
    """A record with damo's keys, in damo's order."""
    about = {"kdamond_idx": 0, "context_idx": 0, "intervals": INTERVALS, "scheme_idx": None, "target_id": 0,
             "scheme_filters": [], "snapshots": snapshots, "data_source": "unknown"}  # fmt: skip
    return about | more


def damo_file(path: Path, records: object, *, indent: int | None = 4, compress: bool = False) -> Path:
    """damo's json or json_compressed."""
    text = json.dumps(records, indent=indent).encode()
    path.write_bytes(zlib.compress(text) if compress else text)
    return path
