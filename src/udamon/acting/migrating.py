"""Pages of a process moved between NUMA nodes, with the truth about how many.

A huge page (mapped as such) is moved as a whole, by its first page. Where nothing tells which pages are huge (before
Linux 6.7, without frame numbers), the pages of each aligned 2 MiB have one node, so that a huge page is not torn
between two. Large folios of other sizes are taken for single pages: one that is to be spread over several nodes comes
to rest, whole, on one of them. So what moved is told by where the pages were and are, not by which were asked for.
"""

from __future__ import annotations

import errno
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import NamedTuple

from udamon.acting.view import MappingPiece
from udamon.core.scheme import ActionRequest, Destination
from udamon.linux.move_pages import move, nodes_of
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range
from udamon.ranges import huge_blocks, overlap

ROUND = 16 * HUGE_PAGE_SIZE
"""Bytes of addresses a round, aligned, so that no huge page lies in two. Four system calls each for the usual single
destination."""

_ROUNDS = 3
_NO_NODE = {errno.ENODEV, errno.EACCES, errno.EINVAL}


class MigrationUnit(NamedTuple):
    """What moves as one: its address, its size in bytes, and the node it should come to."""

    address: int
    size: int
    node: int


def migrate(pidfd: int, pid: int, units: Iterable[MigrationUnit], *, shared: bool) -> int:
    """Bytes that it moved to another node. `shared`: also what other processes map. `units` by address. Raises OSError:
    ESRCH, EPERM.

    move_pages takes a pid, not a pidfd, and the number may become another process's. So before each call the pidfd
    tells that this process has not been collected, until when the number stays its own.
    """
    rounds = groupby(units, key=lambda unit: unit.address // ROUND)
    return sum(_moved(pidfd, pid, list(part), shared) for _, part in rounds)


def units(
    taken: Sequence[Range],
    huge: Sequence[Range] | None,
    pieces: Sequence[MappingPiece],
    request: ActionRequest,
) -> Iterator[MigrationUnit]:
    """What `request` wants moved of the pages `taken`; `huge` are the parts that huge pages back, None where that is
    not known. All sorted."""
    if request.dests and not sum(dest.weight for dest in request.dests):
        return
    for piece in pieces:
        mapped = Range(piece.start, piece.end)
        blocks = set(huge_blocks(mapped)) if huge is None else set()
        for start, end in overlap(taken, [mapped]):
            for first, size in _folios(start, end, huge or ()):
                block = first - first % HUGE_PAGE_SIZE
                at, folio = (block, HUGE_PAGE_SIZE) if block in blocks else (first, size)
                index = piece.first_page + (at - piece.start) // PAGE_SIZE
                node = (
                    chosen(index // (folio // PAGE_SIZE), request.dests)
                    if request.dests
                    else request.target_nid
                )
                yield MigrationUnit(first, size, node)


def chosen(index: int, dests: Sequence[Destination]) -> int:
    """The node for the folio of this index in its mapping: shares by weight, in turn (docs/damon.md#actions)."""
    slot = index % sum(dest.weight for dest in dests)
    for dest in dests:
        if slot < dest.weight:
            return dest.id
        slot -= dest.weight
    raise AssertionError("a slot is below the sum of the weights")


def _folios(start: int, end: int, huge: Sequence[Range]) -> Iterator[tuple[int, int]]:
    """(address, size) of each page in [start, end): of a huge page where one lies in it whole."""
    wholes = {address for part in overlap(huge, [Range(start, end)]) for address in huge_blocks(part)}
    while start < end:
        size = HUGE_PAGE_SIZE if start in wholes else PAGE_SIZE
        yield start, size
        start += size


def _moved(pidfd: int, pid: int, part: Sequence[MigrationUnit], shared: bool) -> int:
    addresses = [unit.address for unit in part]
    _require(pidfd)
    before = nodes_of(pid, addresses)
    by_node = defaultdict(list)
    for unit, now in zip(part, before, strict=True):
        if now >= 0 and now != unit.node:
            by_node[unit.node].append(unit.address)
    if not by_node:
        return 0
    for node, waiting in by_node.items():
        _move_to(pidfd, pid, node, waiting, shared)
    _require(pidfd)
    after = nodes_of(pid, addresses)
    return sum(
        unit.size
        for unit, was, now in zip(part, before, after, strict=True)
        if min(was, now) >= 0 and was != now
    )


def _move_to(pidfd: int, pid: int, node: int, waiting: list[int], shared: bool) -> None:
    """A call ends where a page fails, so the rest is tried again as long as that moves anything."""
    for _ in range(_ROUNDS):
        _require(pidfd)
        try:
            move(pid, waiting, node, shared=shared)
        except OSError as error:
            if error.errno in _NO_NODE:
                return
            if error.errno != errno.ENOMEM:  # the node is full: some may have found room
                raise
        after = nodes_of(pid, waiting)
        left = [address for address, now in zip(waiting, after, strict=True) if now >= 0 and now != node]
        if not left or len(left) == len(waiting):
            return
        waiting = left


def _require(pidfd: int) -> None:
    """Raises ProcessLookupError when the process was collected."""
    with suppress(PermissionError):  # it is there
        signal.pidfd_send_signal(pidfd, 0)
