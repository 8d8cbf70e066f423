"""The machine in general words, and processes whose cost is known when they end."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from udamon.units import GIB, format_size


def describe() -> str:
    """Cores, memory, kernel, interpreter: what makes figures comparable."""
    kernel = ".".join(platform.release().split(".")[:2])
    memory = round(_meminfo("MemTotal") / GIB)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory} GiB of memory, Linux {kernel}, "
        f"Python {platform.python_version()}"
    )


def load() -> float:
    """The load average of the last minute: how many others want a core, too."""
    return os.getloadavg()[0]


def favour_us() -> bool:
    """Where it is permitted, a high priority for this process and all that it starts: False where not."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    except OSError:
        return False
    return True


def available() -> int:
    """Bytes of memory that can be had."""
    return _meminfo("MemAvailable")


def _meminfo(key: str) -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))


class Cost(NamedTuple):
    """What a process took from start to end."""

    seconds: float
    cpu_seconds: float
    max_rss_bytes: int
    status: int

    @property
    def rss(self) -> str:
        return format_size(self.max_rss_bytes)


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end, silently."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
    seconds = time.monotonic() - begin
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss << 10, process.returncode)
