"""Programs whose memory is mostly files that they map, and one that has none."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.memory_group import MemoryGroup
from bench.right_size.workload import Units, Workload, asking, line, running

ROWS, ROW_BYTES, HOT_ROWS = 160_000, 1000, 64_000
"""Of the database: about 180 MiB, of which 40 % are asked for after all of it was read once."""


def _database(place: Path) -> list[Path]:
    import sqlite3

    file = place / "data.sqlite"
    noise = random.Random(1)
    with sqlite3.connect(file) as base:
        base.execute("create table t (k integer primary key, v blob)")
        base.executemany(
            "insert into t values (?, ?)", ((k, noise.randbytes(ROW_BYTES)) for k in range(ROWS))
        )
    base.close()
    return [file]


@contextmanager
def _sqlite(place: Path, group: MemoryGroup) -> Iterator[Units]:
    choice = random.Random(2)
    with running(group, ["sqlite3", "-batch", str(place / "data.sqlite")]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(
            b"pragma mmap_size=1073741824;\npragma cache_size=-200;\nselect sum(length(v)) from t;\n"
        )
        process.stdin.flush()
        line(process.stdout)  # the size of the mapping
        line(process.stdout)
        yield asking(
            process,
            lambda: b"select hex(substr(v,1,4)) from t where k=%d;\n" % choice.randrange(HOT_ROWS),
            line,
            200,
        )


BLOBS, BLOB_BYTES, HOT_BLOBS = 20_000, 8192, 8_000
"""Of the repository: about 160 MiB in one pack, of which 40 % are asked for after all of it was read once."""


def _repository(place: Path) -> list[Path]:
    repository = place / "repository"
    subprocess.run(["git", "init", "-q", "--bare", str(repository)], check=True)
    noise = random.Random(3)
    words = ["git", "-C", str(repository), "fast-import", "--quiet", f"--export-marks={place / 'marks'}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for mark in range(1, BLOBS + 1):
            process.stdin.write(
                b"blob\nmark :%d\ndata %d\n%s\n" % (mark, BLOB_BYTES, noise.randbytes(BLOB_BYTES))
            )
    if process.returncode:
        raise subprocess.SubprocessError("git fast-import failed")
    return sorted(repository.rglob("*.pack")) + sorted(repository.rglob("*.idx"))


@contextmanager
def _git(place: Path, group: MemoryGroup) -> Iterator[Units]:
    names = [line.split()[1] for line in (place / "marks").read_text().splitlines()]
    choice = random.Random(4)

    def answer(back: IO[bytes]) -> None:
        head = back.readline().split()
        if len(head) != 3 or len(back.read(int(head[2]) + 1)) != int(head[2]) + 1:
            raise BrokenPipeError("the program has ended")

    with running(group, ["git", "-C", str(place / "repository"), "cat-file", "--batch"]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in names:
            process.stdin.write(f"{name}\n".encode())
            process.stdin.flush()
            answer(process.stdout)
        work = asking(process, lambda: f"{names[choice.randrange(HOT_BLOBS)]}\n".encode(), answer, 1)
        yield work


@contextmanager
def _xz(place: Path, group: MemoryGroup) -> Iterator[Units]:
    """Anonymous memory alone: without swap, too little of it is death."""
    noise = random.Random(5)
    data = noise.randbytes(1 << 20)
    with running(group, ["xz", "-6", "-T1", "-c"]) as process, (place / "sink").open("wb") as sink:
        pump = subprocess.Popen(["cat"], stdin=process.stdout, stdout=sink)

        def work(seconds: float) -> int:
            assert process.stdin is not None
            end, done = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                process.stdin.write(data[: 1 << 16])
                process.stdin.flush()
                done += 1
            return done

        try:
            yield work
        finally:
            process.kill()
            pump.wait()


FILES = (
    Workload("SQLite, mapped database", "queries", "sqlite3", _database, _sqlite),
    Workload("git cat-file, mapped pack", "objects", "git", _repository, _git),
    Workload("xz -6, anonymous", "blocks of 64 KiB", "xz", lambda place: [], _xz),
)
