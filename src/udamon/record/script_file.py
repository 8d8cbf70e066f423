"""Writes the text that `perf script` prints of DAMON's trace events, which damo reads as `perf_script`.

The format has no begins (a reader takes the end before), no touched and resident bytes, no snapshot without
regions. Times are written with nine digits, as `perf script --ns` does, so that ends are exact. The length of a
tick is told as the kernel tells it, by `damon_monitor_intervals_tune`; damo passes over that.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from udamon.model import Snapshot
from udamon.record.chunks import Progress, silent
from udamon.record.reader import Recording


def write(recording: Recording, file: BinaryIO, progress: Progress = silent) -> None:
    """The whole recording, snapshot by snapshot. Raises what the recording and `file` raise."""
    said: dict[object, Any] = {
        event.data.get("target"): event.data for event in recording.events() if event.name == "damo_record"
    }
    rows = max(1, sum(message.rows for _, message in recording.messages()))
    done = 0
    sample_of: dict[int, int] = {}  # kdamond → length of a tick in ns
    for snapshot in recording.snapshots():
        done += len(snapshot) or 1
        about = said.get(snapshot.target, {})
        kdamond = about.get("kdamond_idx", 0) or 0
        if sample_of.get(kdamond) != snapshot.sample_ns:
            sample_of[kdamond] = snapshot.sample_ns
            text = f"damon_monitor_intervals_tune: sample_us={max(1, round(snapshot.sample_ns / 1000))}\n"
            # A first window that began before the clock did is one whose begin was derived.
            file.write((_head(kdamond, max(0, snapshot.begin_ns)) + text).encode("ascii"))
        target_id = about.get("target_id")  # null where damo's file does not tell it
        target_id = snapshot.target if target_id is None else target_id
        file.write(_lines(snapshot, kdamond, target_id).encode("ascii"))
        progress(done / rows)


def _head(kdamond: int, time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    return f"kdamond.{kdamond}     0 [000] {seconds}.{fraction:09}: damon:"


def _lines(snapshot: Snapshot, kdamond: int, target_id: int) -> str:
    head = f"{_head(kdamond, snapshot.end_ns)}damon_aggregated: target_id={target_id} nr_regions={len(snapshot)} "
    regions = zip(snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages, strict=True)
    return "".join(f"{head}{start}-{end}: {nr} {age}\n" for start, end, nr, age in regions)
