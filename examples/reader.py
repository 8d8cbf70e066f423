#!/usr/bin/env python3
"""Maps a file of 128 MiB as two halves, reads both once, and then the first again and again: the other is cold.

Each half is a mapping of its own, so that a monitor that sees nothing finer than mappings can tell them apart. The
file lies in /var/tmp, or in the directory that is given (one on a disk: what is in memory cannot go back to its
file), and has no name, so nothing is left of it. Needs nothing but Python and Linux.
"""

import mmap
import os
import sys
import tempfile
import time

HALF = 64 << 20
PAGE = mmap.PAGESIZE


def read(half: mmap.mmap) -> None:
    """Touch every page."""
    for at in range(0, HALF, PAGE):
        half[at]


with tempfile.TemporaryFile(dir=sys.argv[1] if len(sys.argv) > 1 else "/var/tmp") as file:
    for _ in range(2 * HALF >> 20):
        file.write(bytes(1 << 20))
    file.flush()
    os.fsync(file.fileno())  # pages that are not on the disk yet cannot leave memory
    used, unused = (mmap.mmap(file.fileno(), HALF, prot=mmap.PROT_READ, offset=at) for at in (0, HALF))
    # The kernel joins neighbours that are alike: this keeps the two apart, wherever it has put them.
    unused.madvise(mmap.MADV_RANDOM)
    read(unused)
    while True:
        read(used)
        time.sleep(0.02)
