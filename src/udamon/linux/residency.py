"""Which parts of a process are in memory, at a cost that reserved but unused memory hardly adds to.

By PAGEMAP_SCAN where the kernel has it. Elsewhere smaps tells which mappings have anything resident, and the
page map of those that are partly resident is read, the smallest first, until the budget is spent; the
others are taken whole. That way finds neither hugetlb pages nor mappings of nothing but the zero page.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from udamon.linux.failure import process_errors
from udamon.linux.held import Held
from udamon.linux.pagemap import PRESENT, SWAPPED, open_page_map, read_runs
from udamon.linux.pagemap_scan import LONGEST_NS, NoScan, scan_runs
from udamon.linux.procfs import ProcessId
from udamon.linux.roots import PROC
from udamon.linux.smaps import parse_referenced, read_smaps
from udamon.model import PAGE_SIZE, Range
from udamon.ranges import joined, overlap

BUDGET = 1 << 20
"""Pages whose entries one call reads where it cannot scan: 4 GiB of address space, 10 to 40 ms."""


def resident(
    process: ProcessId,
    ranges: Sequence[Range],
    root: Path = PROC,
    *,
    grain: int = PAGE_SIZE,
    budget: int = BUDGET,
    longest_ns: int = LONGEST_NS,
    held: Held | None = None,
) -> list[Range]:
    """The resident parts of `ranges` (sorted, disjoint), sorted, disjoint, in whole pages and joined.

    Gaps smaller than `grain` bytes count as resident, so that the answer has at most one range per `grain`
    bytes. Swapped-out pages are not resident. A scan holds the mapping lock for `longest_ns` at a time at most, or
    nearly so; `held` counts how long it was. Raises TargetGone, NotPermitted or another CannotError.
    """
    with process_errors(process.pid, root, process.start_time):
        fd = open_page_map(process, root)
        try:
            return joined(_scanned(fd, ranges, PRESENT, longest_ns, held), grain)
        except NoScan:
            return joined(_by_smaps(process, fd, ranges, root, budget, held), grain)
        finally:
            os.close(fd)


def first_resident(
    process: ProcessId, wanted: Range, most: int, root: Path = PROC, *, budget: int = BUDGET
) -> tuple[int, int]:
    """(end, bytes): how far from its start `wanted` goes until `most` bytes of it are resident, in whole pages, and
    how many are; its end where it has fewer. Holes cost hardly anything. Raises as `resident`."""
    with process_errors(process.pid, root, process.start_time):
        fd = open_page_map(process, root)
        try:
            return _up_to(_scanned(fd, [wanted], PRESENT), wanted.end, most)
        except NoScan:
            return _up_to(_by_smaps(process, fd, [wanted], root, budget), wanted.end, most)
        finally:
            os.close(fd)


def _up_to(found: Iterable[Range], end: int, most: int) -> tuple[int, int]:
    most -= most % PAGE_SIZE
    passed = 0
    for run in found:
        if passed + run.size > most:
            return run.start + most - passed, most
        passed += run.size
    return end, passed


def swapped(
    process: ProcessId, ranges: Sequence[Range], root: Path = PROC, *, grain: int = PAGE_SIZE
) -> list[Range] | None:
    """The swapped-out parts of `ranges`, as `resident` answers; None where that is not cheap to know."""
    with process_errors(process.pid, root, process.start_time):
        fd = open_page_map(process, root)
        try:
            return joined(_scanned(fd, ranges, SWAPPED), grain)
        except NoScan:
            return None
        finally:
            os.close(fd)


def _scanned(
    fd: int, ranges: Sequence[Range], kind: int, longest_ns: int = LONGEST_NS, held: Held | None = None
) -> Iterator[Range]:
    try:
        for run in scan_runs(fd, ranges, kind, kind, longest_ns=longest_ns, held=held):
            yield Range(run.start, run.end)
    except OSError as error:
        if error.errno == errno.EFAULT:  # ranges beyond what a process can have: smaps knows its mappings
            raise NoScan from None
        raise


def _by_smaps(
    process: ProcessId, fd: int, ranges: Sequence[Range], root: Path, budget: int, held: Held | None = None
) -> list[Range]:
    data = read_smaps(process, root, held=held)
    if not data:
        raise ProcessLookupError  # its memory went while we read
    mappings = parse_referenced(data)
    full = [Range(m.start, m.end) for m in mappings if m.rss == m.end - m.start]
    whole = list(overlap(ranges, full))
    partial = [Range(m.start, m.end) for m in mappings if m.rss < m.end - m.start]
    found: list[Range] = []
    for part in sorted(overlap(ranges, partial), key=lambda r: r.size):
        budget -= -(-part.size // PAGE_SIZE)
        if budget < 0:
            whole.append(part)
        else:
            found += (Range(r.start, r.end) for r in read_runs(fd, [part]) if r.categories & PRESENT)
    return sorted(found + whole)
