"""Opens what reports and `convert` read: a recording of udamon, or a file of DAMON's tools, told by content."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from udamon.record.chunks import Steps, unseen
from udamon.record.limits import DEFAULT, Limits
from udamon.record.messages import open_regular
from udamon.record.reader import Recording
from udamon.record.stream import END


def open_recording(path: str | PathLike[str], steps: Steps = unseen, limits: Limits = DEFAULT) -> Recording:
    """A file as a recording: udamon's own, damo's json or json_compressed, perf script's text.

    The content decides, not the name. `steps` shows how far copying another tool's file is, and later each scan.
    Raises RecordingError with a sentence that says what the file is not, where it goes wrong, or which of `limits` it
    is beyond.
    """
    path = Path(path)
    recording = None if _own(path) else _copied(path, steps, limits)
    recording = recording or Recording(
        path, limits=limits
    )  # of what is neither, it says what is wrong with it
    recording.progress = steps("reading")
    return recording


def _own(path: Path) -> bool:
    try:
        fd = open_regular(path)
    except OSError:
        return True  # Recording says why
    with os.fdopen(fd, "rb") as file:
        return file.read(4) == END[:4]


def _copied(path: Path, steps: Steps, limits: Limits) -> Recording | None:
    # Reports on recordings of our own need not wait for what reads other files.
    from udamon.record.foreign import copied

    return copied(path, steps("copying"), limits)
