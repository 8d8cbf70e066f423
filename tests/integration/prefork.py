"""A parent and workers that share memory, as a program of its own: the tests' own memory is not in them.

python -m tests.integration.prefork WORKERS SHARED_HOT COW_HOT OWN_HOT APART

All workers touch SHARED_HOT bytes of shared memory and COW_HOT of what they inherited, each the same ones or (APART 1)
its own part; and each OWN_HOT bytes of its own, and as much of each is cold. Prints their pids, and ends them when
standard input does.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time


def area(kind: int, size: int) -> mmap.mmap:
    memory = mmap.mmap(-1, size, kind | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    fill(memory, 0, size)
    return memory


def fill(memory: mmap.mmap, begin: int, end: int) -> None:
    for page in range(begin, end, mmap.PAGESIZE):
        memory[page] = 1


def read(memory: mmap.mmap, begin: int, end: int) -> None:
    for page in range(begin, end, mmap.PAGESIZE):
        memory[page]


def main(workers: int, shared_hot: int, cow_hot: int, own_hot: int, apart: int) -> None:
    shared, cow = area(mmap.MAP_SHARED, 2 * shared_hot), area(mmap.MAP_PRIVATE, 2 * cow_hot)
    pids = []
    try:
        for worker in range(workers):
            if (pid := os.fork()) == 0:
                parts = []
                for size in (shared_hot, cow_hot):
                    step = size // workers // mmap.PAGESIZE * mmap.PAGESIZE
                    parts.append((worker * step, (worker + 1) * step) if apart else (0, size))
                work(area(mmap.MAP_PRIVATE, 2 * own_hot), own_hot, (shared, *parts[0]), (cow, *parts[1]))
            pids.append(pid)
        print(*pids, flush=True)
        sys.stdin.read()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def work(own: mmap.mmap, own_hot: int, *inherited: tuple[mmap.mmap, int, int]) -> None:
    """For ever, or until the parent ends."""
    parent = os.getppid()
    while os.getppid() == parent:
        for memory, begin, end in inherited:
            read(memory, begin, end)
        fill(own, 0, own_hot)
        time.sleep(0.05)
    os._exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
