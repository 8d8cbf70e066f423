"""One file into another, by the name of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import BinaryIO

from udamon.errors import UsageError
from udamon.files import place
from udamon.files.names import Identity, identities
from udamon.files.output import whole_file
from udamon.record import arrow_file, script_file, tables
from udamon.record.chunks import Progress, silent
from udamon.record.damo import writer as damo_writer
from udamon.record.reader import Recording

FORMATS = {
    "damo-json": "damo's json; with --compress its json_compressed",
    "perf-script": "text as perf script prints DAMON's trace events",
    "parquet": "rows and columns of the recording as Parquet",
    "csv": "rows and columns of the recording as CSV",
    "arrow": "a recording of udamon: an Arrow stream",
}
"""What can be written, and what it is."""
ENDINGS = {
    ".json": "damo-json",
    ".txt": "perf-script",
    ".parquet": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".udamon": "arrow",
}
"""The format that the end of a file's name stands for."""
MARKED = frozenset({"parquet", "csv", "arrow"})
"""Of these, the ones that keep the metadata, and with it where a warm-up ends."""


RANGES_ALONE = frozenset({"damo-json", "perf-script"})
"""Of these, the ones that have no resident and touched bytes."""


def largest(recording: Recording) -> tuple[int, int, int] | None:
    """Bytes of addresses, resident and touched, in the window with most addresses; None where none tells of residency
    or all that is there is resident. Raises RecordingError."""
    found: dict[int, list[int]] = {}
    for one in recording.snapshots():
        if one.resident is not None:
            sums = found.setdefault(one.seq, [0, 0, 0])
            for at, size in enumerate((sum(one.ends) - sum(one.starts), sum(one.resident), sum(one.touched))):
                sums[at] += size
    size, resident, touched = max(found.values(), default=[0, 0, 0])
    return (size, resident, touched) if resident < size else None


def has_rates(recording: Recording) -> bool:
    """Whether any window tells how often pages are accessed."""
    return any(batch["access_rate"].null_count < batch.num_rows for batch in recording.batches())


def check(
    source: str | PathLike[str],
    path: str | PathLike[str],
    to: str,
    *,
    compress: bool = False,
    force: bool = False,
    raw: bool = False,
) -> None:
    """Raise what can be told before anything is read: UsageError, OutputError. Changes nothing."""
    if compress and to != "damo-json":
        raise UsageError(f"--compress is for damo-json, and {to} is written as it is; leave it out.")
    if raw and to != "csv":
        raise UsageError(f"--raw is for csv, and {to} is written as it is; leave it out.")
    place.check(path, force=force, inputs=identities([source]))


def convert(
    recording: Recording,
    path: str | PathLike[str],
    to: str,
    *,
    compress: bool = False,
    force: bool = False,
    raw: bool = False,
    inputs: Iterable[Identity] = (),
    progress: Progress = silent,
) -> None:
    """Write a recording in another format to a new file, which must be none of its own and none of `inputs`.

    Raises RecordingError, OutputError, UsageError.
    """
    check(recording.path, path, to, compress=compress, force=force, raw=raw)
    writers: dict[str, Callable[[BinaryIO], None]] = {
        "damo-json": lambda file: damo_writer.write(recording, file, compress=compress, progress=progress),
        "perf-script": lambda file: script_file.write(recording, file, progress),
        "parquet": lambda file: tables.parquet(recording, file),
        "csv": lambda file: tables.csv(recording, file, raw=raw),
        "arrow": lambda file: arrow_file.copy(recording, file),
    }
    read = identities([recording.path, *recording.paths]).union(inputs)
    with whole_file(path, force=force, inputs=read) as file:
        writers[to](file)
