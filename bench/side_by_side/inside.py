"""The runs, one after the other, as root in the guest: python -m bench.side_by_side.inside PLAN DIRECTORY.

PLAN is a JSON list of runs; each leaves a directory of its own with the truth log, the recording, what the
programs said, and run.json: CPU of the monitor (all that it started included) and of kdamond, over time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.side_by_side.monitors import MONITORS
from bench.side_by_side.plan import Run, workload
from udamon.linux.procfs import ProcessId, cpu_ns, list_pids, read_stat
from udamon.linux.tracefs import tracefs_root
from udamon.workload.spec import format_workload

GROUP = Path("/sys/fs/cgroup/side-by-side")
KDAMONDS = Path("/sys/kernel/mm/damon/admin/kdamonds")
LOOK_S = 0.5
ENDS_IN_S = 120
ALONE_SETTLES_S = 1.0


def main(argv: Sequence[str]) -> int:
    if "UDAMON_GUEST" not in os.environ:
        print("this runs in the guest only", file=sys.stderr)  # it turns in-kernel DAMON on and off
        return 2
    plan, place = Path(argv[0]), Path(argv[1])
    for number, fields in enumerate(todo := json.loads(plan.read_text()), 1):
        run, begin = Run(**fields), time.monotonic()
        with tempfile.TemporaryDirectory() as name:  # in memory: the way outside is slow
            carry_out(run, Path(name))
            shutil.copytree(name, place / f"{run.id}.part")
        (place / f"{run.id}.part").rename(place / run.id)
        print(f"{number}/{len(todo)} {run.id}: {time.monotonic() - begin:.0f} s", flush=True)
    return 0


def carry_out(run: Run, place: Path) -> None:
    """Leave everything that is to be known of a run in `place`."""
    monitor = MONITORS.get(run.monitor)
    config, truth = place / "workload.masim", place / "truth"
    settle = monitor.starts_in_s if monitor else ALONE_SETTLES_S
    config.write_text(format_workload(workload(run.workload, settle)))
    words = [sys.executable, "-m", "udamon", "workload", str(config), "--truth", str(truth)]
    found: dict[str, Any] = {"clock_offset_ns": trace_clock_offset_ns(), "settle_s": settle}
    with (place / "workload.err").open("wb") as said:
        target = subprocess.Popen(words, stderr=said)
        while not (truth.exists() and '"kind": "phase"' in truth.read_text()):
            assert target.poll() is None, "the workload ended before it began"
            time.sleep(0.05)
        # Alone, too, somebody looks twice a second: what that costs the workload must be the same for all.
        command = monitor.command(target.pid, place / "recording") if monitor else ["true"]
        found |= _watched(command, place, target)
        assert target.wait(ENDS_IN_S) == 0
    (place / "run.json").write_text(json.dumps(found))


def _watched(command: Sequence[str | Path], place: Path, target: subprocess.Popen[bytes]) -> dict[str, Any]:
    words = [str(word) for word in command]
    with _group() as group, (place / "monitor.err").open("wb") as said:
        begin = time.monotonic()
        process = subprocess.Popen(
            words, stdout=said, stderr=said, stdin=subprocess.DEVNULL, preexec_fn=lambda: _join(group)
        )
        look = _Look(group, process.pid)
        target.wait(ENDS_IN_S)
        ended = time.monotonic()
        try:
            status = process.wait(ENDS_IN_S)
        finally:
            process.kill()
            look.stop()
        return {
            "command": words, "status": status, "begin": begin, "target_ended": ended, "end": time.monotonic(),
            "cpu_s": group_cpu_s(group), "looks": look.seen,
        }  # fmt: skip


class _Look:
    """Every half second: the time, CPU seconds of the group, of kdamond (0 while there is none), and of the
    threads of process `pid` beside its first."""

    def __init__(self, group: Path, pid: int) -> None:
        self.seen: list[tuple[float, float, float, float]] = []
        self._group = group
        self._pid = pid
        self._stop = threading.Event()
        self._kdamond: ProcessId | None = None
        self._known: set[int] = set(list_pids())
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            used = group_cpu_s(self._group)
            self.seen.append((time.monotonic(), used, self._kdamond_s(), self._threads_s()))

    def _threads_s(self) -> float:
        tasks = Path(f"/proc/{self._pid}/task")
        with suppress(OSError):
            others = [task for task in tasks.iterdir() if task.name != str(self._pid)]
            return sum(int((task / "schedstat").read_text().split()[0]) for task in others) / 1e9
        return self.seen[-1][3] if self.seen else 0.0

    def _kdamond_s(self) -> float:
        if self._kdamond is None:
            new = set(list_pids()) - self._known
            self._known |= new
            self._kdamond = next(filter(None, map(_kdamond_at, new)), None)
        with suppress(OSError):
            return cpu_ns(self._kdamond) / 1e9 if self._kdamond else 0.0
        return self.seen[-1][2] if self.seen else 0.0

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _kdamond_at(pid: int) -> ProcessId | None:
    with suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().startswith("kdamond."):
            return read_stat(pid).id
    return None


@contextmanager
def _group() -> Iterator[Path]:
    """A control group: its CPU is that of the monitor and all it starts, whoever waits for them."""
    GROUP.mkdir()
    try:
        yield GROUP
    finally:
        for _ in range(50):
            with suppress(OSError):
                GROUP.rmdir()
                break
            time.sleep(0.1)
        # damo leaves its settings behind; udamon rightly takes such a DAMON for somebody's.
        if KDAMONDS.exists():
            (KDAMONDS / "nr_kdamonds").write_text("0")


def _join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def group_cpu_s(group: Path) -> float:
    lines = (group / "cpu.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("usage_usec")) / 1e6


def trace_clock_offset_ns() -> int:
    """What to add to the default clock of tracing, which perf uses too, to have CLOCK_MONOTONIC."""
    root = tracefs_root()
    if root is None:
        return 0
    instance = root / "instances" / "side-by-side"
    instance.mkdir()
    try:
        before = time.monotonic_ns()
        (instance / "trace_marker").write_text("now\n")
        after = time.monotonic_ns()
        found = re.search(r" (\d+\.\d{6}): ", (instance / "trace").read_text())
        assert found, "the marker is not in the trace"
        return (before + after) // 2 - round(float(found[1]) * 1e9)
    finally:
        instance.rmdir()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
