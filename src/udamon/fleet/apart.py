"""Reads a Parquet file in a process of its own: of damaged ones the library prints texts of its own, or aborts."""

from __future__ import annotations

import faulthandler
import os
import resource
from collections.abc import Sequence

from udamon import plain_json
from udamon.fleet.objects import UnreadableParquet, batches
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

MEMORY = 2 << 30
"""Bytes that reading may take."""


def nulls_in(source: bytes | str, columns: Sequence[str]) -> dict[str, int]:
    """How many values of each column are null in a Parquet file, which is read to its end: of its bytes or its path.
    Raises UnreadableParquet; OSError where no process can be started."""
    reading, writing = os.pipe()
    try:
        if (pid := os.fork()) == 0:
            _child(source, columns, writing)
    finally:
        os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status or not said:
        raise UnreadableParquet("it breaks the reader")
    found = plain_json.read(said)
    if isinstance(found, str):
        raise UnreadableParquet(found)
    return dict(found)


def _child(source: bytes | str, columns: Sequence[str], writing: int) -> None:
    """Does not return."""
    try:
        faulthandler.disable()  # an abort is expected here
        silent = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(silent, fd)
        size = int(read_bytes(PROC / "self/statm").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(writing, plain_json.written(_counted(source, columns)).encode())
        os._exit(0)
    finally:
        os._exit(1)


def _counted(source: bytes | str, columns: Sequence[str]) -> dict[str, int] | str:
    nulls = dict.fromkeys(columns, 0)
    try:
        for batch in batches(source):
            for name in columns:
                nulls[name] += batch[name].null_count
    except UnreadableParquet as error:
        return str(error)
    return nulls
