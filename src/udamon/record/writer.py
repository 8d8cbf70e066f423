"""The writer of a recording: a subscriber that appends snapshots and events to a file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from threading import Lock
from types import TracebackType

from udamon.errors import RecordingError, UsageError
from udamon.model import Event, Snapshot
from udamon.record import anonymize as anonymous
from udamon.record.buffer import Rows
from udamon.record.metadata import machine
from udamon.record.output import OutputFile
from udamon.record.schema import to_json
from udamon.record.state import ValidEvents
from udamon.record.stream import END_SIZE, Stream

MAX_ROWS = 1 << 16
"""A writer whose caller does not flush does so itself at this many rows (about 6 MiB)."""

MIN_MAX_SIZE = 1 << 16


class Writer:
    """Writes a recording to `path`, mode 0600; may be used from several threads.

    `metadata` joins the facts of udamon.record.metadata in the file's head. With `max_size` (bytes), FILE
    and FILE.1 together stay below it: FILE.1 has the older part, and each begins with the metadata and
    the events that still hold. With `anonymize`, names and command lines are left out.

    Raises RecordingError when the file exists and not `force`, or cannot be written; after a failed write
    the file ends with the last whole flush and every later flush raises again. UsageError for a
    `max_size` below 64 KiB.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        metadata: Mapping[str, object],
        *,
        force: bool = False,
        max_size: int | None = None,
        anonymize: bool = False,
    ) -> None:
        if max_size is not None and max_size < MIN_MAX_SIZE:
            raise UsageError(f"a maximum size of {max_size} bytes is too small; give at least 64KiB.")
        self.path = Path(path)
        self._old = self.path.with_name(self.path.name + ".1")
        self._max_size = max_size
        self._anonymize = anonymize
        self._metadata: dict[str, object] = machine() | dict(metadata)
        if anonymize:
            self._metadata = anonymous.metadata(self._metadata)
        self._part = 1
        self._stream = Stream()
        self._lock = Lock()
        self._rows = Rows()
        self._valid = ValidEvents()
        self._max_rows = MAX_ROWS if max_size is None else min(MAX_ROWS, max_size // 512)
        if max_size is not None:
            OutputFile.make_way(self._old, force)
        self._file = self._begin(force)

    def snapshot(self, snapshot: Snapshot, /) -> None:
        """Take in a snapshot; the arrays are copied."""
        with self._lock:
            self._rows.add_snapshot(snapshot)
            self._flush_if_much()

    def event(self, event: Event, /) -> None:
        """Take in an event."""
        with self._lock:
            if self._anonymize:
                event = Event(event.time_ns, event.name, anonymous.event_data(event.name, event.data))
            if self._max_size is not None:
                self._valid.add(event)
            _add(self._rows, event)
            self._flush_if_much()

    def flush(self) -> None:
        """Hand everything so far to the kernel: a reader sees it now. Call it at least once a second."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Flush and write the end mark; closing twice is fine. Raises RecordingError like flush."""
        with self._lock:
            if self._file.closed:
                return
            try:
                self._flush()
                self._file.append(self._stream.end())
            finally:
                self._file.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, force: bool) -> OutputFile:
        file = OutputFile(self.path, force=force)
        file.append(self._stream.head(self._metadata | {"part": self._part}))
        return file

    def _flush_if_much(self) -> None:
        if len(self._rows) >= self._max_rows:
            self._flush()

    def _flush(self) -> None:
        if not len(self._rows):
            self._file.check()
            return
        rows, self._rows = self._rows, Rows()
        messages = self._stream.messages(rows)
        if self._max_size is not None:
            self._make_room(sum(message.size for message in messages), self._max_size)
        self._file.append(self._stream.sealed(messages))

    def _make_room(self, size: int, max_size: int) -> None:
        """Rotate when the file would outgrow its half; the older part goes when both would be too much."""
        size += END_SIZE
        if self._file.size + size > max_size // 2 and self._file.appended > 1:
            self._rotate()
        if self._file.size + size + OutputFile.size_of(self._old) > max_size:
            self._old.unlink(missing_ok=True)
        if self._file.size + size > max_size:
            self._file.fail(
                f"one flush does not fit into the maximum size of {max_size} bytes for {self.path}; raise it."
            )

    def _rotate(self) -> None:
        self._file.append(self._stream.end())
        self._file.close()
        try:
            self.path.replace(self._old)
        except OSError as error:
            raise RecordingError(
                f"cannot rotate {self.path} to {self._old.name}: {error.strerror}; the recording ends here."
            ) from error
        self._part += 1
        self._stream = Stream(self._stream.snapshots)
        self._file = self._begin(force=False)
        rows = Rows()
        for event in self._valid:
            _add(rows, event)
        self._file.append(self._stream.flush(rows))


def _add(rows: Rows, event: Event) -> None:
    target = event.data.get("target")
    rows.add_event(
        event.time_ns, target if isinstance(target, int) else None, event.name, to_json(dict(event.data))
    )
