"""Schemes on processes are charged for the memory that is there: a mapping can be a thousand times larger.

The kernel charges addresses, and a quota is spent on holes then: a terabyte of which little is resident takes hours
at the default quota. Only DAMON's own files (udamon control) do as the kernel does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from udamon.core.scheme import Action
from udamon.core.target import Target
from udamon.errors import CannotError
from udamon.linux.procfs import ProcessId
from udamon.linux.residency import first_resident
from udamon.linux.roots import Roots
from udamon.model import Range

_ABSENT = (Action.WILLNEED,)
"""Actions on memory that is not resident: for them every address counts."""

Table = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Starts, ends and resident bytes of regions."""


class ResidentSizes:
    """schemes.Sizes by what is resident. `resident` tells the bytes of each region of a target, None where that is
    not known: there, and where a target is no process, every address counts."""

    def __init__(
        self,
        resident: Callable[[Target], Sequence[int] | None],
        roots: Roots = Roots(),  # noqa: B008 (immutable)
        first: Callable[..., tuple[int, int]] = first_resident,
    ) -> None:
        self._resident = resident
        self._roots = roots
        self._first = first
        self._tables: dict[int, Table] = {}

    def begin(self, targets: Sequence[Target]) -> None:
        self._tables = {}
        for target in targets:
            sizes = self._resident(target)
            if sizes is not None and len(sizes) == target.nr_regions:
                columns = target.columns
                self._tables[target.index] = columns.starts, columns.ends, sizes

    def known(self, target: Target, start: int, end: int, action: Action) -> int:
        table = self._tables.get(target.index)
        if table is None or action in _ABSENT:
            return end - start
        starts, ends, sizes = table
        at = max(0, bisect_right(starts, start) - 1)
        found = 0
        while at < len(starts) and starts[at] < end:
            shared = min(end, ends[at]) - max(start, starts[at])
            if shared > 0:
                found += sizes[at] * shared // (ends[at] - starts[at])
            at += 1
        return found

    def first(self, target: Target, start: int, end: int, action: Action, most: int) -> tuple[int, int]:
        if target.pid is None or target.start_time is None or action in _ABSENT:
            end = min(end, start + most)
            return end, end - start
        try:
            process = ProcessId(target.pid, target.start_time)
            return self._first(process, Range(start, end), most, self._roots.proc)
        except CannotError:  # it has ended: acting on it says so
            end = min(end, start + most)
            return end, end - start
