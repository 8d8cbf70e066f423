"""What a cgroup of version 2 has lost to reclaim and taken back, in bytes since it was made (memory.stat)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from udamon.linux.procfs import read_bytes
from udamon.model import PAGE_SIZE

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
