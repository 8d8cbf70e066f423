"""Reads a Parquet file in a process of its own: of damaged ones the library prints texts of its own, or aborts.

It is a fresh interpreter: who asks has threads, and a copy of a process with threads may wait for ever for what one of
them held.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
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

_READY = b"ready\n"

_PROGRAM = """
import json, sys
asked = json.loads(sys.stdin.buffer.readline())
sys.path[:] = asked["path"]
from udamon.fleet import apart
apart.child(asked)
"""


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
    if not said.startswith(_READY):
        raise CannotError(
            f"the process that reads Parquet files did not start (status {status}); "
            "look for a limit of memory (ulimit -v)."
        )
    if status or said == _READY:
        raise UnreadableParquet("it breaks the reader")
    found = plain_json.read(said.removeprefix(_READY))
    if isinstance(found, str):
        raise UnreadableParquet(found)
    return dict(found)


def _asked(source: bytes | str, columns: Sequence[str]) -> tuple[bytes, int]:
    """What the process writes, and its status at the end. Raises OSError."""
    asked: dict[str, object] = {
        "path": sys.path,
        "file": None,
        "columns": list(columns),
        "memory": MEMORY,
        "cpu_s": CPU_S,
    }
    data = b""
    if isinstance(source, str):
        asked["file"] = source
    else:
        data = source
    # Neither the user's directories nor variables: what is imported is what this process would import.
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(json.dumps(asked).encode() + b"\n" + data)
        except BaseException:
            process.kill()
            raise
    return said, process.returncode


def child(asked: dict[str, object]) -> None:
    """The other process, with what `_asked` wrote; the bytes of a file are on standard input."""
    memory, cpu_s = int(str(asked["memory"])), int(str(asked["cpu_s"]))
    size = int(read_bytes(PROC / "self/statm").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    source = sys.stdin.buffer.read() if asked["file"] is None else str(asked["file"])
    resource.setrlimit(resource.RLIMIT_AS, (size + len(source) + memory,) * 2)
    columns = asked["columns"]
    assert isinstance(columns, list)
    os.write(1, _READY)  # what fails from here on is the file's fault
    os.write(1, plain_json.written(_counted(source, columns)).encode())


def _counted(source: bytes | str, columns: Sequence[str]) -> dict[str, int] | str:
    nulls = dict.fromkeys(columns, 0)
    try:
        for batch in batches(source):
            for name in columns:
                nulls[name] += batch[name].null_count
    except UnreadableParquet as error:
        return str(error)
    return nulls
