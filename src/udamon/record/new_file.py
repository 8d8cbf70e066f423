"""A file that is there when it is whole: written beside its place, moved there at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from udamon.errors import RecordingError
from udamon.record.output import OutputFile


@contextmanager
def new_file(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """A new file of mode 0600 at `path`; nothing is left of it when the block raises.

    A FIFO or a device (only with `force`) is written as it is. Raises RecordingError when the file exists and
    not `force`, or cannot be created or written.
    """
    OutputFile.check_place(path, force)
    direct = path.exists() and not path.is_file()
    place = path if direct else path.with_name(f".{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if direct else os.O_CREAT | os.O_EXCL)
    try:
        with open(os.open(place, flags, 0o600), "wb") as file:
            yield file
        if not direct:
            place.replace(path)
    except OSError as error:
        raise RecordingError(
            f"cannot write {path}: {error.strerror}; choose another place for the file."
        ) from error
    finally:
        if not direct:
            place.unlink(missing_ok=True)
