"""PAGEMAP_SCAN: the page map asked for runs of pages, in time that holes hardly add to (Linux 6.7).

One walk of the page tables: empty parts are passed over a table at a time, so a terabyte that is reserved and
not used costs a few microseconds. The target's mapping lock is held for reading meanwhile: its page faults go
on, its mmap and munmap wait. So a walk ends after a number of pages that follows from how long the last one took.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from array import array
from collections.abc import Iterable, Iterator

from udamon.linux.held import Held
from udamon.linux.pagemap import Run
from udamon.model import PAGE_SIZE, USER_END, Range

_REQUEST = 0xC060_6610  # _IOWR('f', 16, struct pm_scan_arg), 96 bytes
_ARGUMENT = struct.Struct("12Q")
_WORDS = 3  # struct page_region: start, end, categories
_RUNS = 2048  # runs a call: 48 KiB
FIRST_PAGES, LEAST_PAGES = 1 << 12, 1 << 8
LONGEST_NS = 5_000_000
_UNKNOWN = {errno.ENOTTY, errno.EINVAL}


class NoScan(Exception):
    """This page map does not know PAGEMAP_SCAN, or not these categories: read it instead."""


def scan_runs(
    fd: int,
    ranges: Iterable[Range],
    any_of: int,
    tell: int,
    *,
    longest_ns: int = LONGEST_NS,
    held: Held | None = None,
) -> Iterator[Run]:
    """Runs of pages that are any of the categories `any_of`, in the order of the ranges (whole pages).

    A run's categories are cut down to `tell`. Neighbouring runs may be alike where a call ended. One call aims at half
    of `longest_ns` at most; `held` counts how long they were. Raises NoScan before the first run, and OSError (EFAULT
    for ranges no process can have).
    """
    held, pages = held or Held(), FIRST_PAGES
    _probe(fd, any_of, tell)
    found = array("Q", bytes(8 * _WORDS * _RUNS))
    address = found.buffer_info()[0]
    for start, end in ranges:
        position, last = start - start % PAGE_SIZE, -(-end // PAGE_SIZE) * PAGE_SIZE
        if last > USER_END:
            raise OSError(errno.EFAULT, "no process has such addresses")
        while position < last:
            before = held.total_ns
            with held.call():
                count = _scan(fd, position, last, address, _RUNS, any_of, tell, pages)
            words = found[: count * _WORDS]
            yield from map(Run, words[0::3], words[1::3], words[2::3])
            seen = (sum(words[1::3]) - sum(words[0::3])) // PAGE_SIZE
            if count < _RUNS and seen < pages:
                break
            took = held.total_ns - before
            if 2 * took > longest_ns:
                pages = max(pages // 2, LEAST_PAGES)
            elif 8 * took < longest_ns:
                pages *= 2
            # Not from walk_end: kernels leave an old value there when their own inner loop came to an end.
            position = words[-2]


def _probe(fd: int, any_of: int, tell: int) -> None:
    """The same request for no pages at all."""
    try:
        _scan(fd, 0, 0, 0, 0, any_of, tell)
    except OSError as error:
        if error.errno in _UNKNOWN:
            raise NoScan from None
        raise


def _scan(
    fd: int, start: int, end: int, address: int, runs: int, any_of: int, tell: int, pages: int = 0
) -> int:
    """Number of runs found, of at most so many pages (0: any number).

    The kernel writes them to `address`, so the caller keeps that memory alive.
    """
    # size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, all of, any of, return
    argument = _ARGUMENT.pack(_ARGUMENT.size, 0, start, end, 0, address, runs, pages, 0, 0, any_of, tell)
    found: int = fcntl.ioctl(fd, _REQUEST, bytearray(argument))
    return found
