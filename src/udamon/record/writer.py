"""The writer of a recording: a subscriber that appends snapshots and events to a file."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from threading import Lock

from udamon.closing import Closing
from udamon.errors import UsageError
from udamon.files.names import Identity
from udamon.files.output import OutputFile
from udamon.files.rotation import RotatedFile
from udamon.model import Event, Snapshot
from udamon.record import anonymize as anonymous
from udamon.record.buffer import PendingRows
from udamon.record.metadata import machine
from udamon.record.state import ValidEvents
from udamon.record.stream import END_SIZE, Stream

MAX_ROWS = 1 << 16
"""A writer whose caller does not flush does so itself at this many rows (about 6 MiB)."""

MIN_MAX_SIZE = 1 << 16


class Writer(Closing):
    """Writes a recording to `path`, mode 0600; may be used from several threads.

    `metadata` joins the facts of udamon.record.metadata in the file's head. With `max_size` (bytes), FILE
    and FILE.1 together stay below it: FILE.1 has the older part, and each begins with the metadata and
    the events that still hold. With `anonymize`, names and command lines are left out.

    `path` may be -, /dev/fd/N, a pipe or a device, which are written as they are (udamon.files.place).

    Raises OutputError when the file exists and not `force`, or cannot be written; after a failed write
    the file ends with the last whole flush and every later flush raises again. UsageError for a
    `max_size` below 64 KiB or of what cannot be rotated, and for a file that is one of `inputs`.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        metadata: Mapping[str, object],
        *,
        force: bool = False,
        max_size: int | None = None,
        anonymize: bool = False,
        inputs: Iterable[Identity] = (),
    ) -> None:
        if max_size is not None and max_size < MIN_MAX_SIZE:
            raise UsageError(f"a maximum size of {max_size} bytes is too small; give at least 64KiB.")
        self.path = Path(path)
        self._max_size = max_size
        self._anonymize = anonymize
        self._metadata: dict[str, object] = machine() | dict(metadata)
        if anonymize:
            self._metadata = anonymous.metadata(self._metadata)
        self._part = 1
        self._stream = Stream()
        self._lock = Lock()
        self._rows = PendingRows()
        self._valid = ValidEvents()
        self._begins: list[int | None] = [None, None, None]
        """When the first snapshot of FILE.1, of FILE and of the rows that wait began."""
        self._end_ns = 0
        self._dropped = False
        self._max_rows = MAX_ROWS if max_size is None else min(MAX_ROWS, max_size // 512)
        kind = OutputFile if max_size is None else RotatedFile
        self._file = kind(path, self._head(), force=force, inputs=inputs)

    def snapshot(self, snapshot: Snapshot, /) -> None:
        """Take in a snapshot; the arrays are copied."""
        with self._lock:
            self._begins[2] = snapshot.begin_ns if self._begins[2] is None else self._begins[2]
            self._end_ns = max(self._end_ns, snapshot.end_ns)
            self._rows.add_snapshot(snapshot)
            self._flush_if_much()

    def event(self, event: Event, /) -> None:
        """Take in an event."""
        with self._lock:
            if self._anonymize:
                event = Event(event.time_ns, event.name, anonymous.event_data(event.name, event.data))
            if self._max_size is not None:
                self._valid.add(event)
            self._rows.add(event)
            self._flush_if_much()

    def flush(self) -> None:
        """Write everything so far, so that readers see it. Call it at least once a second."""
        with self._lock:
            self._flush()

    @property
    def kept_seconds(self) -> float | None:
        """The length of what is left where rotations have taken earlier snapshots away; None where all are there."""
        with self._lock:
            if not self._dropped:
                return None
            first = next((begin for begin in self._begins if begin is not None), self._end_ns)
            return (self._end_ns - first) / 1e9

    def close(self) -> None:
        """Flush and write the end mark; closing twice is fine. Raises OutputError like flush."""
        with self._lock:
            if self._file.closed:
                return
            try:
                self._flush()
                self._file.append(self._stream.end())
            finally:
                self._file.close()

    def _head(self) -> bytes:
        return self._stream.head(self._metadata | {"part": self._part})

    def _flush_if_much(self) -> None:
        if len(self._rows) >= self._max_rows:
            self._flush()

    def _flush(self) -> None:
        if not len(self._rows):
            self._file.check()
            return
        rows, self._rows = self._rows, PendingRows()
        messages = self._stream.messages(rows)
        if isinstance(self._file, RotatedFile):
            self._make_room(self._file, sum(message.size for message in messages))
        self._file.append(self._stream.sealed(messages))
        older, current, waiting = self._begins
        self._begins = [older, waiting if current is None else current, None]

    def _make_room(self, file: RotatedFile, size: int) -> None:
        """Rotate when the file would outgrow its half; the older part goes when both would be too much."""
        assert self._max_size is not None
        size += END_SIZE
        if file.size + size > self._max_size // 2 and file.appended > 1:
            self._rotate(file)
        if file.size + size + file.older_size > self._max_size:
            file.drop_older()
            self._drop_older()
        if file.size + size > self._max_size:
            file.fail(
                f"one flush does not fit into the maximum size of {self._max_size} bytes for {self.path}; raise it."
            )

    def _rotate(self, file: RotatedFile) -> None:
        file.append(self._stream.end())
        self._part += 1
        self._stream = Stream(self._stream.snapshots)
        kept = file.rotate(self._head())
        self._drop_older()
        self._begins = [self._begins[1], None, self._begins[2]]
        if not kept:
            self._drop_older()
        rows = PendingRows()
        for event in self._valid:
            rows.add(event)
        if not kept:
            text = (
                f"the part before was lost: another file is called {self.path.name}.1 and cannot be replaced"
            )
            rows.add(Event(time.monotonic_ns(), "note", {"text": text}))
        file.append(self._stream.flush(rows))

    def _drop_older(self) -> None:
        """Snapshots of FILE.1, if it had any, are gone."""
        self._dropped |= self._begins[0] is not None
        self._begins[0] = None
