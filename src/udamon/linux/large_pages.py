"""Large pages of anonymous and shared memory: how small they may be, and how many the machine gave.

Of /sys/kernel/mm/transparent_hugepage, and /proc/vmstat before Linux 6.10.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC, SYS
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE


def smallest_large_page(root: Path = SYS) -> int:
    """Bytes: the smallest size that the kernel may give to anonymous memory, or that it has from earlier.

    That of a huge page where no smaller one is in use: a huge page may have been mapped in small ones since.
    """
    return min([HUGE_PAGE_SIZE, *_in_use(root / "kernel/mm/transparent_hugepage")])


_FAULTED = re.compile(rb"^thp_(?:fault|file)_alloc ([0-9]+)$", re.MULTILINE)


def large_pages_given(sys: Path = SYS, proc: Path = PROC) -> int:
    """Bytes of large pages that page faults of the whole machine were given since it started; 0 where there are none.

    A fault that one of them serves is one fault all the same.
    """
    by_size = 0
    for directory in (sys / "kernel/mm/transparent_hugepage").glob("hugepages-*kB"):
        if (size := re.fullmatch(r"hugepages-(\d+)kB", directory.name)) is not None:
            for kind in ("anon_fault_alloc", "shmem_alloc"):
                with suppress(OSError, ValueError):
                    by_size += (int(size[1]) << 10) * int((directory / "stats" / kind).read_text())
    huge = 0
    with suppress(OSError):
        huge = sum(map(int, _FAULTED.findall(read_bytes(proc / "vmstat")))) * HUGE_PAGE_SIZE
    return max(by_size, huge)  # the one has more sizes, the other is there on all kernels


def _in_use(place: Path) -> Iterator[int]:
    always = _chosen(place / "enabled") != "never"
    for directory in place.glob("hugepages-*kB"):
        size = re.fullmatch(r"hugepages-(\d+)kB", directory.name)
        chosen = _chosen(directory / "enabled")
        there = False
        with suppress(OSError, ValueError):
            there = int((directory / "stats/nr_anon").read_text()) > 0
        # Sizes of shared memory alone (8 KiB) have no such file.
        if size and (there or (always if chosen == "inherit" else chosen not in ("never", ""))):
            bytes_ = int(size[1]) << 10
            if bytes_ >= 2 * PAGE_SIZE:
                yield bytes_


def _chosen(path: Path) -> str:
    """The word in brackets; "" where there is none."""
    with suppress(OSError):
        if (found := re.search(r"\[(\w+)\]", path.read_text())) is not None:
            return found[1]
    return ""
