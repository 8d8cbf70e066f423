"""Writes damo's records: the text that damo writes itself, to the byte, from any recording.

damo's file has one record after the other, so the recording is read once for each of its targets. A target
whose ratio of aggregation to sampling interval changes becomes several records, because damo keeps intervals
once a record; where only the length of a tick changes, `sample_interval_us` of the snapshot says so.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from textwrap import indent
from typing import Any, BinaryIO

from udamon.model import Snapshot
from udamon.record.chunks import Progress, silent
from udamon.record.damo.values import time_in
from udamon.record.reader import Recording

US = 1_000
DAMO_LAYOUT = 4
"""Spaces of each level, as damo indents its JSON."""

_ABOUT = ("kdamond_idx", "context_idx", "intervals", "scheme_idx", "target_id", "scheme_filters")
_GOAL = {"access_bp": "0.000000", "aggrs": "0", "min_sample_us": "0", "max_sample_us": "0"}


def write(
    recording: Recording, file: BinaryIO, *, compress: bool = False, progress: Progress = silent
) -> None:
    """The whole recording as damo's `json`, or `json_compressed`. Raises what the recording and `file` raise."""
    packer = zlib.compressobj() if compress else None
    for text in _text(recording, progress):
        data = text.encode("ascii")
        file.write(packer.compress(data) if packer else data)
    if packer:
        file.write(packer.flush())


def _text(recording: Recording, progress: Progress) -> Iterator[str]:
    targets, update_us = _about(recording)
    rows = max(1, sum(message.rows for _, message in recording.messages()) * len(targets))
    done, records = 0, 0
    for index, about in targets.items():
        writer = _DamoTarget(index, about, update_us)
        for snapshot in recording.snapshots():
            done += len(snapshot) or 1
            if snapshot.target == index:
                if writer.begins(snapshot):
                    yield (writer.tail() if writer.ticks else "") + (",\n" if records else "[\n")
                    records += 1
                    yield writer.head(snapshot)
                else:
                    yield ",\n"
                yield writer.snapshot(snapshot)
                progress(done / rows)
        yield writer.tail()
    yield "\n]" if records else "[]"


def _about(recording: Recording) -> tuple[dict[int, list[dict[str, Any]]], int]:
    """Each target in order, with what damo said of its records, where it did; and the update interval in us."""
    update_us: Any = (recording.metadata.get("attrs") or {}).get("update_us", 1_000_000)
    said: dict[object, list[dict[str, Any]]] = {}
    for event in recording.events():
        if event.name == "damo_record":
            said.setdefault(event.data.get("target"), []).append(dict(event.data))
        elif event.name == "attrs":
            update_us = event.data.get("update_us", update_us)
    found: dict[int, list[dict[str, Any]]] = {}
    for batch in recording.batches():
        names = batch["event"]
        if names.null_count == len(names):
            for index in dict.fromkeys(batch["target"].to_pylist()):
                found.setdefault(index, said.get(index, []))
    return found, int(update_us)


class _DamoTarget:
    """The text of one target's records; damo's own layout."""

    def __init__(self, index: int, about: Sequence[dict[str, Any]], update_us: int) -> None:
        self._index, self._said, self._update_us = index, list(about), update_us
        self._about: dict[str, Any] = {}
        self._sample_ns: int | None = None
        self.ticks: int | None = None
        """Ticks of the record that is written, None before the first."""

    def begins(self, snapshot: Snapshot) -> bool:
        """Whether a new record begins with this snapshot."""
        return self.ticks is None or (self._about["intervals"] is not None and self.ticks != snapshot.ticks)

    def head(self, snapshot: Snapshot) -> str:
        """A record up to its first snapshot."""
        said = self._said.pop(0) if len(self._said) > 1 else (self._said or [{}])[0]
        self._about = {"kdamond_idx": 0, "context_idx": 0, "scheme_idx": None, "target_id": self._index,
                       "scheme_filters": []} | said  # fmt: skip
        self.ticks = snapshot.ticks
        intervals = said.get("intervals", ...)
        if intervals is ... or not self._fits(intervals, snapshot.ticks):
            sample_us = max(1, round(snapshot.sample_ns / US))
            intervals = {
                "sample_us": str(sample_us), "aggr_us": str(sample_us * snapshot.ticks),
                "ops_update_us": str(self._update_us), "intervals_goal": _GOAL,
            }  # fmt: skip
        self._sample_ns = None if intervals is None else time_in(US, intervals["sample_us"])
        self._about["intervals"] = intervals
        lines = ",\n".join(f'"{key}": {_indented(self._about[key])}' for key in _ABOUT)
        return f'    {{\n{indent(lines, " " * 8)},\n        "snapshots": [\n'

    @staticmethod
    def _fits(intervals: Any, ticks: int) -> bool:
        """Whether what damo said of the intervals is true of a snapshot, too."""
        if intervals is None:
            return True
        return round(time_in(US, intervals["aggr_us"]) / time_in(US, intervals["sample_us"])) == ticks

    def tail(self) -> str:
        """A record from the end of its last snapshot on."""
        return f'\n        ],\n        "data_source": {json.dumps(self._about.get("data_source") or "unknown")}\n    }}'

    def snapshot(self, snapshot: Snapshot) -> str:
        """One snapshot with its regions."""
        window = snapshot.end_ns - snapshot.begin_ns
        # What a reader would take it for when nothing is said of it.
        usual = max(1, window // snapshot.ticks) if self._sample_ns is None else self._sample_ns
        sample = "null" if snapshot.sample_ns == usual else f'"{max(1, round(snapshot.sample_ns / US))}"'
        regions = ",\n".join(
            map(_region, snapshot.starts, snapshot.ends, snapshot.nr_accesses, snapshot.ages)
        )
        between = f"[\n{regions}\n                ]" if regions else "[]"
        total = sum(snapshot.ends) - sum(snapshot.starts)
        return (
            f'            {{\n                "start_time": "{snapshot.begin_ns}",\n'
            f'                "end_time": "{snapshot.end_ns}",\n                "regions": {between},\n'
            f'                "total_bytes": "{total}",\n                "damos_stats": null,\n'
            f'                "sample_interval_us": {sample}\n            }}'
        )


def _indented(value: object) -> str:
    return json.dumps(value, indent=DAMO_LAYOUT)


_DEEP = "\n" + " " * 24
_DEEPER = "\n" + " " * 28


def _region(start: int, end: int, nr_accesses: int, age: int) -> str:
    return (
        f'                    {{{_DEEP}"start": "{start:,}",{_DEEP}"end": "{end:,}",'
        f'{_DEEP}"nr_accesses": {{{_DEEPER}"samples": {nr_accesses},{_DEEPER}"percent": null{_DEEP}}},'
        f'{_DEEP}"age": {{{_DEEPER}"usec": null,{_DEEPER}"aggr_intervals": "{age}"{_DEEP}}},'
        f'{_DEEP}"probe_hits": [],{_DEEP}"sz_filter_passed": "0 B"\n                    }}'
    )
