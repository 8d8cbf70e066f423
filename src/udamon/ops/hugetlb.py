"""Which mappings are of hugetlb, without walking any page: by the file system that their file is of."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from udamon.linux.mounts import parse_mountinfo
from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import ProcessId, memory_directory, read_bytes
from udamon.linux.roots import PROC
from udamon.model import HUGE_PAGE_SIZE

_SIZES = ((HUGE_PAGE_SIZE.bit_length() - 1) << 26, 30 << 26)  # MFD_HUGE_…; log2 of the size, and of 1 GiB
_MFD_HUGETLB, _MFD_CLOEXEC = 4, 1


def hugetlb_devices(process: ProcessId, root: Path = PROC) -> frozenset[bytes]:
    """Devices of such file systems, as the lines of a process's maps name them."""
    return _internal() | _mounted(process, root)


def device_of(line: bytes) -> bytes:
    """The device that a line of a maps file names."""
    return line.split(None, 4)[3]


def left_out(pid: int, via: str) -> str:
    """A sentence for a process that uses such pages."""
    return f"process {pid} uses hugetlb pages, which {via} does not see: all figures leave such pages out."


@cache
def _internal() -> frozenset[bytes]:
    """Devices of the kernel's own mounts: of anonymous huge pages, System V memory, and memfd_create."""
    found = set()
    for size in _SIZES:
        try:
            fd = os.memfd_create("udamon", _MFD_HUGETLB | _MFD_CLOEXEC | size)
        except OSError as error:
            refuse_if_full(error)  # or the answer, which is kept, would be wrong for ever
            continue  # no hugetlb, or no pages of this size
        found.add(_device(os.fstat(fd).st_dev))
        os.close(fd)
    return frozenset(found)


def _mounted(process: ProcessId, root: Path) -> frozenset[bytes]:
    """Devices of those that the process may see mounted."""
    try:
        text = read_bytes(f"{memory_directory(process, root)}/mountinfo").decode(errors="surrogateescape")
    except OSError:
        return frozenset()
    return frozenset(_device(mount.device) for mount in parse_mountinfo(text) if mount.kind == "hugetlbfs")


def _device(number: int) -> bytes:
    return b"%02x:%02x" % (os.major(number), os.minor(number))
