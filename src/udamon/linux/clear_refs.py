"""/proc/PID/clear_refs: forget which pages of a process were accessed."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from udamon.linux.held import Held
from udamon.linux.procfs import ProcessId, open_of
from udamon.linux.roots import PROC
from udamon.linux.urgent import urgent


def clear_referenced(
    process: ProcessId,
    *,
    flush: bool = False,
    root: Path = PROC,
    held: Held | None = None,
    prioritized: bool = False,
) -> None:
    """Clear the accessed bits and the pages' referenced flags; the target's mapping lock is held meanwhile.

    That alone does not flush the TLB. `flush` does, by clearing soft-dirty bits too: only where the kernel
    has none (features.soft_dirty), or every page costs the target a fault at its next write. Raises OSError.
    """
    _write(process, (b"1", b"4") if flush else (b"1",), root, held or Held(), prioritized)


def clear_of_files(
    process: ProcessId, root: Path = PROC, *, held: Held | None = None, prioritized: bool = False
) -> None:
    """As `clear_referenced`, of mappings of files and of shared memory only. Raises OSError."""
    _write(process, (b"3",), root, held or Held(), prioritized)


def clear_soft_dirty(
    process: ProcessId, root: Path = PROC, *, held: Held | None = None, prioritized: bool = False
) -> None:
    """Clear the soft-dirty bits, write-protect every page to see the next write, flush the TLB. Raises OSError."""
    _write(process, (b"4",), root, held or Held(), prioritized)


def _write(process: ProcessId, kinds: Sequence[bytes], root: Path, held: Held, prioritized: bool) -> None:
    """`held` counts how long the lock was held; `prioritized`: as a real-time thread, which nothing preempts."""
    fd = open_of(process, "clear_refs", os.O_WRONLY, root)
    try:
        with urgent(prioritized), held.call():
            os.write(fd, kinds[0])
            if len(kinds) > 1:
                _flush(fd)
    finally:
        os.close(fd)


def _flush(fd: int) -> None:
    try:
        os.write(fd, b"4")
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
        # a kernel that refuses what it cannot do: then the TLB stays as it is
