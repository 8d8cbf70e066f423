"""What a recording says of the machine and the moment it began."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from udamon.model import PAGE_SIZE
from udamon.record.schema import VERSION


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None  # /proc is not mounted: the recording is still good


def machine() -> dict[str, Any]:
    """The facts every recording starts with; `monotonic_ns` and `wall_ns` are the same moment.

    Keys: version, host, kernel, machine, boot_id (None without /proc), page_size (bytes), monotonic_ns,
    wall_ns.
    """
    names = os.uname()
    return {
        "version": VERSION,
        "host": socket.gethostname(),
        "kernel": names.release,
        "machine": names.machine,
        "boot_id": _boot_id(),
        "page_size": PAGE_SIZE,
        "monotonic_ns": time.monotonic_ns(),
        "wall_ns": time.time_ns(),
    }
