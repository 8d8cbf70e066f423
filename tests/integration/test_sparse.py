"""Memory far larger, or far more scattered, than what is there of it: reports and schemes go by what is there."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.forking import Word
from tests.integration.programs import MIB
from tests.integration.recorder import finish, report, running_udamon, udamon
from tests.waiting import until

pytestmark = pytest.mark.needs("clear_refs")

TIB = 1 << 40
OTHER = 24 * MIB
"""At most what the interpreter itself has resident."""


@contextlib.contextmanager
def program(*words: object) -> Iterator[tuple[int, int, int]]:
    """pid, and where the memory is that it talks of."""
    command = [sys.executable, str(Path(__file__).with_name("sparse_program.py")), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            start, end = map(int, process.stdout.readline().split())
            yield process.pid, start, end
        finally:
            process.kill()


def said(*words: Word) -> str:
    done = udamon(*words)
    assert done.status == 0, done.stderr
    return done.stdout


def record(path: Path, pid: int) -> None:
    flags = ("--via", "refs", "--sample", "25ms", "--aggr", "500ms", "--duration", "2s", "--force")
    said("record", "-p", pid, "-o", path, *flags)


@pytest.mark.parametrize(
    ("words", "size", "hot"), [(("shadow", 20 * TIB, 48 * MIB), 48, 48), (("pieces", 0, 48 * MIB), 48, 24)]
)
def test_reports_speak_of_what_is_there(
    tmp_path: Path, words: tuple[object, ...], size: int, hot: int
) -> None:
    """An AddressSanitizer-like program and a heap in pieces, as of JavaScript engines: 48 MiB of each are there."""
    path = tmp_path / "a"
    with program(*words) as (pid, start, end):
        record(path, pid)
    picture = report("heatmap", path)
    total = sum(row["bytes"] for row in picture["rows"])
    assert size * MIB <= total <= size * MIB + OTHER
    if end > start:
        rows = sum(1 for row in picture["rows"] if start <= row["start"] < end)
        share = rows / len(picture["rows"])
        assert share == pytest.approx(size * MIB / total, abs=0.25)
    heats = [phase["hot_bytes"] for phase in report("phases", path)["phases"]]
    assert 0.5 * hot * MIB <= max(heats) <= hot * MIB + OTHER
    mappings = report("mappings", path)["mappings"]
    assert sum(one["resident_bytes"] for one in mappings) <= size * MIB + OTHER
    assert not any(one["offsets"] for one in mappings)  # refs knows no offsets
    if end > start:
        assert mappings[0]["start"] == start
    regions = report("access", path)["regions"]
    assert sum(one["resident_bytes"] for one in regions) <= size * MIB + OTHER
    with program(*words) as (pid, *_):
        flags = ("--via", "refs", "--sample", "25ms", "--aggr", "500ms", "--duration", "2s", "--json")
        last = json.loads(said("stat", "-p", pid, *flags).splitlines()[-1])
    # Each byte once in a window of 500 ms.
    assert last["estimated_memory_bandwidth"] is None
    assert 0 < last["memory_bandwidth_low"] <= (hot * MIB + OTHER) / 0.4


def take_out(tmp_path: Path, size: int, resident: int, run: int, quota: int) -> None:
    """At least nine tenths are out after as many windows as that takes here, and no faster than the quota allows."""
    with program("file", size, resident, tmp_path / "sparse", run) as (pid, start, end):

        def there() -> int:
            found, inside = 0, False
            for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
                if line.startswith(f"{start:x}-{end:x} "):
                    inside = True
                if inside and line.startswith("Rss:"):
                    found = int(line.split()[1]) << 10
                    break
            return found

        before = there()
        assert before >= 0.9 * resident
        flags = ("--via", "refs", "--sample", "25ms", "--aggr", "500ms", "--min-age", "500ms")
        quotas = ("--quota-ms", 0, "--quota-sz", quota)
        begin = time.monotonic()
        with running_udamon("reclaim", "-p", pid, *flags, *quotas, "--json", "-q") as command:
            until(lambda: there() <= 0.1 * before, "the cold pages out")
            command.send_signal(signal.SIGTERM)
            done = finish(command)
        seconds = time.monotonic() - begin
    assert done.status == 0, done.stderr
    found = json.loads(done.stdout)
    # Of each second so much, and one more at each end.
    assert found["moved_bytes"] <= (seconds + 2) * quota
    assert found["moved_bytes"] >= 0.9 * before


@pytest.mark.needs("process_madvise")
def test_reclaim_of_a_sparse_mapping(tmp_path: Path) -> None:
    """A tebibyte of which 24 MiB are there, in single pages far apart: all of it is out after some windows."""
    take_out(tmp_path, TIB, 24 * MIB, 1, 8 * MIB)


@pytest.mark.slow
@pytest.mark.needs("process_madvise")
@pytest.mark.parametrize(
    ("size", "run"), [(TIB, 1), (TIB, 512), (64 << 30, 1), (4 << 30, 16), (256 * MIB, 64)]
)
def test_reclaim_of_many_sparse_mappings(tmp_path: Path, size: int, run: int) -> None:
    take_out(tmp_path, size, 128 * MIB, run, 16 * MIB)
