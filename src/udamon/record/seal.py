"""What tells an accident from what was written: 24 bytes behind the FlatBuffer of every message.

They lie within the length of metadata that the message declares, as padding, so that every Arrow library passes over
them. Little-endian: magic, CRC-32 of the whole message with zeros for itself, number of the message in its file (the
schema is 0), how many snapshots it has (4 bytes each), and the number of the first of them (8 bytes) or, where it has
none, of the next one to come. Snapshots are counted from 0 over all parts of a recording.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

MAGIC = b"uDMN"
_FORM = struct.Struct("<4sIIIQ")
SIZE = _FORM.size
PREFIX = struct.Struct("<II")
"""Every message begins with a marker, and the length of its metadata: FlatBuffer, padding, and this."""


class Seal(NamedTuple):
    """What a message says of itself."""

    checksum: int
    sequence: int
    snapshots: int
    first: int


def sealed(message: bytes, sequence: int, snapshots: int, first: int) -> bytes:
    """A message of an Arrow stream with its seal."""
    marker, length = PREFIX.unpack_from(message)
    start, end = PREFIX.pack(marker, length + SIZE), PREFIX.size + length
    tail = sequence, snapshots, first
    parts = [start, message[PREFIX.size : end], _FORM.pack(MAGIC, 0, *tail), message[end:]]
    parts[2] = _FORM.pack(MAGIC, _sum(parts), *tail)
    return b"".join(parts)


def read(metadata: bytes) -> Seal | None:
    """The seal at the end of a message's metadata, None where there is none."""
    if len(metadata) < SIZE:
        return None
    magic, *values = _FORM.unpack_from(metadata, len(metadata) - SIZE)
    return Seal(*values) if magic == MAGIC else None


def holds(seal: Seal, prefix: bytes, metadata: bytes, body: bytes) -> bool:
    """Whether the message is the one that was sealed."""
    tail = _FORM.pack(MAGIC, 0, *seal[1:])
    return _sum([prefix, metadata[:-SIZE], tail, body]) == seal.checksum


def _sum(parts: list[bytes]) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value
