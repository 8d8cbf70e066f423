"""What a recording says of the machine and the moment it began."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udamon.errors import RecordingError
from udamon.model import PAGE_SIZE
from udamon.record.schema import VERSION

WARMUP = "warmup_until_ns"
"""Where there is a warm-up, its key: when it ends, ns on CLOCK_MONOTONIC."""


def warmup_until(metadata: Mapping[str, Any], path: Path) -> int | None:
    """When the warm-up of the recording at `path` ends, ns on CLOCK_MONOTONIC; None without one. RecordingError."""
    until = metadata.get(WARMUP)
    if until is None:
        return None
    if type(until) is not int or not 0 <= until < 1 << 63:
        raise RecordingError(
            f"{path}: {WARMUP} in its head is no time in ns; it was changed after udamon record wrote it."
        )
    return until


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
