"""The messages of a recording's file, found by their heads and checksums; bodies are not unpacked.

What a batch holds is told by the counts in its head, so a reader that wants events, or a part of the snapshots, unpacks
a small part of the file. Where a message is not what was written, the next one that is is looked for: what lies
between is named, and the numbers in the seals (udamon.record.seal) tell how much was lost.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from udamon.errors import RecordingError
from udamon.record import seal
from udamon.record.flatbuffer import Malformed
from udamon.record.heads import LONGEST_HEAD, LONGEST_SCHEMA, MARKER, Head, batch_head, metadata_text
from udamon.record.limits import ReadLimits
from udamon.record.schema import COLUMNS
from udamon.record.seal import PREFIX, Seal
from udamon.record.stream import END

_CANDIDATE = re.compile(rb"(?=\xff\xff\xff\xff[\x00-\xff][\x00-\x40]\x00\x00)")
"""A marker, and a length that the head of a batch may have."""

_CHUNK = 1 << 20


class StoredBatch(NamedTuple):
    """A record batch in a file: bytes [offset, end), its rows, and how many of them are events.

    `snapshots` and the number of the `first` one are None in a file without checksums.
    """

    offset: int
    end: int
    rows: int
    events: int
    snapshots: int | None = None
    first: int | None = None


class Damage(NamedTuple):
    """Something in a file that is not what was written, from byte `offset` on.

    The snapshots `first` to `last` are missing: None and None where none is, or where that is not known; `last` alone
    is None where nothing after it tells.
    """

    path: Path
    offset: int
    first: int | None
    last: int | None
    why: str | None = None
    """What is wrong with it, where its checksum holds."""

    @property
    def sentence(self) -> str:
        """For people."""
        if self.first is None:
            missing = "what was there is missing"
        elif self.last is None:
            missing = f"snapshots from {self.first} on are missing"
        elif self.last == self.first:
            missing = f"snapshot {self.first} is missing"
        else:
            missing = f"snapshots {self.first} to {self.last} are missing"
        why = f" ({self.why})" if self.why else ""
        return f"{self.path} is damaged at byte {self.offset:,}{why}: {missing}."


def open_regular(path: Path) -> int:
    """A descriptor of a file to read; a pipe or a device is not waited for. Raises OSError, RecordingError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return fd
    os.close(fd)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise RecordingError(f"{path} is no regular file, which is read several times; copy it into one.")


class OpenFile:
    """A file of a recording, opened once: that it is renamed or replaced meanwhile changes nothing for this reader.

    `messages` are the batches that were whole when it was opened, `damaged` what is not. `text` is the JSON in its
    schema, None where it is damaged or that of something else (`foreign`), and `columns` how many that has, unless it
    is damaged; `closed` says that it has its end mark.
    `start` is the number of its first snapshot and `snapshots` that of the one after its last, where it has checksums.
    Raises OSError, and RecordingError beyond the limits.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self.path = path
        self.limits = limits
        self._fd = open_regular(path)
        weakref.finalize(self, os.close, self._fd)
        self.size = os.fstat(self._fd).st_size
        self.messages: list[StoredBatch] = []
        self.damaged: list[Damage] = []
        self.text: bytes | None = None
        self.columns = len(COLUMNS)
        self.checksums = False
        self.closed = False
        self.foreign = False
        self.start: int | None = None
        self.snapshots: int | None = None
        self._tries, self._tried_bytes = 1000 + self.size // 256, 2 * self.size + (16 << 20)
        self._index(self._schema())

    def call(self, path: Path) -> None:
        """Have what is said of the file name it so: it may have been opened by a descriptor of a copy."""
        self.path = path
        self.damaged = [damage._replace(path=path) for damage in self.damaged]

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the file, fewer where it ends."""
        return os.pread(self._fd, length, offset)

    def whole(self, message: StoredBatch) -> tuple[Head, bytes]:
        """The head and the body of a message, checked again. Raises Malformed."""
        data = self.read(message.offset, message.end - message.offset)
        length = PREFIX.unpack_from(data)[1] if len(data) >= PREFIX.size else 0
        metadata, body = data[PREFIX.size : PREFIX.size + length], data[PREFIX.size + length :]
        head = batch_head(metadata)
        if head is None or len(body) != head.body or (head.rows, head.events) != message[2:4]:
            raise Malformed("it changed while it was read")
        if self.checksums:
            mark = seal.read(metadata)
            if mark is None or not seal.holds(mark, data[: PREFIX.size], metadata, body):
                raise Malformed("it changed while it was read")
        return head, body

    def lost(self, message: StoredBatch, why: str) -> None:
        """Take a message out whose content is not possible."""
        if message in self.messages:
            self.messages.remove(message)
            last = None if message.first is None else message.first + (message.snapshots or 0) - 1
            first = message.first if message.snapshots else None
            self.damaged.append(
                Damage(self.path, message.offset, first, None if first is None else last, why)
            )

    def _schema(self) -> int:
        """Read the first message; where the next one begins, or may begin."""
        prefix = self.read(0, PREFIX.size)
        length = int.from_bytes(prefix[4:], "little")
        if prefix[:4] != END[:4] or not 0 < length <= LONGEST_SCHEMA or length % 8:
            return PREFIX.size
        metadata = self.read(PREFIX.size, length)
        if len(metadata) < length:
            return PREFIX.size
        mark = seal.read(metadata)
        text = None
        try:
            text, self.columns = metadata_text(metadata)
            self.foreign = text is None
        except Malformed:
            pass
        if mark is None or seal.holds(mark, prefix, metadata, b""):
            self.text, self.checksums = text, mark is not None
            self.start = None if mark is None else mark.first
        return PREFIX.size + length

    def _index(self, at: int) -> None:
        broken = 0 if self.text is None else None
        sequence, number = 1, self.start
        while at < self.size:
            found = self._at(at)
            if found is None:
                if self.read(at, len(END) + 1) == END:
                    self.closed, at = True, at + len(END)
                    break
                following = self._next(at + 1)
                if following is None:
                    break
                broken = at if broken is None else broken
                at = following
                continue
            message, mark = found
            if mark is not None:
                if not self.checksums:  # the schema lost its own
                    self.checksums, self.text, broken = True, None, 0
                if mark.sequence < sequence or mark.first < (number or 0):
                    broken, at = at if broken is None else broken, message.end  # it was read before
                    continue
                if (
                    broken is not None
                    or mark.sequence > sequence
                    or (number is not None and mark.first > number)
                ):
                    self._gap(at if broken is None else broken, number, mark.first)
                sequence, number = mark.sequence + 1, mark.first + mark.snapshots
            elif broken is not None:
                self.damaged.append(Damage(self.path, broken, None, None))
            broken = None
            if message.rows:
                self.messages.append(message)
            self._ended = mark is not None and not message.rows
            at = message.end
        self.snapshots = number
        self._tail(at, broken, number)

    _ended = False
    """Whether the last message tells how many snapshots there are."""

    def _gap(self, offset: int, first: int | None, following: int) -> None:
        """Something is missing before the snapshot number `following`."""
        missing = first is not None and following > first
        self.damaged.append(
            Damage(self.path, offset, first if missing else None, following - 1 if missing else None)
        )

    def _tail(self, at: int, broken: int | None, number: int | None) -> None:
        """What is behind the last whole message: nothing, a message that is not written yet, or damage."""
        if at < self.size:
            # The last bytes of a torn message may look like an end mark.
            torn = broken is None and self._torn(at)
            self.closed = not torn and self.read(self.size - len(END), len(END)) == END
            broken = at if not torn and broken is None else broken
        if broken is not None and self.text is None and not self.messages:
            return  # nothing says that it is a recording at all
        if broken is not None:
            self.damaged.append(Damage(self.path, broken, None if self._ended else number, None))

    def _torn(self, at: int) -> bool:
        """Whether the bytes from here on are the beginning of a message."""
        prefix = self.read(at, PREFIX.size)
        if len(prefix) < PREFIX.size:
            return END.startswith(prefix[:4]) and prefix[6:7] in (b"", b"\0")
        marker, length = PREFIX.unpack(prefix)
        if marker != MARKER or not 0 < length <= LONGEST_HEAD:
            return False
        metadata = self.read(at + PREFIX.size, length)
        if len(metadata) < length:
            return True
        try:
            head = batch_head(metadata)
        except Malformed:
            return False
        return head is not None and at + PREFIX.size + length + head.body > self.size

    def _at(self, at: int) -> tuple[StoredBatch, Seal | None] | None:
        """The record batch that begins at a place, None where there is none or not as it was written."""
        prefix = self.read(at, PREFIX.size)
        if len(prefix) < PREFIX.size:
            return None
        marker, length = PREFIX.unpack(prefix)
        if marker != MARKER or not 0 < length <= LONGEST_HEAD or length % 8:
            return None
        metadata = self.read(at + PREFIX.size, length)
        mark = seal.read(metadata)
        if len(metadata) < length or (self.checksums and mark is None):
            return None
        try:
            head = batch_head(metadata)
        except Malformed:
            return None
        if head is None:
            return None
        begin = at + PREFIX.size + length
        if begin + head.body > self.size or head.body > self.limits.piece:
            return None
        if mark is not None:
            self._tried_bytes -= head.body
            if self._tried_bytes < 0:
                return None
            body = self.read(begin, head.body)
            if not seal.holds(mark, prefix, metadata, body):
                return None
            self._tried_bytes += head.body  # only what was in vain counts
            if head.rows > self.limits.piece_rows:
                raise RecordingError(
                    f"{self.path} has {head.rows:,} rows in one flush, more than memory is given for; read it with a "
                    "higher --max-memory."
                )
            known = (mark.snapshots, mark.first)
            return StoredBatch(at, begin + head.body, head.rows, head.events, *known), mark
        if head.rows > self.limits.piece_rows:
            return None
        return StoredBatch(at, begin + head.body, head.rows, head.events), None

    def _next(self, at: int) -> int | None:
        """Where the next message begins that is as it was written."""
        for place in self._candidates(at):
            self._tries -= 1
            if self._tries < 0:
                return None
            if self._at(place) is not None:
                return place
        return None

    def _candidates(self, at: int) -> Iterator[int]:
        while at < self.size:
            try:  # holes are skipped: a file may be all hole
                at = os.lseek(self._fd, at, os.SEEK_DATA)
            except OSError:
                return
            data = self.read(at, _CHUNK)
            if len(data) < PREFIX.size:
                return
            for match in _CANDIDATE.finditer(data):
                yield at + match.start()
            at += len(data) - PREFIX.size + 1
