"""/proc/vmstat: what the kernel has counted since the machine started."""

from __future__ import annotations

import re
from pathlib import Path

from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

_SCANNED = re.compile(rb"^pgscan_(?:anon|file) ([0-9]+)$", re.MULTILINE)


def scanned_pages(root: Path = PROC) -> int | None:
    """Pages that reclaim has looked at, for the machine or for a control group; None before Linux
    5.8."""
    try:
        found = _SCANNED.findall(read_bytes(root / "vmstat"))
    except OSError:
        return None
    return sum(map(int, found)) if found else None
