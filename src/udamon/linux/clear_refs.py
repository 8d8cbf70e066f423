"""/proc/PID/clear_refs: forget which pages of a process were accessed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from udamon.linux.procfs import ProcessId, open_of
from udamon.linux.roots import PROC


def clear_referenced(process: ProcessId, *, flush: bool = False, root: Path = PROC) -> None:
    """Clear the accessed bits and the pages' referenced flags; the target's mapping lock is held meanwhile.

    That alone does not flush the TLB. `flush` does, by clearing soft-dirty bits too: only where the kernel
    has none (features.soft_dirty), or every page costs the target a fault at its next write. Raises OSError.
    """
    fd = open_of(process, "clear_refs", os.O_WRONLY, root)
    try:
        os.write(fd, b"1")
        if flush:
            _flush(fd)
    finally:
        os.close(fd)


def clear_soft_dirty(process: ProcessId, root: Path = PROC) -> None:
    """Clear the soft-dirty bits, write-protect every page to see the next write, flush the TLB. Raises OSError."""
    fd = open_of(process, "clear_refs", os.O_WRONLY, root)
    try:
        os.write(fd, b"4")
    finally:
        os.close(fd)


def _flush(fd: int) -> None:
    try:
        os.write(fd, b"4")
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
        # a kernel that refuses what it cannot do: then the TLB stays as it is
