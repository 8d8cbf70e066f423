"""How long system calls held the mapping lock of another process, by the wall clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Held:
    """`longest_ns` is the longest single call, `total_ns` all of them together."""

    def __init__(self) -> None:
        self.longest_ns = 0
        self.total_ns = 0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one system call, or several that hold the lock each for itself but hardly let anybody in between."""
        begin = time.monotonic_ns()
        try:
            yield
        finally:
            took = time.monotonic_ns() - begin
            self.longest_ns = max(self.longest_ns, took)
            self.total_ns += took
