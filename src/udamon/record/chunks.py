"""A file in pieces, uncompressed on the way, and how far the reading is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from udamon.errors import RecordingError
from udamon.record.unreadable import unreadable

SIZE = 1 << 18
"""Bytes of a piece: small enough to stay in the processor's cache until it is scanned."""

MOST_RATIO, LEAST_UNPACKED = 250, 1 << 30
"""How many times larger a file may be unpacked, and what it may have in any case. zlib reaches 1032 for one letter
again and again; regions that never change, with the spaces of damo, reach about 120."""

Progress = Callable[[float], None]
"""Called from time to time with the share of the file that was read, 0..1."""


Steps = Callable[[str], Progress]
"""Gives the progress of a step, by a word for people."""


def silent(_share: float) -> None:
    """Progress that nobody looks at."""


def unseen(_step: str) -> Progress:
    """Steps that nobody looks at."""
    return silent


def is_zlib(head: bytes) -> bool:
    """Whether the first two bytes are those of a zlib stream (RFC 1950: deflate, header divisible by 31)."""
    return len(head) >= 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and (head[0] << 8 | head[1]) % 31 == 0


def chunks(path: Path, *, compressed: bool, progress: Progress = silent) -> Iterator[bytes]:
    """The content of a file, about SIZE bytes at a time. Raises RecordingError, also for a torn zlib stream."""
    try:
        with path.open("rb", buffering=0) as file:
            total = max(1, path.stat().st_size)
            most = max(LEAST_UNPACKED, MOST_RATIO * total)
            for piece in _inflated(path, _pieces(file.read), most) if compressed else _pieces(file.read):
                yield piece
                progress(min(1.0, file.tell() / total))
    except OSError as error:
        raise unreadable(path, error) from error


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(SIZE):
        yield piece


def _inflated(path: Path, pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    stream, done = zlib.decompressobj(), 0
    for piece in pieces:
        while piece and not stream.eof:
            try:
                text = stream.decompress(piece, SIZE)
            except zlib.error as error:
                raise RecordingError(
                    f"{path} is damaged: its zlib data is wrong after {done:,} bytes of text; copy it again."
                ) from error
            done += len(text)
            if done > most:
                raise RecordingError(
                    f"{path} unpacks to more than {most:,} bytes, which no file of damo does; copy it again."
                )
            piece = stream.unconsumed_tail
            if text:
                yield text
        if stream.eof:
            if stream.unused_data or next(pieces, b""):
                raise RecordingError(
                    f"{path} has more behind the end of its zlib data, which is {done:,} bytes of text; damo writes "
                    "nothing there, so copy it again."
                )
            return
    while text := stream.decompress(stream.unconsumed_tail, SIZE):
        yield text
    if not stream.eof:
        raise RecordingError(
            f"{path} is cut off: its zlib data ends after {done:,} bytes of text; copy it again."
        )
