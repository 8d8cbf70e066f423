"""What a program under a limit is, and how one is driven through pipes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.memory_group import MemoryGroup

Units = Callable[[float], int]
"""Work for so many seconds; returns the units that were done."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A real program: `prepare` makes its files in a directory, `start` starts it in a group and yields its work."""

    name: str
    unit: str
    program: str
    prepare: Callable[[Path], Sequence[Path]]
    start: Callable[[Path, MemoryGroup], Any]


@contextmanager
def running(group: MemoryGroup, words: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the group, with pipes; it is ended at the end."""
    process = subprocess.Popen(
        group.words(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more
    )
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except BrokenPipeError:
                pass
        process.wait()


def asking(
    process: subprocess.Popen[bytes],
    question: Callable[[], bytes],
    answer: Callable[[IO[bytes]], None],
    batch: int,
) -> Units:
    """Units of question and answer, `batch` at a time."""
    to, back = process.stdin, process.stdout
    assert to is not None
    assert back is not None

    def work(seconds: float) -> int:
        end, done = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            to.write(b"".join(question() for _ in range(batch)))
            to.flush()
            for _ in range(batch):
                answer(back)
            done += batch
        return done

    return work


def line(back: IO[bytes]) -> None:
    if not back.readline():
        raise BrokenPipeError("the program has ended")
