"""Opens the files of a recording: FILE, and FILE.1 where that is the part before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from udamon.errors import RecordingError
from udamon.record import values
from udamon.record.limits import ReadLimits
from udamon.record.messages import Damage, OpenFile
from udamon.record.schema import VERSION
from udamon.record.stream import END
from udamon.record.unreadable import unreadable

_TRIES = 5
"""Between the opening of two files a recorder may rotate; so often in a row it does not."""


def open_parts(path: Path, limits: ReadLimits, *, whole: bool) -> tuple[list[OpenFile], dict[str, Any]]:
    """The files, the oldest part first, and the metadata of the newest. Raises RecordingError."""
    for left in reversed(range(_TRIES)):
        file, metadata = _opened(path, limits)
        part = metadata.get("part", 1)
        old = _open(path.with_name(path.name + ".1"), limits) if whole and part > 1 else None
        if old is None:
            return [file], metadata
        of_old = _read(old, limits)
        if of_old == metadata | {"part": part - 1}:
            _join(old, file)
            return [old, file], metadata
        rotated = of_old is not None and of_old | {"part": 0} == metadata | {"part": 0}
        if not rotated or not left:
            return [file], metadata
    raise AssertionError("the last try returns")


def _opened(path: Path, limits: ReadLimits) -> tuple[OpenFile, dict[str, Any]]:
    """One file and its metadata. Raises RecordingError when it is none of a recording."""
    try:
        file = OpenFile(path, limits)
    except OSError as error:
        raise unreadable(path, error) from error
    if file.text is None and not file.messages:
        raise _refusal(file)
    if file.text is None:
        return file, {}
    try:
        metadata = values.metadata(file.text, limits)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path} is no recording that can be read: {error}; record again.") from error
    if metadata.get("version") != VERSION:
        raise RecordingError(
            f"{path} has version {ascii(metadata.get('version'))[:20]} of the recording format and this udamon "
            f"reads version {VERSION}; install the udamon that wrote it."
        )
    return file, metadata


def _refusal(file: OpenFile) -> RecordingError:
    """Why a file is no recording."""
    path, head = file.path, file.read(0, 8)
    if not file.size:
        return RecordingError(f"{path} is empty: the recorder was stopped before it wrote anything.")
    if file.foreign:
        return RecordingError(f"{path} is an Arrow stream but not a udamon recording; give one.")
    length = int.from_bytes(head[4:8], "little")
    if head[:4] == END[: len(head[:4])] and length <= 1 << 28 and file.size < 8 + length:
        return RecordingError(
            f"{path} ends inside its head: the recorder was stopped before the first flush."
        )
    if head[:4] == END[: len(head[:4])] and file.size < 8:
        return RecordingError(
            f"{path} ends inside its head: the recorder was stopped before the first flush."
        )
    return RecordingError(f"{path} is not a udamon recording; give a file that udamon record wrote.")


def _open(path: Path, limits: ReadLimits) -> OpenFile | None:
    try:
        return OpenFile(path, limits)
    except OSError:
        return None  # it is not there, or not for us


def _read(file: OpenFile, limits: ReadLimits) -> dict[str, Any] | None:
    try:
        return None if file.text is None else values.metadata(file.text, limits)
    except (ValueError, RecursionError):
        return None  # something else has that name


def _join(old: OpenFile, new: OpenFile) -> None:
    """Name what is missing between two parts."""
    if old.snapshots is None or new.start is None or new.start <= old.snapshots:
        return
    last = old.damaged[-1] if old.damaged else None
    if last is not None and last.first == old.snapshots and last.last is None:
        old.damaged[-1] = last._replace(last=new.start - 1)
    else:
        old.damaged.append(Damage(old.path, old.size, old.snapshots, new.start - 1))
