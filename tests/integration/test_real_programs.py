"""Programs that nobody here wrote: what is recorded of them makes sense."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.programs import MIB
from tests.integration.recorder import report, udamon
from tests.integration.servers import postgres, redis
from udamon.record.naming import SHARED, kind_of
from udamon.record.reader import Recording

pytestmark = pytest.mark.needs("clear_refs")

LOOK = ("--via", "refs", "--aggr", "250ms", "--update", "200ms", "--duration", "2s")


@contextmanager
def meanwhile(load: subprocess.Popen[bytes]) -> Iterator[None]:
    """The load runs, and has for a moment."""
    try:
        time.sleep(0.3)
        assert load.poll() is None
        yield
    finally:
        load.kill()
        load.wait()


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


def record(file: Path, *words: str) -> dict[str, Any]:
    done = udamon("record", *LOOK, "-o", file, *words)
    assert done.status == 0, done.stderr
    return report("wss", file)


@pytest.mark.needs("redis")
def test_redis(tmp_path: Path) -> None:
    """Idle it touches little; asked for random keys it touches its data; and never more than it has."""
    with redis() as server:
        server.fill(keys=40_000, size=1000)
        idle = record(tmp_path / "idle", "-p", str(server.pid))
        with meanwhile(server.load(keys=40_000)):
            busy = record(tmp_path / "busy", "-p", str(server.pid))
        resident = resident_bytes(server.pid)
    assert idle["bytes"]["mean"] < 0.5 * busy["bytes"]["max"]
    assert 8 * MIB < busy["bytes"]["max"] <= resident
    (target,) = report("info", tmp_path / "busy")["targets"]
    assert target["comm"].startswith("redis-server")
    regions = report("access", tmp_path / "busy")["regions"]
    largest = max(regions, key=lambda region: int(region["touched_bytes"]))
    assert largest["mapping"] in ("[anon]", "[heap]")  # the data: no file, no stack, no library


@pytest.mark.needs("postgres")
def test_postgresql(tmp_path: Path) -> None:
    """A family of processes, followed as connections come; all touch the shared buffers."""
    file = tmp_path / "a"
    with postgres(scale=2) as server, meanwhile(server.load(seconds=60, clients=2)):
        wss = record(file, "-p", str(server.pid), "--children")
    targets = report("info", file)["targets"]
    assert len(targets) >= 5  # postmaster, its helpers, two connections
    assert {target["comm"] for target in targets} == {"postgres"}
    assert len(wss["targets"]) == len(targets)
    # They share nearly all of it: what is there counts once.
    group = wss["group"]
    sums = sum(target["bytes"]["max"] for target in wss["targets"])
    assert 2 * MIB < group["high"]["mean"] <= sums
    assert group["low"]["mean"] <= group["high"]["mean"] <= group["resident"]["max"]
    assert shared_bytes(file) > MIB


def shared_bytes(file: Path) -> int:
    """The most that any process touched of shared memory in a window."""
    mapped: list[tuple[int, list[Any]]] = [
        (data["target"], row)
        for event in Recording(file).events()
        if event.name == "mappings"
        for data in [dict[str, Any](event.data)]
        for row in data["add"]
    ]
    shared = {(target, row[0]) for target, row in mapped if kind_of(row[-1]) == SHARED}
    return max(
        (
            touched
            for snapshot in Recording(file).snapshots()
            for start, touched in zip(snapshot.starts, snapshot.touched, strict=True)
            if (snapshot.target, start) in shared
        ),
        default=0,
    )
