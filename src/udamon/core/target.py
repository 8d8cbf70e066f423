"""A target: one address space with its list of regions."""

from __future__ import annotations

from dataclasses import dataclass, field

from udamon.core.regions import Region
from udamon.model import Range


@dataclass(slots=True)
class Target:
    """One address space. `index` never changes or returns within a context: recordings refer to it.

    `pid` is None for physical and simulated memory; `start_time` (field 22 of /proc/PID/stat) tells a
    reused pid. `ranges` are where its memory is now; `regions` cover them, sorted and disjoint. `resident` is where it
    had pages at the last look, sorted and disjoint; None when that is not known. `snapshots` were published of it.
    """

    index: int
    pid: int | None = None
    start_time: int | None = None
    ranges: list[Range] = field(default_factory=list)
    resident: list[Range] | None = None
    regions: list[Region] = field(default_factory=list)
    snapshots: int = 0
