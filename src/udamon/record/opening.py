"""Opens what reports and `convert` read: a recording of udamon, or a file of DAMON's tools, told by content."""

from __future__ import annotations

import os
import weakref
from os import PathLike
from pathlib import Path

from udamon.errors import RecordingError
from udamon.files.inputs import copied_stream, shown
from udamon.record.chunks import Steps, unseen
from udamon.record.limits import DEFAULT, ReadLimits
from udamon.record.messages import open_regular
from udamon.record.reader import Recording
from udamon.record.stream import END


def open_recording(
    path: str | PathLike[str], steps: Steps = unseen, limits: ReadLimits = DEFAULT
) -> Recording:
    """A file as a recording: udamon's own, damo's json or json_compressed, perf script's text.

    The content decides, not the name. `steps` shows how far copying another tool's file is, and later each scan.
    - is standard input; of that, of /dev/fd/N and of pipes a copy is read.
    Raises RecordingError with a sentence that says what the file is not, where it goes wrong, or which of `limits` it
    is beyond.
    """
    copy = copied_stream(os.fspath(path), limits.copy)
    if copy is None:
        return _open(Path(path), steps, limits)
    place, name = Path(f"/proc/self/fd/{copy}"), shown(os.fspath(path))
    try:
        recording = _open(place, steps, limits)
    except BaseException as error:
        os.close(copy)
        if isinstance(error, RecordingError):
            raise RecordingError(str(error).replace(str(place), name)) from error
        raise
    weakref.finalize(recording, os.close, copy)
    recording.path = Path(name)
    for file in recording.files:
        file.call(recording.path)
    return recording


def _open(path: Path, steps: Steps, limits: ReadLimits) -> Recording:
    recording = None if _own(path) else _copied(path, steps, limits)
    # Of what is neither, it says what is wrong with it.
    recording = recording or Recording(path, limits=limits)
    recording.progress = steps("reading")
    return recording


def _own(path: Path) -> bool:
    try:
        fd = open_regular(path)
    except OSError:
        return True  # Recording says why
    with os.fdopen(fd, "rb") as file:
        return file.read(4) == END[:4]


def _copied(path: Path, steps: Steps, limits: ReadLimits) -> Recording | None:
    # Reports on recordings of our own need not wait for what reads other files.
    from udamon.record.foreign import copied

    return copied(path, steps("copying"), limits)
