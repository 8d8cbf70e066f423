"""Rings as native/sites/ring.c makes them, and as it does not."""

from __future__ import annotations

import fcntl
import os
import struct

from udamon.native._native import RING_HEAD

CAPACITY = 1 << 16
F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_WRITE = 1033, 2, 8


class FakeRing:
    """A ring that a test writes; `fd` goes to whoever reads it."""

    def __init__(self, *, mean: int = 4096, number: int = 5, parent: int = 0, parent_ns: int = 0) -> None:
        self.fd = os.memfd_create("ring", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, RING_HEAD + CAPACITY)
        self.written = 0
        self.put(0, struct.pack("=8s6Q", b"UDMSITE1", CAPACITY, mean, number, parent, parent_ns, 1))

    def sealed(self, seals: int = F_SEAL_SHRINK) -> FakeRing:
        fcntl.fcntl(self.fd, F_ADD_SEALS, seals)
        return self

    def put(self, at: int, data: bytes) -> None:
        os.pwrite(self.fd, data, at)

    def record(
        self, kind: int, body: bytes, *, position: int | None = None, length: int | None = None
    ) -> None:
        body += bytes(-len(body) % 8)
        size = 16 + len(body)
        where = self.written if position is None else position
        data = struct.pack("=IIQ", kind, size if length is None else length, where) + body
        at = self.written % CAPACITY
        first = min(size, CAPACITY - at)
        self.put(RING_HEAD + at, data[:first])
        self.put(RING_HEAD, data[first:])
        self.written += size
        self.count(self.written)

    def count(self, written: int) -> None:
        self.put(128, struct.pack("=Q", written))

    def allocated(self, *words: int) -> None:
        self.record(1, struct.pack("=5Q", *words))

    def freed(self, *words: int) -> None:
        self.record(2, struct.pack("=2Q", *words))
