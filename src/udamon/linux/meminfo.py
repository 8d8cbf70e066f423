"""How much memory there is and what it is used for: of the system, of a NUMA node, and which frames a node has."""

from __future__ import annotations

import re
from pathlib import Path

from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC, SYS
from udamon.model import PAGE_SIZE, Range

_LINE = re.compile(rb"^(?:Node +[0-9]+ +)?([A-Za-z_()]+): +([0-9]+) kB$", re.MULTILINE)
_ZONE = re.compile(rb"^Node +([0-9]+), zone[^\n]*\n(.*?)(?=^Node |\Z)", re.MULTILINE | re.DOTALL)
_SPANNED = re.compile(rb"^ +spanned +([0-9]+)$", re.MULTILINE)
_START = re.compile(rb"^ +start_pfn: +([0-9]+)$", re.MULTILINE)


def read_meminfo(root: Path = PROC) -> dict[str, int]:
    """/proc/meminfo by name, in bytes. Raises OSError."""
    return parse_meminfo(read_bytes(root / "meminfo"))


def read_node_meminfo(node: int, root: Path = SYS) -> dict[str, int]:
    """The same names of one node. Raises OSError; FileNotFoundError where there is no such node."""
    return parse_meminfo(read_bytes(root / f"devices/system/node/node{node}/meminfo"))


def parse_meminfo(data: bytes) -> dict[str, int]:
    """Bytes by name, from /proc/meminfo or the file of a node."""
    return {name.decode(): int(kib) << 10 for name, kib in _LINE.findall(data)}


def node_memory(node: int, root: Path = PROC) -> list[Range]:
    """Physical addresses that the zones of a node span, by /proc/zoneinfo. Holes and, on rare machines, memory of
    other nodes lie in them. Empty where there is no such node. Raises OSError."""
    found = []
    for number, zone in _ZONE.findall(read_bytes(root / "zoneinfo")):
        spanned, start = _SPANNED.search(zone), _START.search(zone)
        if int(number) == node and spanned and start and int(spanned[1]):
            first = int(start[1]) * PAGE_SIZE
            found.append(Range(first, first + int(spanned[1]) * PAGE_SIZE))
    return sorted(found)
