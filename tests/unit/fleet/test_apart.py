"""Parquet files that are read in a process of their own, and what limits that."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from arro3.core import Array, DataType, Table
from arro3.io import write_parquet

from udamon.errors import CannotError, OutOfFiles
from udamon.fleet import apart
from udamon.fleet.apart import nulls_in
from udamon.fleet.objects import UnreadableParquet


def small() -> bytes:
    """A file with the columns a and b, of which one and no value is null."""
    file = io.BytesIO()
    whole = DataType.int64()
    columns = [Array([1, None, 3], whole), Array([1, 2, 3], whole)]
    write_parquet(Table.from_arrays(columns, names=["a", "b"]), file)
    return file.getvalue()


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EMFILE])
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """It is a sentence, and no descriptor is left."""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(
        subprocess.Popen, "_execute_child", refuse
    )  # by fork, or by posix_spawn from Python 3.13 on
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CannotError) as caught:
        nulls_in(b"", ["a"])
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert isinstance(caught.value, OutOfFiles) == (code == errno.EMFILE)


def test_a_process_that_does_not_start_says_nothing_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", "import sys; sys.exit(3)")
    with pytest.raises(CannotError, match=r"did not start \(status 3\)"):
        nulls_in(small(), ["a"])


def test_a_process_with_threads_is_not_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A lock that another thread holds would stay locked in the copy for ever. Bytes, and a name that is no UTF-8."""

    def refuse() -> int:
        raise AssertionError("forked")

    monkeypatch.setattr(os, "fork", refuse)
    path = tmp_path / os.fsdecode(b"a \xff.parquet")
    path.write_bytes(small())
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda source: nulls_in(source, ["a", "b"]), [small(), str(path), small()]))
    finally:
        ended.set()
        other.join()
    assert found == [{"a": 1, "b": 0}] * 3


def test_a_file_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes of a column can say that it has billions of rows."""
    endless = "def endless(*_):\n    while True: pass\napart._counted = endless\napart.child("
    monkeypatch.setattr(apart, "CPU_S", 1)
    monkeypatch.setattr(apart, "_PROGRAM", apart._PROGRAM.replace("apart.child(", endless))
    with pytest.raises(UnreadableParquet, match="it breaks the reader"):
        nulls_in(b"", ["a"])


def test_a_file_that_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is beyond what the interpreter and the file take."""
    hungry = "apart._counted = lambda *_: len(bytearray(64 << 20)) and {'a': 0}\napart.child("
    monkeypatch.setattr(apart, "_PROGRAM", apart._PROGRAM.replace("apart.child(", hungry))
    assert nulls_in(small(), ["a"]) == {"a": 0}
    monkeypatch.setattr(apart, "MEMORY", 32 << 20)
    with pytest.raises(UnreadableParquet, match="it breaks the reader"):
        nulls_in(small(), ["a"])


def test_bytes_that_are_no_parquet_file() -> None:
    with pytest.raises(UnreadableParquet):
        nulls_in(b"x" * (1 << 20), ["a"])
