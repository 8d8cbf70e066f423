"""A program to watch: memory that is far larger, or far more scattered, than what is there of it.

KIND SIZE RESIDENT: `shadow` reserves SIZE bytes of anonymous memory and touches RESIDENT of them for ever, spread over
it; `pieces` maps RESIDENT bytes in pieces of 256 KiB anywhere in 47 bits, and touches half of them for ever; `file`
maps a sparse file (a fourth argument) of SIZE bytes and touches RESIDENT of it once, in runs of a fifth argument's
pages.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import time

PAGE, PIECE = 4096, 256 << 10
NORESERVE, FIXED_NOREPLACE, SHARED, PRIVATE, ANONYMOUS = 0x4000, 0x100000, 0x01, 0x02, 0x20

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
NO_HUGE, RANDOM = 15, 1


def touch(addresses: list[int], size: int) -> None:
    for address in addresses:
        libc.memset(address, 1, size)


def main() -> None:
    kind, size, resident = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng, again, unit = random.Random(1), [], PIECE
    if kind == "shadow":
        base = libc.mmap(None, size, 3, PRIVATE | ANONYMOUS | NORESERVE, -1, 0)
        libc.madvise(base, size, NO_HUGE)
        again = [base + number * (size // (resident // PIECE)) for number in range(resident // PIECE)]
        print(base, base + size, flush=True)
    elif kind == "pieces":
        pieces: list[int] = []
        while len(pieces) * PIECE < resident:
            hint = rng.randrange(1 << 32, (1 << 47) - (1 << 40)) // PIECE * PIECE
            found = libc.mmap(hint, PIECE, 3, PRIVATE | ANONYMOUS | FIXED_NOREPLACE, -1, 0)
            if found == hint:
                pieces.append(hint)
        touch(pieces, PIECE)
        again = pieces[::2]
        print(pieces[0], pieces[0], flush=True)
    else:
        run = int(sys.argv[5]) * PAGE
        fd = os.open(sys.argv[4], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.ftruncate(fd, size)
        os.unlink(sys.argv[4])
        base = libc.mmap(None, size, 1, SHARED, fd, 0)
        libc.madvise(base, size, RANDOM)
        for number in range(resident // run):
            start = base + (size // (resident // run)) * number // PAGE * PAGE
            for address in range(start, start + run, PAGE):
                ctypes.string_at(address, 1)
        print(base, base + size, flush=True)
    while True:
        touch(again, unit)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
