"""The generations of MGLRU, by control group and node (Documentation/admin-guide/mm/multigen_lru.rst).

The kernel keeps at most four generations of pages, told apart by when a page was seen accessed last. Aging begins a
new one: it looks at the accessed bits of all page tables of the group, clears them, and has the pages that were
accessed since the last aging in the generation that was the newest until then. What was in the oldest of four joins the
next one.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from udamon.errors import NotPermitted, NotSupported
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import SYS
from udamon.model import PAGE_SIZE

LRU_GEN = Path("/sys/kernel/debug/lru_gen")

_AS_ROOT = "run udamon as root"

_ENABLED = "kernel/mm/lru_gen/enabled"
_SWITCH_ON = f"echo y > /sys/{_ENABLED}"
_ON, _WALK = 0x1, 0x2
"""Bits of `enabled`: generations are kept; aging looks at the accessed bits of page tables. The kernel shows the second
one only where the processor sets accessed bits itself (not on Arm before 8.1). Without it aging begins generations and
moves no page into them."""

_MEMCG = re.compile(rb"memcg\s+(\d+)(?:\s+(/.*))?\s*$")
_NODE = re.compile(rb"\s+node\s+(\d+)\s*$")
_GENERATION = re.compile(rb"\s+(\d+)\s+(\d+)\s+(-?\d+)\s+(-?\d+)\s*$")


class Generation(NamedTuple):
    """Its number, how long ago it began, and the bytes in it."""

    number: int
    age_ms: int
    anon: int
    file: int


class NodeLru(NamedTuple):
    """The generations of one control group on one node, the oldest first. `memcg` is the kernel's number of the group,
    `path` the one within its hierarchy ("" without control groups)."""

    memcg: int
    path: str
    node: int
    generations: tuple[Generation, ...]


def parse(data: bytes) -> list[NodeLru]:
    """What lru_gen tells. A name of a group may hold any byte but the end of a line; lines that make no sense are
    passed over, and so is a group or node without generations."""
    found: list[NodeLru] = []
    memcg, path, node = -1, "", -1
    generations: list[Generation] = []

    def close() -> None:
        if memcg >= 0 and node >= 0 and generations:
            found.append(NodeLru(memcg, path, node, tuple(generations)))
        generations.clear()

    for line in data.split(b"\n"):
        if (group := _MEMCG.match(line)) is not None:
            close()
            memcg, path, node = int(group[1]), (group[2] or b"").decode(errors="surrogateescape"), -1
        elif (place := _NODE.match(line)) is not None:
            close()
            node = int(place[1])
        elif (row := _GENERATION.match(line)) is not None:
            number, age_ms, *pages = map(int, row.groups())
            # The kernel's counters may be negative for a moment.
            generations.append(Generation(number, age_ms, *(max(0, count) * PAGE_SIZE for count in pages)))
    close()
    return found


def within(group: str) -> Callable[[str], bool]:
    """Whether a path is that of a group or of one below it."""
    below = group.rstrip("/") + "/"
    return lambda path: (path.rstrip("/") + "/").startswith(below)


def read(path: Path = LRU_GEN) -> list[NodeLru]:
    """All groups and nodes. Raises OSError."""
    return parse(read_bytes(path))


def age(one: NodeLru, path: Path = LRU_GEN) -> bool:
    """Have the kernel begin a new generation of one group on one node: anonymous pages too, without swap as well, and
    no page table left out. False where somebody else did meanwhile, or the group is gone. Raises OSError."""
    command = f"+ {one.memcg} {one.node} {one.generations[-1].number} 1 1"
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, command.encode())
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.EINVAL, errno.ERANGE}:
            return False
        raise
    finally:
        os.close(fd)
    return True


def lacks(sys: Path = SYS, path: Path | None = None) -> tuple[str, str] | None:
    """What is missing to see and age generations, and what to do about it, as parts of a sentence; None for nothing."""
    path = sys / "kernel/debug/lru_gen" if path is None else path
    try:
        enabled = int(read_bytes(sys / _ENABLED), 16)
    except (OSError, ValueError):
        return "this kernel has no multi-generational LRU", "boot one built with CONFIG_LRU_GEN=y (Linux 6.1)"
    if not enabled & _ON:
        return "the multi-generational LRU is switched off", _SWITCH_ON
    if not enabled & _WALK:
        why = (
            "aging of the multi-generational LRU does not look at page tables, so all memory would seem idle"
        )
        never = "the processor does not set accessed bits, and this way cannot be used"
        return why, f"{_SWITCH_ON}; if {sys / _ENABLED} does not have the bit 0x0002 then, {never}"
    if os.access(path, os.R_OK | os.W_OK):
        return None
    if os.geteuid():
        return f"{path} is kept from you", _AS_ROOT
    return f"{path} cannot be written", f"mount -t debugfs none {path.parent}, and boot without lockdown"


def require() -> None:
    """Raises NotSupported where generations cannot be seen and aged, NotPermitted where root alone can; with what to
    do."""
    if (lacking := lacks()) is not None:
        raise (NotPermitted if lacking[1] == _AS_ROOT else NotSupported)("; ".join(lacking) + ".")
