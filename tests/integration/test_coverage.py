"""Children that begin and end between two looks: counted, with their size, in every report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.forking import UDAMON
from tests.integration.programs import MIB
from tests.integration.recorder import udamon
from udamon.linux.proc_events import ForkEvents
from udamon.record.reader import Recording

CHILDREN, SIZE = 30, 8 * MIB

PARENT = f"""
import mmap, os, sys, time
while not os.path.exists(sys.argv[1]):  # udamon may take long to start
    time.sleep(0.05)
time.sleep(1)
for _ in range({CHILDREN}):
    if os.fork() == 0:
        memory = mmap.mmap(-1, {SIZE})
        memory.madvise(15)
        for at in range(0, {SIZE}, 4096):
            memory[at] = 1
        os._exit(0)
    os.wait()
time.sleep(2.5)
"""


WINDOW_S, UPDATE_S = 0.25, 3
LIVES = (0.1, 2.2, 0.3, 3.0, 0.5, 4.0)
"""In windows: how long children live."""
BRIEF = f"""
import mmap, os, sys, time
time.sleep(1)
log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for life in {LIVES} * 4:
    born = time.monotonic()
    if os.fork() == 0:
        memory = mmap.mmap(-1, {SIZE}, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(15)
        while True:
            for at in range(0, {SIZE}, 4096):
                memory[at] = 1
            if time.monotonic() >= born + life * {WINDOW_S}:
                break
            time.sleep(0.01)
        os.write(log, f"{{os.getpid()}} {{born}} {{time.monotonic()}}\\n".encode())
        os._exit(0)
    time.sleep(0.4 * {WINDOW_S})
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
time.sleep({UPDATE_S + 2 * WINDOW_S})
"""


def _events() -> bool:
    try:
        ForkEvents().close()
    except OSError:
        return False
    return True


def _huge_pages() -> bool:
    try:
        return "[never]" not in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return False


def _recorded(path: Path, *before: str, program: str = PARENT) -> tuple[dict[str, Any], str]:
    """Coverage of a recording of `program`, and what was said at its end."""
    words = [*before, *UDAMON, "record", "--via", "refs", "--aggr", "2s", "--children", "-o", str(path), "--"]
    done = subprocess.run(
        [*words, sys.executable, "-I", "-S", "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(_report("info", path, "--json"))["coverage"]
    return found, done.stderr


def _report(*words: str | Path) -> str:
    done = udamon("report", *words)
    assert done.status == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not _events(), reason="the kernel's process events are not there, or not for us")
def test_forks_are_followed_by_events(tmp_path: Path) -> None:
    """Every child is counted; the pages that each touched are in the bytes, unless it was caught alive by chance."""
    coverage, said = _recorded(tmp_path / "r")
    assert coverage["exact"] is True
    assert coverage["processes_seen"] + coverage["processes_missed"] == CHILDREN + 1
    assert coverage["processes_missed"] >= CHILDREN - 2
    touched = coverage["processes_missed"] * SIZE
    assert touched <= coverage["bytes_missed"] <= touched * 1.5
    assert f"Not seen: {coverage['processes_missed']} of {CHILDREN + 1} processes" in said
    for report in ("wss", "heatmap", "access", "info"):
        assert f"Not seen: {coverage['processes_missed']} of" in _report(report, tmp_path / "r")
        assert json.loads(_report(report, tmp_path / "r", "--json"))["coverage"] == coverage
    check = ("check", tmp_path / "r", "--max-wss")
    assert udamon(*check, "100MiB").status == 3
    told = udamon(*check, "1TiB", "--json")  # whatever large pages others were given meanwhile
    assert (told.status, json.loads(told.stdout)["coverage"]) == (0, coverage)
    told = udamon(*check, "1TiB")
    assert (told.status, "Not seen: " in told.stdout) == (0, True)


@pytest.mark.skipif(not _events(), reason="the kernel's process events are not there, or not for us")
@pytest.mark.skipif(not _huge_pages(), reason="the kernel gives no huge pages")
def test_children_with_huge_pages(tmp_path: Path) -> None:
    """One fault for 2 MiB: what the missed touched is within the bounds all the same, and no limit below holds."""
    wide = PARENT.replace("mmap.mmap(-1,", "mmap.mmap(-1, flags=34, length=").replace(
        "madvise(15)", "madvise(14)"
    )
    coverage, said = _recorded(tmp_path / "r", program=wide)
    touched = coverage["processes_missed"] * SIZE
    assert coverage["processes_missed"] >= CHILDREN - 2
    assert coverage["bytes_missed"] < touched <= coverage["bytes_missed_high"]
    assert "the large pages that the machine gave meanwhile" in said
    assert udamon("check", tmp_path / "r", "--max-wss", "150MiB").status == 3


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv(1)")
@pytest.mark.needs("root")
def test_without_events_a_lower_bound(tmp_path: Path) -> None:
    """Nobody tells the number; that something was missed, and how large it was, the parent's counters do."""
    drop = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    coverage, said = _recorded(tmp_path / "r", *drop)
    assert coverage["exact"] is False
    assert 1 <= coverage["processes_missed"] <= CHILDREN
    assert 0.8 * CHILDREN * SIZE <= coverage["bytes_missed"] <= 1.5 * CHILDREN * SIZE
    assert "Not seen: at least " in said


@pytest.mark.skipif(not _events(), reason="the kernel's process events are not there, or not for us")
def test_children_that_live_a_few_windows_are_seen(tmp_path: Path) -> None:
    """Processes are looked for every twelve windows: what lives shorter comes by events. Which windows a child lived
    in is told by its own clock and by those of its parent: who was there at the end of one, and until some time
    after the end of the next, is seen in that; who was at no end is missed, with its pages."""
    file, log = tmp_path / "r", tmp_path / "log"
    intervals = ["--aggr", f"{WINDOW_S}s", "--update", f"{UPDATE_S}s"]
    record = [*UDAMON, "record", "--via", "refs", *intervals, "--children", "-o", str(file)]
    words = [*record, "--", sys.executable, "-I", "-S", "-c", BRIEF, str(log)]
    subprocess.run(words, capture_output=True, check=True)
    recording = Recording(file)
    touched: dict[int, int] = {}
    ends = []
    for snapshot in recording.snapshots():
        assert snapshot.pid is not None
        touched[snapshot.pid] = max(touched.get(snapshot.pid, 0), sum(snapshot.touched))
        if snapshot.target == 0:
            ends.append(snapshot.end_ns / 1e9)
    seen, missed = 0, 0
    for line in log.read_text().splitlines():
        pid, born, died = int(line.split()[0]), *map(float, line.split()[1:])
        lived = [k for k, end in enumerate(ends[:-1]) if born < end < died]
        if len(lived) > 1 and died > (ends[lived[1]] + ends[lived[1] + 1]) / 2:
            assert touched[pid] >= 0.95 * SIZE
            seen += 1
        elif not lived:
            assert pid not in touched
            missed += 1
    assert min(seen, missed) >= 4, "this run says nothing"
    coverage = json.loads(_report("info", file, "--json"))["coverage"]
    assert coverage["processes_seen"] == len(touched)
    assert coverage["processes_seen"] + coverage["processes_missed"] == 1 + 4 * len(LIVES)
    assert coverage["exact"] is True
    least = coverage["processes_missed"] * SIZE
    assert least <= coverage["bytes_missed"] <= least * 1.5


def test_memory_of_no_process_is_seen_whole(tmp_path: Path) -> None:
    assert udamon("record", "-q", "--sim", "demo", "--windows", "2", "-o", tmp_path / "r").status == 0
    coverage = json.loads(_report("wss", tmp_path / "r", "--json"))["coverage"]
    assert [coverage[key] for key in ("processes_seen", "processes_missed", "bytes_missed", "exact")] == [
        0, 0, 0, True,
    ]  # fmt: skip
