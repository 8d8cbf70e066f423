"""The ring of one process: what native/sites/ring.c writes. All of it is the process's word, and checked here.

Read by pread: a file that others can write is never mapped, so nothing that they do ends this process.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from udamon.native._native import (
    RING_ALLOCATED,
    RING_FREED,
    RING_HEAD,
    RING_MAX_BUILD_ID,
    RING_MAX_FILE,
    RING_MAX_FRAMES,
    RING_MAX_FUNCTION,
    RING_MAX_NAME,
    RING_MODULE,
    RING_PYTHON,
    RING_PYTHON_CALL_BIT,
    RING_READ_AT,
    RING_STACK,
)

MAGIC = b"UDMSITE1"
SMALLEST, MOST = 1 << 12, 1 << 22
"""Bytes of records that a ring may have: the library makes 1 MiB."""

PYTHON_CALL = 1 << RING_PYTHON_CALL_BIT
"""The bit that hashes of calls of Python have, and no address."""

_FARTHEST = 1 << 62
_ADDRESSES = 1 << 57
"""Addresses of a process end here on every machine that is supported (five levels of page tables)."""

_TRIES = 8
"""A record that is not there yet is waited for so many times; then it will not come."""

F_GET_SEALS, F_SEAL_SHRINK = 1034, 2


class Allocated(NamedTuple):
    """A sampled allocation: ns on CLOCK_MONOTONIC, bytes, hash of the stack; `requested`: bytes when it was sampled."""

    time_ns: int
    address: int
    size: int
    requested: int
    stack: int


class Freed(NamedTuple):
    """The end of a sampled allocation."""

    time_ns: int
    address: int


class Stack(NamedTuple):
    """A stack, the innermost call first: addresses in code, and hashes of calls of Python."""

    hash: int
    pcs: tuple[int, ...]


class PythonCall(NamedTuple):
    """A call of Python code, which stands in stacks by its hash; `file` is "" and `line` 0 where there is none."""

    hash: int
    line: int
    function: str
    file: str


class Module(NamedTuple):
    """Loaded code at [start, end); `bias` is what its file's addresses differ by."""

    start: int
    end: int
    bias: int
    build_id: bytes
    path: str


Record = Allocated | Freed | Stack | Module | PythonCall


class Losses(NamedTuple):
    """What found no room: samples, their bytes, ends of samples. Running totals."""

    allocated: int
    size: int
    freed: int


class BrokenRing(Exception):
    """A ring that says what the library does not write; nothing of it is read any more."""


class Ring:
    """An open ring; owns `fd`. Raises BrokenRing where it is none."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        try:
            # Only a memfd answers that; and one that cannot shrink has all that it says it has.
            if not fcntl.fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK:
                raise BrokenRing("it is no memory that stays")
            os.set_blocking(fd, False)
            head = self._pread(RING_HEAD, 0)
        except OSError as error:
            raise BrokenRing("it is no memory") from error
        magic, self._capacity, self.mean, self.id, self.parent, self.parent_ns, self.begin_ns = (
            struct.unpack_from("=8s6Q", head)
        )
        size = os.fstat(fd).st_size
        known = magic == MAGIC and self._capacity % 8 == 0 and SMALLEST <= self._capacity <= MOST
        if not known or size != RING_HEAD + self._capacity or not 0 < self.mean < 1 << 50:
            raise BrokenRing("its head is not what the library writes")
        if max(self.parent_ns, self.begin_ns) >= _FARTHEST:
            raise BrokenRing("its times are impossible")
        self.python, told = struct.unpack_from("=2Q", head, 80)
        self.python_told = bool(told)
        self._taken = 0
        self._tries = 0

    def close(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def losses(self) -> Losses:
        found = struct.unpack_from("=3Q", self._pread(24, 56))
        return Losses(*(min(value, _FARTHEST) for value in found))

    def take(self) -> Iterator[Record]:
        """What was written since the last time, at most a ring full. Raises BrokenRing."""
        (written,) = struct.unpack("=Q", self._pread(8, 128))
        size = written - self._taken
        if not 0 <= size <= self._capacity:
            raise BrokenRing("it counts more than it has room for")
        if size == 0:
            return
        at = self._taken % self._capacity
        first = min(size, self._capacity - at)
        data = self._pread(first, RING_HEAD + at) + self._pread(size - first, RING_HEAD)
        place = 0
        try:
            while place < size:
                if size - place < 16:
                    raise BrokenRing("a record is cut short")
                kind, length, position = struct.unpack_from("=IIQ", data, place)
                if position != self._taken or length == 0:
                    self._tries += 1  # written, and not seen here yet
                    if self._tries > _TRIES:
                        raise BrokenRing("a record is not where it should be")
                    break
                if length % 8 or not 16 <= length <= size - place:
                    raise BrokenRing("a record has an impossible length")
                record = _record(kind, data[place + 16 : place + length])
                self._tries = 0
                self._taken += length
                place += length
                yield record
        finally:
            self._tell_taken()

    def _tell_taken(self) -> None:
        try:
            os.pwrite(self._fd, struct.pack("=Q", self._taken), RING_READ_AT)
        except OSError as error:  # it may be sealed against that
            raise BrokenRing("it cannot be written") from error

    def _pread(self, size: int, at: int) -> bytes:
        data = os.pread(self._fd, size, at)
        if len(data) != size:
            raise BrokenRing("it is shorter than it says")
        return data


def _record(kind: int, body: bytes) -> Record:
    try:
        found = _KINDS[kind](body)
    except (KeyError, struct.error) as error:
        raise BrokenRing("it has a record that is not known") from error
    if found is None:
        raise BrokenRing("a record says something impossible")
    return found


def _allocated(body: bytes) -> Record | None:
    found = Allocated(*struct.unpack("=5Q", body))
    possible = found.size > 0 and 0 < found.requested < _ADDRESSES and found.stack
    return (
        found
        if possible and _is_valid_range(found.address, found.address + found.size, found.time_ns)
        else None
    )


def _freed(body: bytes) -> Record | None:
    found = Freed(*struct.unpack("=2Q", body))
    return found if _is_valid_range(found.address, found.address + 1, found.time_ns) else None


def _is_valid_range(start: int, end: int, time_ns: int) -> bool:
    return 0 < start < end <= _ADDRESSES and time_ns < _FARTHEST


def _stack(body: bytes) -> Record | None:
    number, count = struct.unpack_from("=2Q", body)
    if not 0 < count <= RING_MAX_FRAMES or len(body) != 16 + 8 * count or number == 0:
        return None
    return Stack(number, struct.unpack_from(f"={count}Q", body, 16))


def _module(body: bytes) -> Record | None:
    start, end, bias, id_size, name_size = struct.unpack_from("=5Q", body)
    if id_size > RING_MAX_BUILD_ID or name_size > RING_MAX_NAME or not 40 + id_size + name_size <= len(body):
        return None
    if not _is_valid_range(start, end, 0):
        return None
    name = os.fsdecode(body[40 + id_size : 40 + id_size + name_size])
    return Module(start, end, bias, body[40 : 40 + id_size], name)


def _python(body: bytes) -> Record | None:
    number, line, function, file = struct.unpack_from("=4Q", body)
    if function > RING_MAX_FUNCTION or file > RING_MAX_FILE or not 32 + function + file <= len(body):
        return None
    if not number & PYTHON_CALL or line >= 1 << 31:
        return None
    names = body[32 : 32 + function], body[32 + function : 32 + function + file]
    return PythonCall(number, line, *map(os.fsdecode, names))


_KINDS = {
    RING_ALLOCATED: _allocated,
    RING_FREED: _freed,
    RING_STACK: _stack,
    RING_MODULE: _module,
    RING_PYTHON: _python,
}
