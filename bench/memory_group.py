"""A memory control group for a time, of version 2 or 1, with a limit, and what it tells of those in it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

V1, V1_CPU, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")


def groups_missing() -> str | None:
    """Why no group can be made here; None where one can."""
    if os.geteuid() != 0:
        return "not measured: control groups take root"
    if not (V1 / "memory.limit_in_bytes").exists() and "memory" not in _controllers():
        return "not measured: there is no memory controller"
    swaps = Path("/proc/swaps").read_text().splitlines()[1:]
    return f"not measured: there is swap ({swaps[0].split()[0]})" if swaps else None


def _controllers() -> list[str]:
    file = V2 / "cgroup.subtree_control"
    return file.read_text().split() if file.exists() else []


class MemoryGroup:
    """`memory` is its directory. It is made with `limit` bytes (None: without), and taken away at the end."""

    def __init__(self, name: str, limit: int | None) -> None:
        self._old = (V1 / "memory.limit_in_bytes").exists()
        self.memory = (V1 if self._old else V2) / name
        self._cpu = V1_CPU / name if self._old else self.memory
        self._limit = limit

    def __enter__(self) -> MemoryGroup:
        for directory in {self.memory, self._cpu}:
            directory.mkdir()
        if self._limit is not None:
            file = "memory.limit_in_bytes" if self._old else "memory.max"
            (self.memory / file).write_text(str(self._limit))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for directory in {self.memory, self._cpu}:
            for _ in range(50):  # who was killed leaves a moment later
                try:
                    directory.rmdir()
                    break
                except OSError:
                    time.sleep(0.1)

    def words(self, words: Sequence[str]) -> list[str]:
        """A command that runs in the group."""
        enter = "; ".join(
            f"echo $$ > {directory}/cgroup.procs" for directory in sorted({self.memory, self._cpu})
        )
        return ["sh", "-c", f'{enter}; exec "$@"', "sh", *words]

    def cpu_seconds(self) -> float:
        """Of all that ran in it, reclaim on their behalf included."""
        if self._old:
            return int((self._cpu / "cpuacct.usage").read_text()) / 1e9
        return self._number(self._cpu / "cpu.stat", "usage_usec") / 1e6

    def major_faults(self) -> int:
        return self._number(self.memory / "memory.stat", "total_pgmajfault" if self._old else "pgmajfault")

    def working_set_bytes(self) -> int:
        """As the kubelet has it: what is charged, less the inactive file pages."""
        usage = self.memory / ("memory.usage_in_bytes" if self._old else "memory.current")
        inactive = self._number(
            self.memory / "memory.stat", "total_inactive_file" if self._old else "inactive_file"
        )
        return max(0, int(usage.read_text()) - inactive)

    def killed(self) -> int:
        """Processes that the kernel killed for want of memory."""
        return self._number(
            self.memory / ("memory.oom_control" if self._old else "memory.events"), "oom_kill"
        )

    @staticmethod
    def _number(file: Path, name: str) -> int:
        found = re.search(rf"^{name} (\d+)$", file.read_text(), re.MULTILINE)
        return 0 if found is None else int(found[1])
