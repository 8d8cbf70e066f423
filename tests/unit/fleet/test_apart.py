"""Parquet files that are read in a process of their own, and what limits that."""

from __future__ import annotations

import errno
import os

import pytest

from udamon.errors import CannotError, OutOfFiles
from udamon.fleet import apart
from udamon.fleet.apart import nulls_in
from udamon.fleet.objects import UnreadableParquet


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EMFILE])
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """It is a sentence, and no descriptor is left."""

    def refuse() -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CannotError) as caught:
        nulls_in(b"", ["a"])
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert isinstance(caught.value, OutOfFiles) == (code == errno.EMFILE)


def test_a_file_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of a column can say that it has billions of rows."""

    def endless(source: object, columns: object) -> str:
        while True:
            pass

    monkeypatch.setattr(apart, "CPU_S", 1)
    monkeypatch.setattr(apart, "_counted", endless)
    with pytest.raises(UnreadableParquet, match="it breaks the reader"):
        nulls_in(b"", ["a"])
