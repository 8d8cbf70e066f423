"""Page maps as runs: the format, against the plainest reading of it; and on this machine, against itself."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linux.test_fake import FakeProc
from udamon.linux import pagemap, pagemap_scan
from udamon.linux.held import Held
from udamon.linux.pagemap import PRESENT, SOFT_DIRTY, SWAPPED, Run, open_page_map, parse_runs, read_runs
from udamon.linux.pagemap_scan import NoScan, scan_runs
from udamon.linux.procfs import ProcessId, read_stat
from udamon.model import PAGE_SIZE, Range
from udamon.native import _native

ENTRIES = st.lists(
    st.builds(
        lambda state, dirty, rest: state << 62 | dirty << 55 | rest & ~(7 << 61 | 1 << 55 | 1 << 62),
        st.sampled_from([0, 0, 1, 2]),
        st.booleans(),
        st.integers(0, 2**61 - 1),
    ),
    max_size=60,
)


def plainly(entries: list[int], start: int) -> list[Run]:
    runs: list[Run] = []
    for number, entry in enumerate(entries):
        categories = PRESENT * (entry >> 63 & 1) | SWAPPED * (entry >> 62 & 1)
        if not categories:
            continue
        categories |= SOFT_DIRTY * (entry >> 55 & 1)
        address = start + number * PAGE_SIZE
        if runs and (runs[-1].end, runs[-1].categories) == (address, categories):
            address = runs.pop().start
        runs.append(Run(address, start + (number + 1) * PAGE_SIZE, categories))
    return runs


@given(ENTRIES, st.integers(0, 2**47 // PAGE_SIZE))
def test_runs_are_those_of_the_plainest_reading(entries: list[int], page: int) -> None:
    """Whatever the other bits are: frames, file, exclusive, write-protected."""
    data = struct.pack(f"={len(entries)}Q", *entries)
    assert list(parse_runs(data, page * PAGE_SIZE)) == plainly(entries, page * PAGE_SIZE)


def test_reading_goes_in_chunks_to_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges grow to whole pages; beyond the end of the page map there is nothing."""
    monkeypatch.setattr(pagemap, "_CHUNK", 3)
    fake = FakeProc(tmp_path)
    process = fake.process(7)
    entries = [1 << 63] * 10 + [0] * 3 + [1 << 62 | 1 << 55]
    (tmp_path / "7/pagemap").write_bytes(struct.pack(f"={len(entries)}Q", *entries))
    fd = open_page_map(process, tmp_path)
    try:
        found = list(read_runs(fd, [Range(PAGE_SIZE + 1, 2 * PAGE_SIZE + 1), Range(8 * PAGE_SIZE, 1 << 47)]))
    finally:
        os.close(fd)
    assert found == [
        (PAGE_SIZE, 3 * PAGE_SIZE, PRESENT),
        (8 * PAGE_SIZE, 10 * PAGE_SIZE, PRESENT),
        (13 * PAGE_SIZE, 14 * PAGE_SIZE, SWAPPED | SOFT_DIRTY),
    ]


def test_another_process_of_the_same_pid_is_refused(tmp_path: Path) -> None:
    FakeProc(tmp_path).process(7, start_time=2)
    with pytest.raises(ProcessLookupError):
        open_page_map(ProcessId(7, 1), tmp_path)


def test_a_page_map_that_cannot_scan_says_so_before_the_first_run(tmp_path: Path) -> None:
    """What an older kernel does: the request is unknown."""
    (tmp_path / "pagemap").write_bytes(bytes(80))
    with open(tmp_path / "pagemap", "rb") as file, pytest.raises(NoScan):
        next(scan_runs(file.fileno(), [Range(0, 4096)], PRESENT, PRESENT))


def test_other_errors_of_the_scan_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> int:
        raise ProcessLookupError(errno.ESRCH, "gone")

    monkeypatch.setattr(fcntl, "ioctl", gone)
    with pytest.raises(ProcessLookupError):
        next(scan_runs(0, [Range(0, 4096)], PRESENT, PRESENT))


def test_addresses_that_no_process_can_have_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of them arm64's kernel leaves out the topmost byte: it would answer for other ones, or for none."""
    tagged = Range(1 << 60, (1 << 60) + PAGE_SIZE)
    monkeypatch.setattr(os, "pread", lambda *_: struct.pack("=Q", 1 << 63))
    assert list(read_runs(0, [tagged])) == []
    monkeypatch.setattr(fcntl, "ioctl", lambda *_: 0)
    for range_ in (tagged, Range(0, 1 << 62)):
        with pytest.raises(OSError, match="no process has such addresses") as why:
            next(scan_runs(0, [range_], PRESENT, PRESENT))
        assert why.value.errno == errno.EFAULT


def test_the_scan_goes_on_where_the_last_run_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full answer is followed by another question; a stale walk_end is not believed."""
    asked = []

    def ioctl(fd: int, request: int, argument: bytearray) -> int:
        words = struct.unpack("12Q", argument)
        assert (request, words[0], words[10]) == (0xC0606610, 96, PRESENT)
        if not words[6]:
            return 0  # the probe
        asked.append((words[2], words[3]))
        return 2 if len(asked) < 3 else 1

    class Memory:
        """What the kernel would have written at the address it was given."""

        def __init__(self, *_: object) -> None:
            self.at = 0

        def buffer_info(self) -> tuple[int, int]:
            return 0, 0

        def __getitem__(self, part: slice) -> list[int]:
            self.at += 16 * PAGE_SIZE
            return [self.at, self.at + PAGE_SIZE, 8, self.at + 2 * PAGE_SIZE, self.at + 3 * PAGE_SIZE, 8][
                part
            ]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(pagemap_scan, "array", Memory)
    monkeypatch.setattr(pagemap_scan, "_RUNS", 2)
    found = list(scan_runs(0, [Range(1, 144 * PAGE_SIZE + 1)], PRESENT, PRESENT))
    assert asked == [(first * PAGE_SIZE, 145 * PAGE_SIZE) for first in (0, 19, 35)]
    assert [run.start // PAGE_SIZE for run in found] == [16, 18, 32, 34, 48]


def test_a_scan_gives_the_lock_back_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call ends after a number of pages: fewer after one that took long, more after a short one."""
    limits, clock = [], iter(range(0, 10**12, 4_000_000))  # each call takes 4 ms

    def ioctl(fd: int, request: int, argument: bytearray) -> int:
        words = struct.unpack("12Q", argument)
        if not words[6]:
            return 0  # the probe
        limits.append(words[7])
        return 1 if len(limits) < 6 else 0

    class Memory:
        """All the pages that were asked for, each time."""

        def __init__(self, *_: object) -> None:
            self.at = 0

        def buffer_info(self) -> tuple[int, int]:
            return 0, 0

        def __getitem__(self, part: slice) -> list[int]:
            if len(limits) == 6:
                return []
            self.at = len(limits) << 32
            return [self.at, self.at + limits[-1] * PAGE_SIZE, 8][part]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    monkeypatch.setattr(pagemap_scan, "array", Memory)
    monkeypatch.setattr("time.monotonic_ns", lambda: next(clock))
    held = Held()
    found = list(scan_runs(0, [Range(0, 1 << 46)], PRESENT, PRESENT, longest_ns=5_000_000, held=held))
    assert limits == [4096, 2048, 1024, 512, 256, 256]
    assert len(found) == 5
    assert held.longest_ns == 4_000_000
    limits.clear()
    list(scan_runs(0, [Range(0, 1 << 46)], PRESENT, PRESENT, longest_ns=100_000_000))
    assert limits == [4096, 8192, 16384, 32768, 65536, 131072]


@pytest.fixture
def own() -> Iterator[int]:
    fd = open_page_map(read_stat(os.getpid()).id)
    yield fd
    os.close(fd)


@pytest.mark.needs("pagemap_scan")
def test_scan_and_read_agree_on_this_machine(own: int) -> None:
    """More runs than one answer holds."""
    pages = 9000
    with mmap.mmap(-1, pages * PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        for page in range(0, pages, 2):
            area[page * PAGE_SIZE] = 1
        start = _native.address_of(area)
        where = [Range(start, start + pages * PAGE_SIZE)]
        scanned = list(scan_runs(own, where, PRESENT, PRESENT))
        read = list(read_runs(own, where))
    assert len(scanned) == pages // 2
    assert [run[:2] for run in scanned] == [run[:2] for run in read]
