"""What is printed: the one way of all commands to standard output and standard error.

A `Shown` (udamon.text) is printed as it is; any other text is escaped as one line, newlines included.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sys
import traceback
from typing import TextIO

from udamon.errors import CannotError, UdamonError
from udamon.text import Shown, cut, escape, lines, pad, width


def out(text: str) -> None:
    """Print a result on standard output. Raises BrokenPipeError when its reader is gone, else CannotError."""
    _print(escape(text))


def document(found: object, indent: int | None = None) -> None:
    """Print a JSON document (ASCII) on standard output. Raises as `out`, and ValueError for NaN."""
    _print(json.dumps(found, indent=indent, allow_nan=False))


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:
        # What is still in the buffer is given up: the interpreter must not fail at it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):
            raise
        raise CannotError(
            f"standard output cannot be written: {error.strerror}; redirect it to a file or a pipe with room."
        ) from error


def err(text: str) -> None:
    """Print on standard error."""
    print(escape(text), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a sentence of udamon's on standard error."""
    err(f"udamon: {text}")


def trace(error: BaseException) -> None:
    """Print where an unexpected error came from, on standard error."""
    said = "".join(traceback.format_exception(error)).splitlines()
    err(lines(f"  {each}" for each in said))


class OneLine:
    """A line of a terminal that is written again and again, until `clear` takes it away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def show(self, text: str) -> None:
        """Write `text` over the line, cut where the terminal ends."""
        shown = cut(text, shutil.get_terminal_size().columns - 1, dots="")
        self._write(Shown("\r" + pad(shown, "<", self._width)))
        self._width = width(shown)

    def clear(self) -> None:
        """Leave the line empty, the cursor at its beginning."""
        if self._width:
            self._write(Shown("\r" + " " * self._width + "\r"))
            self._width = 0

    def _write(self, text: Shown) -> None:
        self._stream.write(text)
        self._stream.flush()


class _Log(logging.Handler):
    """Warnings of the library as sentences on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, UdamonError):  # whoever raised that tells it, too
            trace(error)


_LOG = _Log(logging.WARNING)


def begin() -> None:
    """What a command does first: warnings come as sentences, and standard streams that are closed are stood in for.

    Python has no sys.stderr where standard error is closed, and the next file that is opened would become it: a
    recording, say, into which others then write.
    """
    root = logging.getLogger()
    if _LOG not in root.handlers:
        root.addHandler(_LOG)
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            # The lowest number that is free. Nothing can be written to what was opened for reading.
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
