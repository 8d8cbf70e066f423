"""How small large pages of anonymous memory may be: /sys/kernel/mm/transparent_hugepage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from udamon.linux.roots import SYS
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE


def smallest_large_page(root: Path = SYS) -> int:
    """Bytes: the smallest size that the kernel may give unasked for, or that memory has from earlier.

    That of a huge page where no smaller one is in use: a huge page may have been mapped in small ones since.
    """
    return min([HUGE_PAGE_SIZE, *_in_use(root / "kernel/mm/transparent_hugepage")])


def _in_use(place: Path) -> Iterator[int]:
    always = _chosen(place / "enabled") != "never"
    for directory in place.glob("hugepages-*kB"):
        size = re.fullmatch(r"hugepages-(\d+)kB", directory.name)
        chosen = _chosen(directory / "enabled")
        there = False
        with suppress(OSError, ValueError):
            there = int((directory / "stats/nr_anon").read_text()) > 0
        if size and (there or (always if chosen == "inherit" else chosen != "never")):
            bytes_ = int(size[1]) << 10
            if bytes_ >= 2 * PAGE_SIZE:
                yield bytes_


def _chosen(path: Path) -> str:
    """The word in brackets; "" where there is none."""
    with suppress(OSError):
        if (found := re.search(r"\[(\w+)\]", path.read_text())) is not None:
            return found[1]
    return ""
