"""What the windows tell of allocations that were alive: how much of each is there, was touched, and is one process's.

An allocation that forked processes inherited is one. Of its memory is there what each of them has alone, and what they
have in common once: at least as much as one of them has of that.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import fsum
from operator import sub
from typing import NamedTuple

from udamon.model import NOWHERE, Snapshot
from udamon.native._native import add_objects
from udamon.sites.state import Image, Live


@dataclass(slots=True)
class Objects:
    """The live samples of a target in the order of their addresses, and what is summed up of each."""

    image: Image
    begin_ns: int
    end_ns: int
    starts: array[int]
    ends: array[int]
    since: array[int]
    requested: list[int]
    stacks: list[int]
    most: array[float]
    least: array[float]
    resident: array[float]
    last: array[int]
    alone: array[float]
    """Resident bytes that nothing else maps, of several processes."""

    def add(self, snapshot: Snapshot, *, alike: bool, idle_ns: int, several: bool) -> None:
        """Add what a window tells."""
        sizes = array("Q", map(sub, snapshot.ends, snapshot.starts))
        if several and snapshot.sharing is not None:
            private = (0 if size == NOWHERE else size for size in snapshot.sharing.private)
            self._add_alone(snapshot, array("Q", private))
        add_objects(
            start=self.starts,
            end=self.ends,
            since=self.since,
            most=self.most,
            least=self.least,
            resident=self.resident,
            last=self.last,
            region_start=snapshot.starts,
            region_end=snapshot.ends,
            touched=snapshot.touched,
            there=sizes if snapshot.resident is None else snapshot.resident,
            begin_ns=max(0, snapshot.begin_ns),
            end_ns=max(0, snapshot.end_ns),
            alike=alike,
            counted=snapshot.end_ns > self.end_ns - idle_ns,
        )

    def _add_alone(self, snapshot: Snapshot, private: array[int]) -> None:
        count = len(self.starts)
        nothing = array("d", bytes(8 * count))
        add_objects(
            start=self.starts,
            end=self.ends,
            since=self.since,
            most=nothing,
            least=nothing[:],
            resident=self.alone,
            last=array("Q", bytes(8 * count)),
            region_start=snapshot.starts,
            region_end=snapshot.ends,
            touched=array("Q", bytes(8 * len(private))),
            there=private,
            begin_ns=max(0, snapshot.begin_ns),
            end_ns=max(0, snapshot.end_ns),
            alike=True,
            counted=False,
        )


Inherited = list[tuple[Objects, int]]
"""One allocation, as each of the processes has it that made it or inherited it."""


class Found(NamedTuple):
    """What is known of one allocation, bytes."""

    resident: float
    touched: float
    touched_low: float


def objects_of(image: Image, live: Live, begin_ns: int, end_ns: int) -> Objects:
    """The samples of a target; of two at one place the later one."""
    starts, ends, since = array("Q"), array("Q"), array("Q")
    requested: list[int] = []
    stacks: list[int] = []
    for address, sample in sorted(live.items()):
        end = address + sample.size
        while ends and ends[-1] > address and since[-1] <= sample.time_ns:
            for numbers in (starts, ends, since):
                numbers.pop()
            requested.pop()
            stacks.pop()
        if ends and ends[-1] > address:
            continue
        starts.append(address)
        ends.append(end)
        since.append(sample.time_ns)
        requested.append(sample.requested)
        stacks.append(sample.stack)
    zeros = bytes(8 * len(starts))
    most, least, resident = array("d", zeros), array("d", zeros), array("d", zeros)
    last, alone = array("Q", zeros), array("d", zeros)
    return Objects(
        image, begin_ns, end_ns, starts, ends, since, requested, stacks, most, least, resident, last, alone
    )  # fmt: skip


def once(one: Inherited) -> Found:
    """What they have in common once, and what each has alone."""
    alone = fsum(of.alone[at] for of, at in one) if len(one) > 1 else 0.0
    resident = alone + max(
        max(0.0, of.resident[at] - (of.alone[at] if len(one) > 1 else 0.0)) for of, at in one
    )
    touched = fsum(min(of.most[at], of.resident[at]) for of, at in one)
    least = max(min(of.least[at], of.resident[at]) for of, at in one)
    return Found(resident, min(touched, resident), min(least, resident))
