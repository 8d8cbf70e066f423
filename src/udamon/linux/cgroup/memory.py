"""What the memory controller tells of a cgroup, in version 1 and 2."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from udamon.errors import CannotError, NotSupported
from udamon.linux.cgroup.groups import cgroup_mounts, directory_in
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE

_UNLIMITED = 1 << 62  # version 1 writes about 2**63
_ON_LRU = {
    b"active_anon": 1, b"inactive_anon": 1, b"active_file": 1, b"inactive_file": 1,
    b"hierarchical_anon": PAGE_SIZE, b"hierarchical_file": PAGE_SIZE,
}  # fmt: skip
"""Lines of memory.numa_stat that speak of LRU pages, and their unit in bytes: version 2, then version 1."""


def memory_cgroup(path: str, file: str, root: Path = PROC) -> Path:
    """The directory of cgroup `path` in the hierarchy where it has `file`, a file of the memory controller.

    Raises NotSupported where the cgroup has no such file, CannotError where there is no such cgroup.
    """
    found = [d for mount in cgroup_mounts(root) if (d := directory_in(path, mount)) is not None]
    for directory in found:
        if (directory / file).exists():
            return directory
    if found:
        raise NotSupported(
            f"the cgroup {path!r} has no {file}; enable the memory controller for it (cgroup version 2: write "
            "+memory to the parent's cgroup.subtree_control; CONFIG_PSI for memory.pressure)."
        )
    raise CannotError(f"there is no cgroup {path!r}; see /proc/PID/cgroup of a process that should be in it.")


def limit_of(directory: Path) -> int | None:
    """The memory limit of the cgroup itself, in bytes; None where it has none, or nothing tells."""
    for file in ("memory.max", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            return limit_in(directory / file)
    return None


def limit_in(file: Path) -> int | None:
    """What a file of a limit says; None for no limit. Raises OSError, and ValueError for what is no number."""
    text = read_bytes(file).strip()
    return None if text == b"max" or int(text) >= _UNLIMITED else int(text)


def lru_bytes(directory: Path, node: int) -> int:
    """Bytes on the LRU lists of the cgroup and all below it, on `node`. Raises OSError."""
    return parse_lru(read_bytes(directory / "memory.numa_stat"), node)


def parse_lru(data: bytes, node: int) -> int:
    """Bytes on the LRU lists of a node, from memory.numa_stat."""
    total = 0
    for line in data.splitlines():
        name = re.match(rb"[a-z_]+", line)
        if name is not None and name[0] in _ON_LRU:
            value = re.search(rb" N%d=([0-9]+)" % node, line)
            total += int(value[1]) * _ON_LRU[name[0]] if value else 0
    return total


def reclaim(directory: Path, size: int, *, anonymous: bool = True) -> bool:
    """Ask the kernel to reclaim `size` bytes of the cgroup by its own judgement (memory.reclaim, Linux 5.19, version
    2); without `anonymous` memory only where it can be told so (Linux 6.10). False when it got less than that. Raises
    OSError: EACCES, ENOENT where there is no such file or cgroup, and EINVAL where it cannot be told."""
    with open(directory / "memory.reclaim", "wb", buffering=0) as file:
        try:
            file.write(b"%d" % size if anonymous else b"%d swappiness=0" % size)
        except BlockingIOError:  # EAGAIN: it reclaimed less
            return False
    return True


def page_faults(directory: Path) -> int | None:
    """Page faults, minor and major, of all that ever ran in the cgroup and below it; None where not counted."""
    try:
        data = read_bytes(directory / "memory.stat")
    except OSError:
        return None
    return _counted(data, b"pgfault")


def major_faults(directory: Path) -> int:
    """Major faults of the cgroup and all below it since it was made. Raises OSError."""
    return _counted(read_bytes(directory / "memory.stat"), b"pgmajfault") or 0


def _counted(data: bytes, name: bytes) -> int | None:
    """A counter of memory.stat with all groups below, which have a line of their own in version 1."""
    for prefix in (b"total_", b""):
        if (found := re.search(rb"^" + prefix + name + rb" ([0-9]+)$", data, re.MULTILINE)) is not None:
            return int(found[1])
    return None


_PAGES = re.compile(rb"^(pgsteal|workingset_refault_anon|workingset_refault_file) ([0-9]+)$", re.MULTILINE)


class Reclaimed(NamedTuple):
    """`stolen`: reclaimed, by whomever; `refaulted`: of that, what was wanted back while it was still remembered."""

    stolen: int
    refaulted: int


def read_reclaimed(directory: Path) -> Reclaimed:
    """Of the cgroup and all below it. Raises OSError."""
    pages = {name: int(value) for name, value in _PAGES.findall(read_bytes(directory / "memory.stat"))}
    refaulted = sum(value for name, value in pages.items() if name != b"pgsteal")
    return Reclaimed(pages.get(b"pgsteal", 0) * PAGE_SIZE, refaulted * PAGE_SIZE)
