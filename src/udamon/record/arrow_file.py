"""Writes snapshots and events from elsewhere as a recording: like udamon.record.writer, with their own metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO

from udamon.model import Event, Snapshot
from udamon.record.buffer import Rows
from udamon.record.reader import Recording
from udamon.record.schema import to_json
from udamon.record.stream import END, header, messages
from udamon.record.writer import MAX_ROWS


def write(items: Iterable[Snapshot | Event], metadata: Mapping[str, object], file: BinaryIO) -> None:
    """A whole recording to `file`. Raises what `items` and `file` raise."""
    file.write(header(metadata))
    rows = Rows()
    for item in items:
        if isinstance(item, Snapshot):
            rows.add_snapshot(item)
        else:
            target = item.data.get("target")
            known = target if isinstance(target, int) else None
            rows.add_event(item.time_ns, known, item.name, to_json(dict(item.data)))
        if len(rows) >= MAX_ROWS:
            file.write(messages(rows.batches()))
            rows = Rows()
    if len(rows):
        file.write(messages(rows.batches()))
    file.write(END)


def copy(recording: Recording, file: BinaryIO) -> None:
    """All whole batches of a recording, under its metadata."""
    file.write(header(recording.metadata))
    for batch in recording.batches():
        file.write(messages([batch]))
    file.write(END)
