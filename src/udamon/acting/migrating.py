"""Pages of a process moved between NUMA nodes, with the truth about how many.

A huge page (mapped as such) is moved as a whole, by its first page. Large folios of other sizes are taken for single
pages: one that is to be spread over several nodes comes to rest, whole, on one of them.
"""

from __future__ import annotations

import errno
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from udamon.acting.view import MappingPiece
from udamon.core.scheme import ActionRequest, Destination
from udamon.linux.move_pages import move, nodes_of
from udamon.model import HUGE_PAGE_SIZE, PAGE_SIZE, Range
from udamon.ranges import overlap

PAGES = 8192
"""Pages a round. Three system calls each for the usual single destination."""

_ROUNDS = 3
_NO_NODE = {errno.ENODEV, errno.EACCES, errno.EINVAL}


class MigrationUnit(NamedTuple):
    """What moves as one: its address, its size in bytes, and the node it should come to."""

    address: int
    size: int
    node: int


def migrate(pidfd: int, pid: int, units: Iterable[MigrationUnit], *, shared: bool) -> int:
    """Bytes moved by it to their nodes; those that were there already are none. `shared`: also what other processes
    map. Raises OSError: ESRCH, EPERM.

    move_pages takes a pid, not a pidfd, and the number may become another process's. So before each call the pidfd
    tells that this process has not been collected, until when the number stays its own.
    """
    units = iter(units)
    moved = 0
    while part := list(islice(units, PAGES)):
        moved += _moved(pidfd, pid, part, shared)
    return moved


def units(
    taken: Sequence[Range], huge: Sequence[Range], pieces: Sequence[MappingPiece], request: ActionRequest
) -> Iterator[MigrationUnit]:
    """What `request` wants moved of the pages `taken`; `huge` are the parts that huge pages back. All sorted."""
    if request.dests and not sum(dest.weight for dest in request.dests):
        return
    for piece in pieces:
        for start, end in overlap(taken, [Range(piece.start, piece.end)]):
            for first, size in _folios(start, end, huge):
                index = piece.first_page + (first - piece.start) // PAGE_SIZE
                node = (
                    chosen(index // (size // PAGE_SIZE), request.dests)
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
    wholes = {
        address
        for part in overlap(huge, [Range(start, end)])
        for address in range(
            -(-part.start // HUGE_PAGE_SIZE) * HUGE_PAGE_SIZE, part.end - HUGE_PAGE_SIZE + 1, HUGE_PAGE_SIZE
        )
    }
    while start < end:
        size = HUGE_PAGE_SIZE if start in wholes else PAGE_SIZE
        yield start, size
        start += size


def _moved(pidfd: int, pid: int, part: Sequence[MigrationUnit], shared: bool) -> int:
    _require(pidfd)
    before = nodes_of(pid, [unit.address for unit in part])
    by_node = defaultdict(list)
    for unit, now in zip(part, before, strict=True):
        if now >= 0 and now != unit.node:
            by_node[unit.node].append(unit)
    return sum(_moved_to(pidfd, pid, node, waiting, shared) for node, waiting in by_node.items())


def _moved_to(pidfd: int, pid: int, node: int, waiting: list[MigrationUnit], shared: bool) -> int:
    """A call ends where a page fails, so the rest is tried again as long as that moves anything."""
    moved = 0
    for _ in range(_ROUNDS):
        addresses = [unit.address for unit in waiting]
        _require(pidfd)
        try:
            move(pid, addresses, node, shared=shared)
        except OSError as error:
            if error.errno in _NO_NODE:
                break
            if error.errno != errno.ENOMEM:  # the node is full: some may have found room
                raise
        after = nodes_of(pid, addresses)
        came = sum(unit.size for unit, now in zip(waiting, after, strict=True) if now == node)
        moved += came
        waiting = [unit for unit, now in zip(waiting, after, strict=True) if now >= 0 and now != node]
        if not waiting or not came:
            break
    return moved


def _require(pidfd: int) -> None:
    """Raises ProcessLookupError when the process was collected."""
    with suppress(PermissionError):  # it is there
        signal.pidfd_send_signal(pidfd, 0)
