"""A program that does what it is told, one line a command, one line an answer."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import until
from udamon.core.target import Target
from udamon.linux.procfs import read_stat
from udamon.model import Range


class Program:
    """A running program; what it understands is its own business."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def target(self, index: int = 0) -> Target:
        return Target(index, self.pid, read_stat(self.pid).start_time)

    def huge_bytes(self) -> int:
        """Of transparent huge pages, anonymous ones."""
        found = re.findall(r"AnonHugePages: +(\d+) kB", Path(f"/proc/{self.pid}/smaps").read_text())
        return sum(map(int, found)) << 10

    def tell(self, *words: object) -> str:
        """Give a command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        assert answer, f"the program ended at {words}"
        return answer

    def map(self, name: str, size: int, kind: str = "small") -> Range:
        start = int(self.tell("map", name, size, kind))
        return Range(start, start + size)


_IN_A_THREAD = """
import ctypes, threading
threading.Thread(target=exec, args=({code!r}, globals())).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@contextlib.contextmanager
def run_program(code: str, *, main_ends: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that runs this Python code, killed at the end. `main_ends`: its main thread ends, another runs it."""
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _IN_A_THREAD.format(code=code) if main_ends else code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            if main_ends:
                until(lambda: read_stat(process.pid).main_ended)
            yield process
        finally:
            process.kill()
