"""One file into another, by the name of the format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from udamon.errors import UsageError
from udamon.record import arrow_file, damo_file, script_file, tables
from udamon.record.chunks import Progress, silent
from udamon.record.new_file import new_file
from udamon.record.output import OutputFile
from udamon.record.reader import Recording

FORMATS = {
    "damo-json": "damo's json; with --compress its json_compressed",
    "perf-script": "text as perf script prints DAMON's trace events",
    "parquet": "rows and columns of the recording as Parquet",
    "csv": "rows and columns of the recording as CSV",
    "arrow": "a recording of udamon: an Arrow stream",
}
"""What can be written, and what it is."""
MARKED = frozenset({"parquet", "csv", "arrow"})
"""Of these, the ones that keep the metadata, and with it where a warm-up ends."""


def check(source: Path, path: Path, to: str, *, compress: bool = False, force: bool = False) -> None:
    """Raise what can be told before anything is read: UsageError, RecordingError. Changes nothing."""
    if compress and to != "damo-json":
        raise UsageError(f"--compress is for damo-json, and {to} is written as it is; leave it out.")
    if source.exists() and path.exists() and path.samefile(source):
        raise UsageError(f"{path} is the file that is read; give another name for the result.")
    OutputFile.check_place(path, force)


def convert(
    recording: Recording,
    path: Path,
    to: str,
    *,
    compress: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> None:
    """Write a recording in another format to a new file. Raises RecordingError, UsageError."""
    check(recording.path, path, to, compress=compress, force=force)
    writers: dict[str, Callable[[BinaryIO], None]] = {
        "damo-json": lambda file: damo_file.write(recording, file, compress=compress, progress=progress),
        "perf-script": lambda file: script_file.write(recording, file, progress),
        "parquet": lambda file: tables.parquet(recording, file),
        "csv": lambda file: tables.csv(recording, file),
        "arrow": lambda file: arrow_file.copy(recording, file),
    }
    with new_file(path, force=force) as file:
        writers[to](file)
