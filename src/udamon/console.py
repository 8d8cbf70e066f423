"""Output to standard output and standard error: all commands print through this module.

A `Shown` (udamon.text) is printed as it is; any other text is escaped as one line, newlines included.
"""

from __future__ import annotations

import io
import json
import logging
import os
import select
import shutil
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

from udamon.errors import UdamonError
from udamon.text import Shown, cut, escape, lines, pad, width, wrapped

if TYPE_CHECKING:
    from typing_extensions import Buffer


def out(text: str, *, wrap: bool = False) -> None:
    """Print a result on standard output. Raises OSError (see failed_by).

    `wrap`: on a terminal, and where COLUMNS asks for a width, long lines are broken between words; elsewhere they are
    for other programs, too.
    """
    shown = escape(text)
    if wrap and (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        shown = wrapped(shown, columns())
    print(shown, flush=True)


def document(found: object, indent: int | None = None) -> None:
    """Print a JSON document (ASCII) on standard output. Raises as `out`, and ValueError for NaN."""
    print(json.dumps(found, indent=indent, allow_nan=False), flush=True)


def out_unbuffered(data: bytes) -> None:
    """Write to the descriptor of standard output at once. Raises as `out`.

    A thread that is blocked in here holds no lock of the stream, which the end of the process needs.
    """
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError as error:
        _StandardOutput.failure = error
        raise


def err(text: str) -> None:
    """Print on standard error. Where that fails (a full disk, a reader that has gone) it goes nowhere from then on, as
    on a standard error that is closed: what is said beside the work must not end it."""
    _write_err(escape(text) + "\n")


def _write_err(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        _to_devnull(2)


def say(text: str) -> None:
    """Print a sentence of udamon's on standard error."""
    err(f"udamon: {text}")


def trace(error: BaseException) -> None:
    """Print where an unexpected error came from, on standard error."""
    said = "".join(traceback.format_exception(error)).splitlines()
    err(lines(f"  {each}" for each in said))


class _Look:
    plain = False


def set_plain(plain: bool) -> None:
    """Whether what is printed is to be read aloud: no pictures, no colours, and no line that is written again."""
    _Look.plain = plain


def is_plain() -> bool:
    """See `set_plain`."""
    return _Look.plain


def wants_colour(stream: TextIO) -> bool:
    """Colour on a terminal, or where FORCE_COLOR asks for it; never against NO_COLOR, or where it is plain."""
    if _Look.plain or os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


_NARROWEST, _WIDEST = 10, 1000


def columns() -> int:
    """Columns of the terminal, or COLUMNS; 80 where neither says so. Both may be anything: a picture of so many
    columns is made, so they are taken for 10 to 1000."""
    return min(_WIDEST, max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns))


class OneLine:
    """A line of a terminal that is written again and again, until `clear` takes it away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def show(self, text: str) -> None:
        """Write `text` over the line, cut where the terminal ends."""
        shown = cut(text, columns() - 1, dots="")
        self._write(Shown("\r" + pad(shown, "<", self._width)))
        self._width = width(shown)

    def clear(self) -> None:
        """Leave the line empty, the cursor at its beginning."""
        if self._width:
            self._write(Shown("\r" + " " * self._width + "\r"))
            self._width = 0

    def _write(self, text: Shown) -> None:
        if self._stream is sys.stderr:
            _write_err(text)
        else:
            self._stream.write(text)
            self._stream.flush()


class Log(logging.Handler):
    """Warnings of the library as sentences on standard error.

    If standard error is a full pipe, they are dropped and counted, because writing them would block the caller.
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:  # one thread at a time: the handler is locked
        if not _takes_more():
            self._left_out += 1
            return
        if self._left_out:
            many = "a warning was" if self._left_out == 1 else f"{self._left_out} warnings were"
            self._left_out = 0
            say(f"{many} left out here, for standard error was full.")
        say(record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, UdamonError):  # whoever raised that tells it, too
            trace(error)


def _takes_more() -> bool:
    """Whether a line on standard error would not wait for a reader."""
    try:
        stream = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return True
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return bool(poll.poll(0))  # an error counts: it is met, and dealt with, in writing


_LOG = Log(logging.WARNING)


def begin() -> None:
    """What a command does first: warnings come as sentences, and standard streams are made fit for use."""
    set_plain(False)
    root = logging.getLogger()
    if _LOG not in root.handlers:
        root.addHandler(_LOG)
    _StandardOutput.answer = 0
    _open_streams()


class _StandardOutput(io.FileIO):
    """Standard output, which knows what its own error was: any other OSError would be a fault of ours."""

    failure: OSError | None = None
    answer = 0

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _StandardOutput.failure = error
            raise


def answer(status: int) -> None:
    """The exit status of a command that is asked for it, also where the reader of its output has gone (`| head`)."""
    _StandardOutput.answer = status


def answered() -> int:
    """The status given to `answer`; 0 by default."""
    return _StandardOutput.answer


def failed_by(error: OSError) -> bool:
    """Whether it is standard output that failed with this error."""
    return error is _StandardOutput.failure


def flush() -> None:
    """Write what still waits for standard output; and for standard error, where that can fail as in `err`: the
    interpreter would end with status 120, as after a terminal was closed. Raises OSError (see failed_by)."""
    _write_err("")
    sys.stdout.flush()


def give_up() -> None:
    """Let the rest of the output go nowhere: what is still to be flushed must not fail again at the end."""
    _to_devnull(1)


def _to_devnull(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _open_streams() -> None:
    """Have all three standard streams open, and know when writing to the output fails.

    Where one was closed the next file would get its number, and with it what is printed. Writing to a closed
    standard output fails from then on; what is said on a closed standard error goes nowhere.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    before = sys.stdout
    if before is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_StandardOutput(1, "w", closefd=False)))
    elif before is sys.__stdout__ and isinstance(
        before, io.TextIOWrapper
    ):  # not one that a test has put there
        before.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(_StandardOutput(before.fileno(), "w", closefd=False)),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.line_buffering,
            write_through=before.write_through,
        )
