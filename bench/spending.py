"""What a process and all that it starts cost, inside a guest: a control group, and looks at it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from udamon.linux.procfs import ProcessId, cpu_ns, list_pids, read_stat

GROUP = Path("/sys/fs/cgroup/udamon-bench")
LOOK_S = 0.5


class Look:
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
def own_group() -> Iterator[Path]:
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


def join(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))


def group_cpu_s(group: Path) -> float:
    lines = (group / "cpu.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("usage_usec")) / 1e6
