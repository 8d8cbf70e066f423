"""Warnings on a standard error that nobody reads: the work does not wait for its reader."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sys
from collections.abc import Iterator

import pytest

from udamon import console

FULL = 2 * 4096


@contextlib.contextmanager
def piped() -> Iterator[tuple[int, int]]:
    """Standard error is the second of these, of two pages; nothing waits on the first."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, FULL)
    before = sys.stderr
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", 0) as read:
        sys.stderr = stream
        try:
            yield read.fileno(), writing
        finally:
            sys.stderr = before


def warn(handler: console.Log, text: str) -> None:
    handler.handle(logging.getLogger("udamon").makeRecord("udamon", logging.WARNING, "", 0, text, (), None))


def test_warnings_that_nobody_reads_are_left_out_and_counted() -> None:
    handler = console.Log(logging.WARNING)
    with piped() as (reading, writing):
        os.write(writing, b"x" * FULL)
        for number in range(500):
            warn(handler, f"refused: {number}")
        assert os.read(reading, FULL) == b"x" * FULL
        warn(handler, "refused: the last")
        warn(handler, "refused: and one more")
        assert os.read(reading, FULL).decode().splitlines() == [
            "udamon: 500 warnings were left out here, for standard error was full.",
            "udamon: refused: the last",
            "udamon: refused: and one more",
        ]


def test_where_there_is_no_descriptor_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    warn(console.Log(logging.WARNING), "refused")
    assert capsys.readouterr().err == "udamon: refused\n"
