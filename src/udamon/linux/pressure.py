"""PSI (CONFIG_PSI): for how long tasks have been waiting for memory, of the whole system or of a cgroup."""

from __future__ import annotations

from pathlib import Path

from udamon.errors import NotSupported
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC


def memory_stall_us(root: Path = PROC) -> int:
    """µs since boot in which some task of the system waited for memory. Raises NotSupported."""
    try:
        return parse_some(read_bytes(root / "pressure" / "memory"))
    except OSError:  # the file may be there and refuse to be read: psi=0 on the boot line
        raise NotSupported(
            f"{root}/pressure/memory cannot be read; boot a kernel built with CONFIG_PSI=y, with psi=1."
        ) from None


def cgroup_memory_stall_us(directory: Path) -> int:
    """The same for a cgroup (version 2 only) and all below it. Raises OSError."""
    return parse_some(read_bytes(directory / "memory.pressure"))


def parse_some(data: bytes) -> int:
    """The total of the line "some", which is in µs."""
    line = next(line for line in data.splitlines() if line.startswith(b"some "))
    return int(line.rpartition(b"total=")[2])


def parse_share(data: bytes) -> float:
    """Of the last ten seconds the share in which some task waited: avg10 of the line "some". Raises ValueError,
    StopIteration."""
    line = next(line for line in data.splitlines() if line.startswith(b"some "))
    return float(line.partition(b"avg10=")[2].split(b" ")[0]) / 100
