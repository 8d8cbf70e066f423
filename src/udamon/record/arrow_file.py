"""Writes snapshots and events from elsewhere as a recording: like udamon.record.writer, with their own metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO

from udamon.model import Event, Snapshot
from udamon.record.buffer import PendingRows
from udamon.record.reader import Recording
from udamon.record.stream import Stream
from udamon.record.writer import MAX_ROWS


def write(items: Iterable[Snapshot | Event], metadata: Mapping[str, object], file: BinaryIO) -> None:
    """A whole recording to `file`. Raises what `items` and `file` raise."""
    stream = Stream()
    file.write(stream.head(metadata))
    rows = PendingRows()
    for item in items:
        if isinstance(item, Snapshot):
            rows.add_snapshot(item)
        else:
            rows.add(item)
        if len(rows) >= MAX_ROWS:
            file.write(stream.flush(rows))
            rows = PendingRows()
    if len(rows):
        file.write(stream.flush(rows))
    file.write(stream.end())


def copy(recording: Recording, file: BinaryIO) -> None:
    """All whole batches of a recording, under its metadata. What is missing in it is missing in the copy, too; what
    rotations have taken away is not."""
    stream = Stream(recording.files[0].start or 0)
    file.write(stream.head(recording.metadata))
    for batch, first, snapshots in recording.numbered():
        if first is not None:
            stream.snapshots = max(stream.snapshots, first)
        file.write(stream.batch(batch, snapshots))
    file.write(stream.end())
