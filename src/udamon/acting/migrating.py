"""Pages of a process moved between NUMA nodes, with the truth about how many.

The kernel moves a folio as a whole, whichever of its pages it is asked for. So each folio belongs to one node, and is
asked for by one of its pages where folios are known (acting/folios); else one pass would undo the other. What moved is
told by where the pages were and are, not by which were asked for.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

from udamon.acting.folios import SplitIntoFolios
from udamon.acting.view import MappingPiece
from udamon.core.scheme import ActionRequest, Destination
from udamon.linux.move_pages import move, nodes_of
from udamon.model import HUGE_PAGE_SIZE, Range
from udamon.ranges import overlap

ROUND = 16 * HUGE_PAGE_SIZE
"""Bytes of addresses a round, aligned. Four system calls each for the usual single destination."""

_ROUNDS = 3
_NO_NODE = {errno.ENODEV, errno.EACCES, errno.EINVAL}
_THREAD_ENDED = {errno.ESRCH, errno.EINVAL}  # EINVAL: it is still listed, but has no memory

_Answer = TypeVar("_Answer")


class MigrationUnit(NamedTuple):
    """What moves as one: its address, its bytes (what is taken of a folio), and the node it should come to."""

    address: int
    size: int
    node: int


def migrate(number: Callable[[], int], units: Iterable[MigrationUnit], *, shared: bool) -> int:
    """Bytes that it moved to another node. `shared`: also what other processes map. `units` by address. Raises OSError:
    ESRCH, EPERM.

    move_pages takes the number of a thread, not a pidfd, and it may become another process's. So `number` is asked
    before each call: that of a thread that has the memory of this very process. Raises ProcessLookupError.
    """
    rounds = groupby(units, key=lambda unit: unit.address // ROUND)
    return sum(_moved(number, list(part), shared) for _, part in rounds)


def nodes(request: ActionRequest) -> set[int]:
    """The nodes that `request` moves memory to."""
    if request.dests:
        return {dest.id for dest in request.dests if dest.weight}
    return {request.target_nid}


def units(
    taken: Sequence[Range], pieces: Sequence[MappingPiece], request: ActionRequest, split: SplitIntoFolios
) -> Iterator[MigrationUnit]:
    """What `request` wants moved of the pages `taken`, all sorted. Where it has several nodes, the place of a folio
    in its mapping chooses one. Raises OSError."""
    if not nodes(request):
        return
    for piece in pieces:
        for part in overlap(taken, [Range(piece.start, piece.end)]):
            for start, end, place in split(piece, part):
                node = chosen(place, request.dests) if request.dests else request.target_nid
                yield MigrationUnit(start, end - start, node)


def chosen(place: int, dests: Sequence[Destination]) -> int:
    """The node for the folio of this number in its mapping: shares by weight, in turn (docs/damon.md#actions)."""
    slot = place % sum(dest.weight for dest in dests)
    for dest in dests:
        if slot < dest.weight:
            return dest.id
        slot -= dest.weight
    raise AssertionError("a slot is below the sum of the weights")


def _moved(number: Callable[[], int], part: Sequence[MigrationUnit], shared: bool) -> int:
    addresses = [unit.address for unit in part]
    before = _nodes(number, addresses)
    by_node = defaultdict(list)
    for unit, now in zip(part, before, strict=True):
        if now >= 0 and now != unit.node:
            by_node[unit.node].append(unit.address)
    if not by_node:
        return 0
    for node, waiting in by_node.items():
        _move_to(number, node, waiting, shared)
    after = _nodes(number, addresses)
    return sum(
        unit.size
        for unit, was, now in zip(part, before, after, strict=True)
        if min(was, now) >= 0 and was != now
    )


def _move_to(number: Callable[[], int], node: int, pages: Sequence[int], shared: bool) -> None:
    """A call ends where a page fails, so the rest is tried again as long as that moves anything."""
    for _ in range(_ROUNDS):
        try:
            _move(number, pages, node, shared)
        except OSError as error:
            if error.errno in _NO_NODE:
                return
            if error.errno != errno.ENOMEM:  # the node is full: some may have found room
                raise
        after = _nodes(number, pages)
        left = [address for address, now in zip(pages, after, strict=True) if now >= 0 and now != node]
        if not left or len(left) == len(pages):
            return
        pages = left


def _nodes(number: Callable[[], int], pages: Sequence[int]) -> Sequence[int]:
    return _by_thread(number, lambda tid: nodes_of(tid, pages))


def _move(number: Callable[[], int], pages: Sequence[int], node: int, shared: bool) -> None:
    _by_thread(number, lambda tid: move(tid, pages, node, shared=shared))


def _by_thread(number: Callable[[], int], call: Callable[[int], _Answer]) -> _Answer:
    """What `call` answers by a number; by another one where that thread ended meanwhile and another has the memory."""
    tid = number()
    while True:
        try:
            return call(tid)
        except OSError as error:
            if error.errno not in _THREAD_ENDED or (other := number()) == tid:
                raise
            tid = other
