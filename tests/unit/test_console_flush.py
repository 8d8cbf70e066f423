"""What still waits for the standard streams when a command ends."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from udamon import console


class Gone(io.StringIO):
    """A terminal that was closed: what was written to it waits, and cannot be flushed."""

    def flush(self) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_standard_error_that_cannot_be_flushed_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter flushes it again at its end, and its status would be 120."""
    closed: list[int] = []
    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(console, "_to_devnull", closed.append)
    console.flush()
    assert closed == [2]


def test_a_standard_output_that_cannot_be_flushed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(OSError, match="Input/output error"):
        console.flush()
