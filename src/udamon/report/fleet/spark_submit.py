"""Standard error of a driver that spark-submit runs.

spark-submit gives its Python driver one pipe for standard output and standard error, and copies it to its own standard
output: warnings and sentences would stand in the document that a report prints. What this process writes to sys.stderr
goes through the Java process, to the standard error of spark-submit.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

GATEWAY = "PYSPARK_GATEWAY_PORT"
"""Of a Python process that spark-submit started: where its Java process listens."""


class _JavaStream(io.RawIOBase):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = bytes(data)
        self._stream.write(written, 0, len(written))
        self._stream.flush()
        return len(written)


def separate_standard_error() -> None:
    """From now on; nothing where spark-submit did not start this process, or PySpark is not there."""
    if GATEWAY not in os.environ:
        return
    try:
        from pyspark.java_gateway import launch_gateway
    except ImportError:  # which open_engine says
        return
    error = launch_gateway().jvm.java.lang.System.err
    sys.stderr = io.TextIOWrapper(
        _JavaStream(error), encoding="utf-8", errors="backslashreplace", write_through=True
    )
