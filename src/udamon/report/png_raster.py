"""The smallest PNG there is for a picture of few colours: a palette and a byte a pixel, deflated."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from udamon.report.terminal import RGB


def indexed_png(columns: int, codes: bytes, palette: Sequence[RGB]) -> bytes:
    """The file: `codes` are rows of `columns` places in `palette` (at most 256 colours)."""
    rows = [codes[at : at + columns] for at in range(0, len(codes), columns)]
    head = struct.pack(">IIBBBBB", columns, len(rows), 8, 3, 0, 0, 0)  # 8 bits a pixel, indexed
    colours = bytes(part for colour in palette for part in colour)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)  # each row as it is: filter 0
    chunks = ((b"IHDR", head), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
