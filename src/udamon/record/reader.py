"""The reader of a recording: streams batches, events or snapshots, and stops at a torn end without a fuss."""

from __future__ import annotations

import json
import os
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

from arro3.core import RecordBatch, RecordBatchReader
from arro3.io import read_ipc_stream

from udamon.errors import RecordingError
from udamon.model import Event, Snapshot
from udamon.record.chunks import Progress, silent
from udamon.record.messages import Message, messages
from udamon.record.messages import head as head_of
from udamon.record.schema import VERSION, metadata_of
from udamon.record.stream import END
from udamon.record.unreadable import unreadable

_AT_ONCE = 1 << 22
"""Chosen messages are decoded together up to this many bytes: a decoder's start costs more than a small one."""


class Recording:
    """A recording on disk, finished or still being written. Every iterator starts at the beginning.

    Of a rotated recording it is the whole set, FILE.1 first where that is the part before FILE; or FILE
    alone, when `whole` is false.
    `metadata` is what was known at the start. `truncated` tells that the end mark is missing: the recorder
    was killed or still runs, and the last flush is the end. Memory does not grow with the file's length.

    Raises RecordingError when the file cannot be read, is empty, ends inside its head, is something else,
    or was written by a newer udamon.
    """

    progress: Progress = staticmethod(silent)
    """Told how far each scan by a query is."""

    def __init__(self, path: str | PathLike[str], *, whole: bool = True) -> None:
        self.path = Path(path)
        head, tail, size = _ends(self.path)
        _check_head(self.path, head, size)
        self.truncated = tail != END
        try:
            self._schema = read_ipc_stream(self.path).schema
        except Exception as error:  # arro3 raises bare exceptions
            raise _other(self.path) from error
        metadata = metadata_of(self._schema)
        if metadata is None:
            raise RecordingError(f"{self.path} is an Arrow stream but not a udamon recording; give one.")
        if metadata.get("version") != VERSION:
            raise RecordingError(
                f"{self.path} has version {metadata.get('version')} of the recording format and this udamon "
                f"reads version {VERSION}; install the udamon that wrote it."
            )
        self.metadata: dict[str, Any] = metadata
        self.paths: list[Path] = [*(_older(self.path, metadata) if whole else ()), self.path]

    def batches(self) -> Iterator[RecordBatch]:
        """Record batches in the schema of udamon.record.schema, up to the last whole one."""
        for path in self.paths:
            try:
                yield from read_ipc_stream(path)
            except Exception:  # the torn end of a killed recorder, or one that writes right now
                self.truncated = True

    def messages(self) -> list[tuple[Path, Message]]:
        """What `chosen` may be asked for: every record batch with its file, without reading any."""
        return [(path, message) for path in self.paths for message in messages(path)]

    def chosen(self, wanted: Sequence[tuple[Path, Message]]) -> Iterator[RecordBatch]:
        """Only these record batches; the others are neither read nor decompressed."""
        for path in self.paths:
            mine = deque(message for of, message in wanted if of == path)
            start = head_of(path) if mine else b""
            with path.open("rb") as file:
                while mine:
                    parts, size = [start], 0
                    while mine and size < _AT_ONCE:
                        message = mine.popleft()
                        file.seek(message.offset)
                        parts.append(file.read(message.end - message.offset))
                        size += len(parts[-1])
                    try:
                        yield from read_ipc_stream(BytesIO(b"".join([*parts, END])))
                    except Exception:  # overwritten in the middle: as `batches`, nothing after it
                        self.truncated = True
                        return

    def some(
        self, most_rows: int, begin_ns: int | None = None, end_ns: int | None = None
    ) -> RecordBatchReader:
        """About `most_rows` rows of snapshots in whole batches, spread evenly over the recording.

        Or over its part from `begin_ns` to `end_ns` on CLOCK_MONOTONIC: batches are in the order of time.
        """
        every = [(path, message) for path, message in self.messages() if message.events < message.rows]
        first = 0 if begin_ns is None else max(0, bisect_left(every, begin_ns, key=self._time_of) - 1)
        last = len(every) if end_ns is None else bisect_right(every, end_ns, key=self._time_of)
        every = every[first:last]
        step = max(1, sum(message.rows for _, message in every) // most_rows)
        # Both ends are always in: memory that came late or went early is there.
        picked = every[:1] + every[1:-1:step] + every[1:][-1:]
        return self.only(picked)

    def _time_of(self, message: tuple[Path, Message]) -> int:
        """The time of the first row of a batch."""
        return int(next(self.chosen([message]))["time"].slice(0, 1).to_pylist()[0])

    def only(self, wanted: Sequence[tuple[Path, Message]]) -> RecordBatchReader:
        """Only these record batches, as a stream; see `chosen`."""
        return RecordBatchReader.from_batches(self._schema, self.chosen(wanted))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow stream protocol: each call reads the file anew, so a query may scan it twice."""
        return RecordBatchReader.from_batches(self._schema, self.scan()).__arrow_c_stream__(requested_schema)

    def scan(self) -> Iterator[RecordBatch]:
        """As `batches`, and `progress` is told how far it is."""
        if self.progress is silent:
            return self.batches()
        return self._counted(max(1, sum(message.rows for _, message in self.messages())))

    def _counted(self, total: int) -> Iterator[RecordBatch]:
        done = 0
        for batch in self.batches():
            yield batch
            done += batch.num_rows
            self.progress(min(1.0, done / total))

    def events(self) -> Iterator[Event]:
        """The events, in the order they were written."""
        for batch in self.chosen([(path, message) for path, message in self.messages() if message.events]):
            yield from _events(batch)

    def snapshots(self) -> Iterator[Snapshot]:
        """The snapshots, in the order they were written."""
        for batch in self.batches():
            names = batch["event"]
            if names.null_count == len(names):
                yield from _snapshots(batch)


def _older(path: Path, metadata: dict[str, Any]) -> list[Path]:
    """The part before a rotation, where it is there and of the same recording."""
    part, old = metadata.get("part", 1), path.with_name(path.name + ".1")
    if part == 1 or not old.exists():
        return []
    try:
        found = metadata_of(read_ipc_stream(old).schema)
    except Exception:  # something else has that name
        return []
    return [old] if found == metadata | {"part": part - 1} else []


def _ends(path: Path) -> tuple[bytes, bytes, int]:
    """The first 8 bytes, the last 8, and the size."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(END)))
            return head, file.read(), size
    except OSError as error:
        raise unreadable(path, error) from error


def _check_head(path: Path, head: bytes, size: int) -> None:
    """Refuse what cannot be a stream before arro3 takes other bytes for a length and allocates it."""
    marker = END[:4]
    if not size:
        raise RecordingError(f"{path} is empty: the recorder was stopped before it wrote anything.")
    length = int.from_bytes(head[4:8], "little")
    if head[:4] != marker[:size] or length > 1 << 28:
        raise _other(path)
    if size < 8 + length or size < 8:
        raise RecordingError(f"{path} ends inside its head: the recorder was stopped before the first flush.")


def _other(path: Path) -> RecordingError:
    return RecordingError(f"{path} is not a udamon recording; give a file that udamon record wrote.")


def _events(batch: RecordBatch) -> Iterator[Event]:
    columns = (batch[name].to_pylist() for name in ("time", "event", "data"))
    for time_ns, name, data in zip(*columns, strict=True):
        if name is not None:
            yield Event(time_ns, name, json.loads(data))


def _snapshots(batch: RecordBatch) -> Iterator[Snapshot]:
    keys = list(zip(*(batch[name].to_pylist() for name in ("time", "seq", "target")), strict=True))
    begin = 0
    for row in range(1, len(keys) + 1):
        if row == len(keys) or keys[row] != keys[begin]:
            yield _snapshot(batch.slice(begin, row - begin))
            begin = row


def _snapshot(rows: RecordBatch) -> Snapshot:
    first = {name: rows[name].slice(0, 1).to_pylist()[0] for name in rows.column_names}

    def values(name: str, code: str) -> array[int]:
        return array(code, [] if first["start"] is None else rows[name].to_pylist())

    return Snapshot(
        target=first["target"], pid=first["pid"], seq=first["seq"],
        begin_ns=first["begin"], end_ns=first["time"], sample_ns=first["sample_ns"], ticks=first["ticks"],
        starts=values("start", "Q"), ends=values("end", "Q"),
        nr_accesses=values("nr_accesses", "I"), ages=values("age", "I"), touched=values("touched", "Q"),
        resident=None if first["resident"] is None else values("resident", "Q"),
    )  # fmt: skip
