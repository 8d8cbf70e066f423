"""process_madvise(2): advice about the memory of another process, which a pidfd names (Linux 5.10).

A call takes at most 1024 vectors and about 2 GiB. It works them off in order and stops at the first that
fails: it answers the bytes before that one, or the error where that one was the first. A hole in a vector
makes it fail, although the rest of it is worked off. All of a call holds the target's mapping lock for
reading: its page faults go on, its mmap and munmap wait.
"""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from udamon.linux.open_files import refuse_if_full
from udamon.linux.procfs import ProcessId, is_alive, read_bytes
from udamon.linux.roots import PROC
from udamon.linux.syscall import system_call
from udamon.model import Range

WILLNEED, COLD, PAGEOUT, COLLAPSE = 3, 20, 21, 25
"""MADV_… of linux/mman.h: all that a kernel takes for another process."""

MAX_VECTORS = 1024
PROCESS_MADVISE = 440
"""Its number, on all machines."""


def open_process(process: ProcessId, root: Path = PROC) -> int:
    """A pidfd that surely is of `process` as `root` shows it; it is closed on exec.

    Raises OSError: ESRCH when it is gone, or its number is another process's in this pid namespace.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except OSError as error:
        refuse_if_full(error)
        raise
    try:
        # Compared after opening: a reused pid cannot slip in.
        if _number_of(fd, root) != process.pid or not is_alive(process, root):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _number_of(pidfd: int, root: Path) -> int:
    """The pid of a process in the namespace of `root`, which need not be ours; 0 where it has none there."""
    for line in read_bytes(root / "self" / "fdinfo" / str(pidfd)).splitlines():
        if line.startswith(b"Pid:"):
            return int(line.split()[1])
    return 0


def advise(pidfd: int, vectors: Sequence[Range], advice: int) -> int:
    """Bytes that were advised: fewer than asked for where a vector failed. 1 to 1024 vectors.

    Raises OSError where the first fails: ESRCH (gone), EPERM (no CAP_SYS_NICE, or may not be traced), ENOMEM
    (a hole), EINVAL (of a kind that does not take this advice); EAGAIN, EBUSY, ENOMEM or EINVAL where a
    range cannot be collapsed now.
    """
    if not 0 < len(vectors) <= MAX_VECTORS:
        raise ValueError(f"process_madvise takes 1 to {MAX_VECTORS} vectors, not {len(vectors)}")
    words = array("Q", bytes(16 * len(vectors)))
    words[0::2] = array("Q", [r.start for r in vectors])
    words[1::2] = array("Q", [r.size for r in vectors])
    return system_call(PROCESS_MADVISE, pidfd, words.buffer_info()[0], len(vectors), advice, 0)
