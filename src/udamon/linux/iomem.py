"""/proc/iomem: where the System RAM is."""

from __future__ import annotations

import re
from pathlib import Path

from udamon.errors import NotPermitted, NotSupported
from udamon.linux.roots import PROC
from udamon.model import PAGE_SIZE, Range

_RAM = re.compile(r"^ *([0-9a-f]+)-([0-9a-f]+) : System RAM(?: \(.*\))?$", re.MULTILINE)
"""What a driver added (virtio_mem, kmem) stands below the line of its device, and names the driver."""


def parse_system_ram(text: str) -> list[Range]:
    """Whole pages of "System RAM", ascending, neighbours joined; the file's ends are inclusive."""
    ranges: list[Range] = []
    for start_text, end_text in _RAM.findall(text):
        start = -(-int(start_text, 16) // PAGE_SIZE) * PAGE_SIZE
        end = (int(end_text, 16) + 1) // PAGE_SIZE * PAGE_SIZE
        if start >= end:
            continue
        if ranges and ranges[-1].end == start:
            start = ranges.pop().start
        ranges.append(Range(start, end))
    return ranges


def system_ram(root: Path = PROC) -> list[Range]:
    """Physical address ranges of the memory, in bytes. Raises NotPermitted or NotSupported."""
    try:
        text = (root / "iomem").read_text()
    except PermissionError:
        raise NotPermitted(f"{root}/iomem may not be read by you; run udamon as root.") from None
    except OSError:
        raise NotSupported(f"there is no {root}/iomem, so where the memory is cannot be known.") from None
    ranges = parse_system_ram(text)
    if ranges:
        return ranges
    if "System RAM" in text:  # the names are shown to all, the addresses (as zeros) are not
        raise NotPermitted(f"{root}/iomem hides the addresses; run udamon as root or give it CAP_SYS_ADMIN.")
    raise NotSupported(f'{root}/iomem lists no "System RAM"; give the ranges yourself.')
