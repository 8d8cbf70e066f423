"""A ring is a stranger's word: what is right is read, anything else is a BrokenRing and nothing worse."""

from __future__ import annotations

import os
import random
import struct

import pytest

from tests.unit.sites.rings import CAPACITY, F_SEAL_SHRINK, F_SEAL_WRITE, FakeRing
from udamon.native._native import RING_HEAD
from udamon.sites.ring import Allocated, BrokenRing, Freed, Losses, Module, PythonCall, Ring, Stack


def test_records_in_order_and_around_the_end() -> None:
    fake = FakeRing().sealed()
    ring = Ring(os.dup(fake.fd))
    expected = []
    for number in range(1, 4000):
        fake.allocated(number, 4096 * number, 64, 64, 7)
        fake.freed(number, 4096 * number)
        expected += [Allocated(number, 4096 * number, 64, 64, 7), Freed(number, 4096 * number)]
        if number % 300 == 0:
            assert list(ring.take()) == expected
            assert struct.unpack("=Q", os.pread(fake.fd, 8, 192)) == (fake.written,)
            expected = []
    assert fake.written > 3 * CAPACITY


def test_stacks_modules_and_losses() -> None:
    fake = FakeRing().sealed()
    fake.record(3, struct.pack("=4Q", 9, 2, 100, 200))
    fake.record(4, struct.pack("=5Q", 4096, 8192, 4096, 3, 5) + b"abc/a\xff\xfeb")
    fake.put(56, struct.pack("=3Q", 1, 2, 1 << 63))
    ring = Ring(fake.fd)
    assert list(ring.take()) == [Stack(9, (100, 200)), Module(4096, 8192, 4096, b"abc", "/a\udcff\udcfeb")]
    assert ring.losses == Losses(1, 2, 1 << 62)
    assert list(ring.take()) == []


def test_calls_of_python() -> None:
    fake = FakeRing().sealed()
    fake.record(5, struct.pack("=4Q", 1 << 63 | 9, 12, 5, 4) + "zähle.py".encode()[:5] + b"a.p\xff")
    fake.put(80, struct.pack("=2Q", 0x030B07F0, 1))
    ring = Ring(fake.fd)
    assert (ring.python, ring.python_told) == (0x030B07F0, True)
    assert list(ring.take()) == [PythonCall(1 << 63 | 9, 12, "zähl", "a.p\udcff")]


def test_a_record_that_is_not_there_yet_is_waited_for() -> None:
    """A few times: its words may be seen later than the count."""
    fake = FakeRing().sealed()
    ring = Ring(fake.fd)
    fake.count(56)
    assert list(ring.take()) == []
    fake.allocated(1, 4096, 64, 64, 7)
    assert len(list(ring.take())) == 1
    fake.count(fake.written + 56)
    taken = [list(ring.take()) for _ in range(8)]
    assert taken == [[]] * 8
    with pytest.raises(BrokenRing, match="not where"):
        list(ring.take())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (1, struct.pack("=5Q", 1, 0, 64, 64, 7)),  # nowhere
        (1, struct.pack("=5Q", 1, 4096, 0, 64, 7)),  # of no size
        (1, struct.pack("=5Q", 1, (1 << 64) - 8, 64, 64, 7)),  # past the end of all addresses
        (1, struct.pack("=5Q", 1 << 63, 4096, 64, 64, 7)),  # at an impossible time
        (1, struct.pack("=4Q", 1, 4096, 64, 64)),
        (2, struct.pack("=2Q", 1, 0)),
        (3, struct.pack("=2Q", 9, 1 << 40)),
        (3, struct.pack("=3Q", 0, 1, 5)),
        (3, struct.pack("=2Q", 9, 0)),
        (4, struct.pack("=5Q", 4096, 4096, 0, 0, 0)),
        (5, struct.pack("=4Q", 9, 12, 0, 0)),  # the hash of no call of Python
        (5, struct.pack("=4Q", 1 << 63, 1 << 31, 0, 0)),
        (5, struct.pack("=4Q", 1 << 63, 12, 8, 0)),  # longer than the record
        (5, struct.pack("=4Q", 1 << 63, 12, 1 << 63, 1 << 63)),
        (5, struct.pack("=4Q", 1 << 63, 12, 513, 0) + bytes(520)),  # longer than the library writes
        (5, struct.pack("=4Q", 1 << 63, 12, 0, 1025) + bytes(1032)),
        (4, struct.pack("=5Q", 4096, 8192, 0, 64, 4096)),
        (4, struct.pack("=5Q", 4096, 8192, 0, 1 << 60, 0)),
        (5, b""),
        (0, b""),
    ],
)
def test_impossible_records(kind: int, body: bytes) -> None:
    fake = FakeRing().sealed()
    fake.record(kind, body)
    with pytest.raises(BrokenRing):
        list(Ring(fake.fd).take())


def test_a_ring_that_cannot_be_written() -> None:
    """Sealed by its process: nobody can say how much of it was taken."""
    fake = FakeRing()
    fake.freed(1, 4096)
    with pytest.raises(BrokenRing, match="cannot be written"):
        list(Ring(fake.sealed(F_SEAL_SHRINK | F_SEAL_WRITE).fd).take())


@pytest.mark.parametrize("length", [8, 12, 17, 1 << 31, CAPACITY])
def test_impossible_lengths(length: int) -> None:
    fake = FakeRing().sealed()
    fake.record(2, struct.pack("=2Q", 1, 4096), length=length)
    with pytest.raises(BrokenRing):
        list(Ring(fake.fd).take())


@pytest.mark.parametrize("written", [CAPACITY + 8, (1 << 64) - 8, 3])
def test_impossible_counts(written: int) -> None:
    fake = FakeRing().sealed()
    fake.count(written)
    with pytest.raises(BrokenRing):
        list(Ring(fake.fd).take())


def test_what_is_no_ring() -> None:
    """A memfd that may shrink, a file, a pipe, a wrong head, one that is short."""
    ends = os.pipe()
    wrong = FakeRing()
    wrong.put(8, struct.pack("=Q", 1 << 60))
    short = FakeRing()
    os.ftruncate(short.fd, RING_HEAD)
    for fd in (
        FakeRing().fd,
        os.open("/proc/self/exe", os.O_RDONLY),
        *ends,
        wrong.sealed().fd,
        short.sealed().fd,
    ):
        with pytest.raises(BrokenRing):
            Ring(fd)
        os.close(fd)


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes(seed: int) -> None:
    """Right rings with some bytes changed: read, or a BrokenRing."""
    dice = random.Random(seed)
    for _ in range(30):
        fake = FakeRing()
        for number in range(1, 50):
            fake.allocated(number, 4096 * number, 64, 64, 7)
            fake.record(3, struct.pack("=3Q", number, 1, 5))
        for _ in range(dice.randint(1, 6)):
            at = dice.choice([dice.randrange(200), RING_HEAD + dice.randrange(4000)])
            fake.put(at, bytes([dice.randrange(256)]))
        try:
            ring = Ring(fake.sealed().fd)
            assert all(record is not None for record in ring.take())
            assert len(ring.losses) == 3
        except BrokenRing:
            pass
        os.close(fake.fd)
