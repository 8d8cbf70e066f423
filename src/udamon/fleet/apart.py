"""Reads a Parquet file in a process of its own: of damaged ones the library prints texts of its own, or aborts."""

from __future__ import annotations

import faulthandler
import os
import resource
from collections.abc import Sequence

from udamon import plain_json
from udamon.errors import CannotError
from udamon.fleet.objects import UnreadableParquet, batches
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

MEMORY = 2 << 30
"""Bytes that reading may take."""
CPU_S = 600
"""And seconds: some bytes can say billions of rows."""


def nulls_in(source: bytes | str, columns: Sequence[str]) -> dict[str, int]:
    """How many values of each column are null in a Parquet file, which is read to its end: of its bytes or its path.
    Raises UnreadableParquet; CannotError where no process can be started."""
    try:
        said, status = _asked(source, columns)
    except OSError as error:
        refuse_if_full(error)
        raise CannotError(
            f"no process can be started that reads a Parquet file: {error.strerror}; end some, or raise their limit "
            "(ulimit -u)."
        ) from error
    if status or not said:
        raise UnreadableParquet("it breaks the reader")
    found = plain_json.read(said)
    if isinstance(found, str):
        raise UnreadableParquet(found)
    return dict(found)


def _asked(source: bytes | str, columns: Sequence[str]) -> tuple[bytes, int]:
    """What the process writes, and its status at the end. Raises OSError."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        try:
            if (pid := os.fork()) == 0:
                _child(source, columns, writing)
        finally:
            os.close(writing)
        said = pipe.read()
    return said, os.waitpid(pid, 0)[1]


def _child(source: bytes | str, columns: Sequence[str], writing: int) -> None:
    """Does not return."""
    try:
        faulthandler.disable()  # an abort is expected here
        silent = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(silent, fd)
        size = int(read_bytes(PROC / "self/statm").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
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
