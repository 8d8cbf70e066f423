"""Page cache of a control group, and how much of it the kernel takes for hot: memory.stat, and lru_gen where it is.

Pages that are only read (read, sendfile) are not mapped, so no access bit tells of them; the kernel's own lists
do. lru_gen (Documentation/admin-guide/mm/multigen_lru.rst) has them by generation and age; memory.stat
(Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst) has those of the active list, where what was read more
than once stays until memory is short.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from udamon.linux.cgroup.groups import cgroup_mounts
from udamon.linux.cgroup.memory import memory_cgroup
from udamon.linux.lru_gen import LRU_GEN, parse, within
from udamon.linux.procfs import read_bytes
from udamon.linux.roots import PROC

YOUNGEST = 2
"""Generations that the kernel counts as active (min_lru_gen.h: MIN_NR_GENS)."""


class PageCache(NamedTuple):
    """Of a control group and all below it, in bytes: page cache without shared memory, what of it is mapped, what of it
    is hot by `source`, and what the kernel has for the group itself."""

    file: int
    mapped: int
    hot: int
    kernel: int
    source: str

    @property
    def only_read(self) -> int:
        """Hot page cache that is not mapped, at most."""
        return min(self.hot, max(0, self.file - self.mapped))


def place_of(path: str, root: Path = PROC) -> tuple[Path, str]:
    """The directory of the control group `path` in the memory controller's hierarchy, and its name within that. Raises
    NotSupported and CannotError as memory_cgroup."""
    directory = memory_cgroup(path, "memory.stat", root)
    point = next(mount.point for mount in cgroup_mounts(root) if directory.is_relative_to(mount.point))
    return directory, f"/{directory.relative_to(point)}".removesuffix("/.")


def page_cache(directory: Path, lru_gen: Path = LRU_GEN, inside: str | None = None) -> PageCache:
    """Of the control group at `directory`, called `inside` in its hierarchy. Raises OSError, ValueError."""
    stat = dict(
        line.split() for line in read_bytes(directory / "memory.stat").splitlines() if line.count(b" ") == 1
    )
    old = b"total_cache" in stat

    def of(new: bytes, older: bytes) -> int:
        return int(stat.get(older if old else new, b"0"))

    shared = of(b"shmem", b"total_shmem")
    kernel = int(stat.get(b"kernel", b"0"))
    if old:
        try:
            kernel = int(read_bytes(directory / "memory.kmem.usage_in_bytes"))
        except OSError:
            kernel = 0
    found = PageCache(
        max(0, of(b"file", b"total_cache") - shared), max(0, of(b"file_mapped", b"total_mapped_file") - shared),
        of(b"active_file", b"total_active_file"), kernel, "memory.stat",
    )  # fmt: skip
    if inside is None:
        return found
    try:
        hot = youngest_file_bytes(read_bytes(lru_gen), inside)
    except OSError:
        return found
    return found if hot is None else found._replace(hot=hot, source="lru_gen")


def youngest_file_bytes(data: bytes, inside: str) -> int | None:
    """File pages of the YOUNGEST generations of a group and all below it, on all nodes, in the text of lru_gen; None
    where the group is not in it."""
    wanted = within(inside)
    found = [one for one in parse(data) if wanted(one.path)]
    return sum(one.file for lru in found for one in lru.generations[-YOUNGEST:]) if found else None
