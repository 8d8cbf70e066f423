"""The C loop that touches memory: what it accesses, how it shares, how it ends."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import time
from array import array
from pathlib import Path
from types import FrameType

import pytest

from udamon.native import _native

PAGE = 4096
READ, WRITE, BOTH = 1, 2, 3
Row = tuple[int, int, int, int, float, bool, int]


def touch(
    memory: bytearray | mmap.mmap, *rows: Row, ms: float = 5, rate: float = 0.0, at: array[int] | None = None
) -> list[int]:
    cursors = array("Q", [0, 0]) if at is None else at
    return _native.touch(memory, rows, cursors, time.monotonic_ns() + round(ms * 1e6), rate, 1)


def test_sequential_access_goes_by_the_stride_and_stays_inside() -> None:
    memory = bytearray(10 * PAGE)
    (count,) = touch(memory, (PAGE, 3 * PAGE, 0, PAGE, 1.0, False, WRITE))
    assert count > 1000
    assert [i for i, byte in enumerate(memory) if byte] == [PAGE, 2 * PAGE, 3 * PAGE]


def test_the_cursor_is_the_regions_and_keeps_its_place() -> None:
    memory, at = bytearray(100_000), array("Q", [0, 0])
    (count,) = touch(memory, (0, 100_000, 1, 7, 1.0, False, WRITE), at=at)
    laps = -(-100_000 // 7)  # a lap begins at 0 again
    assert list(at) == [0, count % laps * 7]
    before = at[1]
    (count,) = touch(memory, (0, 100_000, 1, 7, 1.0, False, READ), at=at)
    assert at[1] == (before // 7 + count) % laps * 7


def test_random_access_reaches_every_place_and_no_other() -> None:
    memory = bytearray(64 * PAGE + 100)
    touch(memory, (100, 64 * PAGE, 0, 2 * PAGE, 1.0, True, BOTH), ms=20)
    assert all(byte == 0 for i, byte in enumerate(memory) if (i - 100) % (2 * PAGE))
    touched = bytearray(64 * PAGE + 100)
    touch(touched, (100, 64 * PAGE, 0, 2 * PAGE, 1.0, True, WRITE))
    assert [touched[100 + i * 2 * PAGE] for i in range(32)] == [1] * 32


def test_reading_changes_nothing() -> None:
    memory = bytearray(b"x" * PAGE)
    assert touch(memory, (0, PAGE, 0, 1, 1.0, True, READ), (0, PAGE, 1, 1, 1.0, False, READ))[0] > 0
    assert memory == b"x" * PAGE


def test_accesses_are_shared_by_weight() -> None:
    memory = bytearray(PAGE)
    row: Row = (0, PAGE, 0, 64, 3.0, True, READ)
    many, few, none = touch(memory, row, (*row[:4], 1.0, False, READ), (*row[:4], 0.0, True, READ), ms=20)
    assert many == pytest.approx(3 * few, abs=4)
    assert none == 0


def waited_s() -> float:
    """For how long this thread was ready to run, and had no processor."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


def test_a_rate_is_kept() -> None:
    memory = bytearray(PAGE)
    row: Row = (0, PAGE, 0, 64, 1.0, True, READ)
    before = waited_s()
    touched = sum(touch(memory, row, row, ms=200, rate=1e6))
    had = max(
        0.0, 1 - (waited_s() - before) / 0.2
    )  # the share of the time in which there was a processor for it
    assert 0.8 * had * 200_000 <= touched <= 1.2 * 200_000
    assert sum(touch(memory, *[row] * 64, ms=200, rate=500.0)) <= 100  # well below one a round for each


def test_nothing_to_do_still_takes_the_time() -> None:
    for rows in ((), ((0, 1, 0, 1, 0.0, True, READ),)):
        begin = time.monotonic()
        assert sum(touch(bytearray(1), *rows, ms=70)) == 0
        assert time.monotonic() - begin >= 0.07


def test_a_deadline_in_the_past_touches_nothing() -> None:
    assert touch(bytearray(1), (0, 1, 0, 1, 1.0, True, WRITE), ms=-1) == [0]


@pytest.mark.parametrize(
    "row",
    [
        (0, 0, 0, 1, 1.0, True, READ),
        (0, PAGE + 1, 0, 1, 1.0, True, READ),
        (PAGE, 1, 0, 1, 1.0, True, READ),
        (2**64 - 1, 2, 0, 1, 1.0, True, READ),
        (0, 1, 2, 1, 1.0, True, READ),
        (0, 1, 0, 0, 1.0, True, READ),
        (0, 1, 0, 1, -1.0, True, READ),
        (0, 1, 0, 1, float("nan"), True, READ),
        (0, 1, 0, 1, 1.0, True, 0),
        (0, 1, 0, 1, 1.0, True, 4),
    ],
)
def test_what_does_not_fit_is_refused(row: Row) -> None:
    with pytest.raises(ValueError, match="outside the memory"):
        touch(bytearray(PAGE), row)


def test_wrong_types_are_refused() -> None:
    for memory, rows in ((b"read only", ()), (bytearray(1), ([],)), (bytearray(1), ((1,),))):
        with pytest.raises((TypeError, BufferError)):
            _native.touch(memory, rows, array("Q", [0]), 0, 0.0, 0)  # type: ignore[arg-type]


class Alarm(Exception):
    pass


def test_a_signal_handler_ends_it() -> None:
    def ring(number: int, frame: FrameType | None) -> None:
        raise Alarm

    def touches() -> None:
        with subprocess.Popen(["sh", "-c", f"sleep 0.05; kill -USR1 {os.getpid()}"]):
            # Longer than the time that a test has: without the signal that one ends it.
            touch(bytearray(PAGE), (0, PAGE, 0, 1, 1.0, True, READ), ms=1_000_000)

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with pytest.raises(Alarm):
            touches()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_sweep_of_250_mib_is_short() -> None:
    size = 250 << 20
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        _native.populate(memory, 0, size)
        begin = time.thread_time()
        (count,) = touch(memory, (0, size, 0, PAGE, 1.0, False, READ), ms=500)
        had = time.thread_time() - begin
    assert count
    assert had / (count / (size // PAGE)) < 0.1  # seconds of a processor for a sweep; it takes 2 ms


def test_populate_writes_every_page_of_a_part() -> None:
    memory = bytearray(5 * PAGE)
    _native.populate(memory, PAGE, 2 * PAGE + 1)
    assert [i for i, byte in enumerate(memory) if byte] == [PAGE, 2 * PAGE, 3 * PAGE]
    with pytest.raises(ValueError, match="outside"):
        _native.populate(memory, PAGE, 5 * PAGE)


def test_guard_makes_pages_inaccessible() -> None:
    with mmap.mmap(-1, 3 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        start = _native.address_of(memory)
        _native.guard(memory, PAGE, PAGE)
        with open("/proc/self/maps") as maps:
            lines = [line for line in maps if line.startswith(f"{start + PAGE:x}-{start + 2 * PAGE:x} ---p")]
        assert len(lines) == 1
        with pytest.raises(ValueError, match="outside"):
            _native.guard(memory, 3 * PAGE, PAGE)
        with pytest.raises(OSError, match="Invalid argument"):
            _native.guard(memory, 1, PAGE)
