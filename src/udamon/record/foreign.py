"""Files of DAMON's other tools as recordings: told by content, read once, kept as a copy."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from udamon.errors import RecordingError
from udamon.files.temporary import unnamed_file
from udamon.model import Event, Snapshot
from udamon.record import arrow_file, perf_script
from udamon.record.chunks import Progress, chunks, is_zlib
from udamon.record.damo import reader as damo_reader
from udamon.record.limits import ReadLimits
from udamon.record.reader import Recording
from udamon.record.schema import FIRST_COLUMNS

HEAD = 1 << 16
"""Bytes of (uncompressed) content that a file's kind must show in."""

_CSV = ",".join(FIRST_COLUMNS).encode()
_TRACE = (perf_script.AGGREGATED, perf_script.BEFORE_APPLY)


class Copied(Recording):
    """A recording made from another tool's file. Its copy is a file without a name that lives as long as this object.

    Reports read a recording several times; reading the other format that often would take much longer, and
    keeping its rows would take memory in proportion to its length. The copy has about an eighth of the
    bytes of damo's json_compressed.
    """

    def __init__(
        self, path: Path, items: Iterator[Snapshot | Event], metadata: dict[str, object], limits: ReadLimits
    ) -> None:
        copy = unnamed_file("copy")
        weakref.finalize(self, os.close, copy)
        try:
            with open(copy, "wb", closefd=False) as file:
                arrow_file.write(_within(items, path, limits), metadata, file)
        except OSError as error:
            raise RecordingError(
                f"cannot keep a copy of {path}: {error.strerror}; set TMPDIR to a place with room."
            ) from error
        super().__init__(f"/proc/self/fd/{copy}", limits=replace(limits, rows=sys.maxsize))
        self.path = path
        self.checksums = False  # nothing guards the file that was copied


def _within(items: Iterator[Snapshot | Event], path: Path, limits: ReadLimits) -> Iterator[Snapshot | Event]:
    """The same items, as long as they are not too many. Raises RecordingError."""
    rows, size = 0, path.stat().st_size
    for item in items:
        rows += (len(item) or 1) if isinstance(item, Snapshot) else 1
        limits.check_rows(rows, size, path)
        yield item


def copied(path: Path, progress: Progress, limits: ReadLimits) -> Recording | None:
    """The file as a recording, None when it is nothing that is known. Raises RecordingError, beyond `limits`, too."""
    head = _head(path)
    if head.startswith(b"PAR1"):
        raise RecordingError(
            f"{path} is Parquet, which udamon writes for other engines; give the recording that it was made from."
        )
    if head.startswith(_CSV):
        raise RecordingError(
            f"{path} is CSV, which udamon writes for other engines; give the recording that it was made from."
        )
    if head.startswith(b"PERFILE2"):
        raise RecordingError(
            f"{path} is perf's own data; give the text that `perf script -i {path.name}` prints of it."
        )
    compressed = is_zlib(head)
    if compressed:
        try:
            head = next(chunks(path, compressed=True), b"")[:HEAD]
        except RecordingError:
            compressed = False  # two bytes looked like zlib's by chance
    if head.lstrip()[:1] == b"[":
        form = "json_compressed" if compressed else "json"
        items = damo_reader.read(path, compressed=compressed, progress=progress, limits=limits)
        return Copied(path, items, damo_reader.metadata(form), limits)
    if not compressed and _is_trace(path, head):
        return Copied(path, perf_script.read(path, progress, limits), perf_script.metadata(), limits)
    return None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _is_trace(path: Path, head: bytes) -> bool:
    """Whether this is text with DAMON's trace lines; those of other events may come first."""
    if not head or b"\0" in head:
        return False
    return any(word in head for word in _TRACE) or _has_trace_lines(path)


def _has_trace_lines(path: Path) -> bool:
    return any(perf_script.has(path, word) for word in _TRACE)
