"""Inputs that are no regular files, as files that can be read more than once."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from udamon.errors import RecordingError
from udamon.files.names import STANDARD_INPUT, descriptor_of
from udamon.files.output import write_all
from udamon.files.temporary import unnamed_file
from udamon.linux.open_files import remedy
from udamon.units import format_size

_PIECE = 1 << 20


def shown(path: str) -> str:
    """How a sentence calls an input."""
    return "standard input" if descriptor_of(path, dash=STANDARD_INPUT) == STANDARD_INPUT else path


def copied_stream(path: str, most: int) -> int | None:
    """The descriptor of a copy of what comes from -, /dev/fd/N or a pipe; None for the name of anything else.

    A descriptor of a regular file is copied from where it stands. The copy has no name: it can be read as
    /proc/self/fd/N while the descriptor, which is the caller's, is open. Raises RecordingError, also beyond `most`
    bytes.
    """
    number = descriptor_of(path, dash=STANDARD_INPUT)
    try:
        mode = os.stat(path if number is None else number).st_mode
        if number is None and not stat.S_ISFIFO(mode):
            return None
        if stat.S_ISCHR(mode):  # a terminal, or something that may never end
            raise RecordingError(f"{shown(path)} is a device; give a file, or send one through a pipe.")
        return _copy(path, number, most)
    except OSError as error:
        if number is None:
            return None  # its reader says so
        fix = remedy(error, "give a file that can be read")
        raise RecordingError(f"cannot read {shown(path)}: {error.strerror}; {fix}.") from error


def _copy(path: str, number: int | None, most: int) -> int:
    with _reading(path, number) as source:
        copy = unnamed_file("copy")
        try:
            size = 0
            while piece := os.read(source, _PIECE):
                size += len(piece)
                if size > most:
                    raise RecordingError(
                        f"{shown(path)} is longer than {format_size(most)}, and of a stream no more is copied to be "
                        "read; save it to a file and give that, or copy more with --max-copy."
                    )
                try:
                    write_all(copy, piece)
                except OSError as error:
                    raise RecordingError(
                        f"cannot keep a copy of {shown(path)}: {error.strerror}; set TMPDIR to a place with room."
                    ) from error
        except BaseException:
            os.close(copy)
            raise
    return copy


@contextlib.contextmanager
def _reading(path: str, number: int | None) -> Iterator[int]:
    if number is not None:
        yield number
        return
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
