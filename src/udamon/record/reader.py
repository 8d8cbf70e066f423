"""The reader of a recording: streams batches, events or snapshots, skips damaged parts and reports them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import groupby
from os import PathLike
from pathlib import Path

from arro3.core import RecordBatch, RecordBatchReader
from arro3.io import read_ipc_stream

from udamon.model import Event, Rates, Sharing, Snapshot
from udamon.native._native import ROW_STATE_BYTES, check_rows
from udamon.record import values
from udamon.record.buffer import with_all_columns
from udamon.record.chunks import Progress, silent
from udamon.record.flatbuffer import Malformed
from udamon.record.heads import Head, check_body, remade
from udamon.record.limits import DEFAULT, ReadLimits
from udamon.record.messages import Damage, OpenFile, StoredBatch
from udamon.record.opened import open_parts
from udamon.record.schema import RATE_COLUMNS, SCHEMA, SHARING_COLUMNS, WIDTHS
from udamon.record.stream import END, bare_head

_AT_ONCE = 1 << 22
"""Messages are unpacked together up to this many bytes: a decoder's start costs more than a small one."""

_TARGETS_KNOWN = 4096
_STATE = ROW_STATE_BYTES * _TARGETS_KNOWN
"""Bytes of what check_rows keeps of so many targets."""

Place = tuple[OpenFile, StoredBatch]
"""A record batch and the file it is in."""

_Unpacked = tuple[Place, RecordBatch, int]
"""The same with the batch itself, and how many snapshots it has."""


class Recording:
    """A recording on disk, finished or still being written, as it was when it was opened. Every iterator starts at
    the beginning.

    Of a rotated recording it is the whole set, FILE.1 first where that is the part before FILE; or FILE
    alone, when `whole` is false. Files are opened once, so that nothing changes when they are renamed.
    `metadata` is what was known at the start, empty where that is damaged. `truncated` tells that the end mark is
    missing: the recorder was killed or still runs, and the last flush is the end. Memory does not grow with the file's
    length. `knows_sharing` is False for one that an earlier version of udamon wrote: it lacks SHARED_COLUMNS, and
    batches have null there.

    Raises RecordingError when the file cannot be read, is empty, ends inside its head, is something else, was written
    by a newer udamon, or asks for more than `limits`.
    """

    progress: Progress = staticmethod(silent)
    """Called with the progress of each scan by a query."""

    def __init__(
        self, path: str | PathLike[str], *, whole: bool = True, limits: ReadLimits = DEFAULT
    ) -> None:
        self.path = Path(path)
        self.limits = limits
        self.files, self.metadata = open_parts(self.path, limits, whole=whole)
        self.truncated = not self.files[-1].closed
        self.checksums = all(file.checksums for file in self.files)
        """Whether every message has a checksum; without, damage may go unnoticed."""
        self.knows_sharing = all(file.columns >= WIDTHS[1] for file in self.files)
        rows = sum(message.rows for _, message in self.messages())
        limits.check_rows(rows, sum(file.size for file in self.files), self.path)
        # Other tools know regions that are no pages, and begin anew in one file.
        self._strict = self.metadata.get("read_from") is None
        self._kept: dict[tuple[OpenFile, int], _Unpacked] | None = None

    @property
    def paths(self) -> list[Path]:
        """The files that are read, the oldest part first; they may have other names by now."""
        return [file.path for file in self.files]

    @property
    def damaged(self) -> list[Damage]:
        """The damaged parts found so far: all that checksums reveal, and those that reading has met."""
        return [damage for file in self.files for damage in sorted(file.damaged, key=lambda one: one.offset)]

    def messages(self) -> list[Place]:
        """What `chosen` may be asked for: every record batch with its file, without unpacking any."""
        return [(file, message) for file in self.files for message in file.messages]

    def keep(self, most_rows: int, most_bytes: int) -> bool:
        """Read it now and keep its batches in memory for all later reads, unless they are more than that. Whether they
        are kept."""
        if self._kept is None and sum(message.rows for _, message in self.messages()) <= most_rows:
            found, size = {}, 0
            for one in self._unpacked(self.messages()):
                (file, message), batch, _ = one
                if (size := size + batch.nbytes) > most_bytes:
                    return False
                found[file, message.offset] = one
            self._kept = found
        return self._kept is not None

    def batches(self) -> Iterator[RecordBatch]:
        """Record batches in the schema of udamon.record.schema that are whole and possible, in order."""
        return self.chosen(self.messages())

    def numbered(self) -> Iterator[tuple[RecordBatch, int | None, int]]:
        """As `batches`, each with the number of its first snapshot, where that is known, and how many it has."""
        for (_, message), batch, snapshots in self._unpacked(self.messages()):
            yield batch, message.first, snapshots

    def chosen(self, wanted: Sequence[Place]) -> Iterator[RecordBatch]:
        """Only these record batches; the others are neither read nor unpacked."""
        for _, batch, _ in self._unpacked(wanted):
            yield batch

    def _unpacked(self, wanted: Sequence[Place]) -> Iterator[_Unpacked]:
        """The batches with how many snapshots each has; one that is not possible is named and left out."""
        if self._kept is not None:
            places = ((file, message.offset) for file, message in wanted)
            yield from (self._kept[place] for place in places if place in self._kept)
            return
        state = bytearray(_STATE)
        left = deque(wanted)
        while left:
            some, size = [left.popleft()], 0
            while left and (size := size + some[-1][1].end - some[-1][1].offset) < _AT_ONCE:
                some.append(left.popleft())
            for place, batch in _decoded(some):
                file, message = place
                try:
                    snapshots = _checked(batch, message, state, strict=self._strict)
                except Malformed as error:
                    file.lost(message, str(error))
                else:
                    yield place, batch, snapshots

    def some(
        self, most_rows: int, begin_ns: int | None = None, end_ns: int | None = None
    ) -> RecordBatchReader:
        """About `most_rows` rows of snapshots in whole batches, spread evenly over the recording.

        Or over its part from `begin_ns` to `end_ns` on CLOCK_MONOTONIC: batches are in the order of time.
        """
        every = [(file, message) for file, message in self.messages() if message.events < message.rows]
        first = 0 if begin_ns is None else max(0, bisect_left(every, begin_ns, key=self._time_of) - 1)
        last = len(every) if end_ns is None else bisect_right(every, end_ns, key=self._time_of)
        every = every[first:last]
        step = max(1, sum(message.rows for _, message in every) // most_rows)
        # Both ends are always in: memory that came late or went early is there.
        picked = every[:1] + every[1:-1:step] + every[1:][-1:]
        return self.only(picked)

    def _time_of(self, message: Place) -> int:
        """The time of the first row of a batch; 0 for one that is damaged, which is not read anyway."""
        batch = next(self.chosen([message]), None)
        return 0 if batch is None else int(batch["time"].slice(0, 1).to_pylist()[0])

    def only(self, wanted: Sequence[Place]) -> RecordBatchReader:
        """Only these record batches, as a stream; see `chosen`."""
        return RecordBatchReader.from_batches(SCHEMA, self.chosen(wanted))

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow stream protocol: each call reads the file anew, so a query may scan it twice."""
        return RecordBatchReader.from_batches(SCHEMA, self.scan()).__arrow_c_stream__(requested_schema)

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
        yield from self.events_of([place for place in self.messages() if place[1].events])

    def events_of(self, wanted: Sequence[Place]) -> Iterator[Event]:
        """The events of these batches alone; see `messages`."""
        for (file, message), batch, _ in self._unpacked(wanted):
            columns = (batch[name].to_pylist() for name in ("time", "event", "data"))
            try:
                found = [
                    Event(time_ns, name, values.event(name, data, self.limits))
                    for time_ns, name, data in zip(*columns, strict=True)
                ]
            except (ValueError, RecursionError) as error:
                file.lost(message, str(error))
            else:
                yield from found

    def snapshots(self) -> Iterator[Snapshot]:
        """The snapshots, in the order they were written."""
        for batch in self.chosen([one for one in self.messages() if not one[1].events]):
            yield from _snapshots(batch)


def _decoded(places: Sequence[Place]) -> Iterator[tuple[Place, RecordBatch]]:
    """Messages as batches; those that cannot be unpacked are named and left out."""
    good: list[tuple[Place, Head, bytes]] = []
    for file, message in places:
        try:
            head, body = file.whole(message)
            check_body(head, memoryview(body), file.limits.piece)
        except Malformed as error:
            file.lost(message, str(error))
        else:
            good.append(((file, message), head, body))
    # A stream has one schema, and parts of a recording may be of several versions.
    for columns, same in groupby(good, key=lambda one: len(one[1].nulls)):
        yield from _unpack(columns, list(same))


def _unpack(columns: int, good: Sequence[tuple[Place, Head, bytes]]) -> Iterator[tuple[Place, RecordBatch]]:
    """The same of messages with so many columns each."""
    done = 0
    parts = [remade(head) + body for _, head, body in good]
    try:
        for batch in read_ipc_stream(BytesIO(b"".join([bare_head(columns), *parts, END]))):
            done += 1
            yield good[done - 1][0], with_all_columns(batch)
    except Exception:  # arro3 raises bare exceptions, for the batch that cannot be unpacked
        file, message = good[done][0]
        file.lost(message, "it cannot be unpacked")
        for one in good[done + 1 :]:
            yield from _unpack(columns, [one])


def _checked(batch: RecordBatch, message: StoredBatch, state: bytearray, *, strict: bool) -> int:
    """How many snapshots a batch has. Raises Malformed for values that no monitor writes."""
    trial = bytearray(state)
    schema, capsule = batch.__arrow_c_array__()
    why, row, snapshots, events = check_rows(schema=schema, batch=capsule, state=trial, strict=strict)
    if why is not None:
        raise Malformed(f"row {row} of the flush: {why}")
    if events != message.events or message.snapshots not in (None, snapshots):
        raise Malformed("it has not as many snapshots as it says")
    state[:] = trial
    return snapshots


def _snapshots(batch: RecordBatch) -> Iterator[Snapshot]:
    keys = list(zip(*(batch[name].to_pylist() for name in ("time", "seq", "target")), strict=True))
    begin = 0
    for row in range(1, len(keys) + 1):
        if row == len(keys) or keys[row] != keys[begin]:
            yield _snapshot(batch.slice(begin, row - begin))
            begin = row


def _snapshot(rows: RecordBatch) -> Snapshot:
    first = {name: rows[name].slice(0, 1).to_pylist()[0] for name in rows.column_names}

    def column(name: str, code: str) -> array[int]:
        return array(code, [] if first["start"] is None else rows[name].to_pylist())

    return Snapshot(
        target=first["target"], pid=first["pid"], seq=first["seq"],
        begin_ns=first["begin"], end_ns=first["time"], sample_ns=first["sample_ns"], ticks=first["ticks"],
        starts=column("start", "Q"), ends=column("end", "Q"),
        nr_accesses=column("nr_accesses", "I"), ages=column("age", "I"), touched=column("touched", "Q"),
        resident=None if first["resident"] is None else column("resident", "Q"),
        sharing=_sharing(rows), rates=_rates(rows),
        touched_low=first["touched_low"], touched_high=first["touched_high"],
        idle_checks=first["idle_checks"], idle_hits=first["idle_hits"],
        idle_bytes=first["idle_bytes"], idle_mixed=first["idle_mixed"],
    )  # fmt: skip


def _sharing(rows: RecordBatch) -> Sharing | None:
    if rows["private"].null_count == len(rows["private"]):
        return None
    return Sharing.of(
        (rows[name].to_pylist() for name in SHARING_COLUMNS), rows["same_as"].slice(0, 1).to_pylist()[0]
    )


def _rates(rows: RecordBatch) -> Rates | None:
    if rows["access_rate"].null_count == len(rows["access_rate"]):
        return None
    return Rates.of(rows[name].to_pylist() for name in RATE_COLUMNS)
