"""A target: one address space with its regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from udamon.core.regions import Region, RegionColumns
from udamon.model import Range


class Target:
    """One address space. `index` never changes or returns within a context: recordings refer to it.

    `pid` is None for physical and simulated memory; `start_time` (field 22 of /proc/PID/stat) tells a
    reused pid. `ranges` are where its memory is now; `regions` cover them, sorted and disjoint. `resident` is where it
    had pages at the last look, sorted and disjoint; None when that is not known. `snapshots` were published of it.
    """

    __slots__ = (
        "_begun",
        "_columns",
        "_regions",
        "index",
        "pid",
        "ranges",
        "resident",
        "snapshots",
        "start_time",
    )

    def __init__(
        self,
        index: int,
        pid: int | None = None,
        start_time: int | None = None,
        ranges: Sequence[Range] = (),
        resident: Iterable[Range] | None = None,
        regions: Sequence[Region] = (),
    ) -> None:
        self.index = index
        self.pid = pid
        self.start_time = start_time
        self.ranges = list(ranges)
        self.resident = None if resident is None else list(resident)
        self.snapshots = 0
        self._regions = list(regions)
        self._columns: RegionColumns | None = (
            None  # in place of the list, as long as nobody has asked for that
        )
        self._begun = False  # an aggregation, since there are columns

    def __repr__(self) -> str:
        return f"Target({self.index}, pid={self.pid}, {self.nr_regions} regions)"

    @property
    def regions(self) -> list[Region]:
        """Its regions as objects, which may be changed: made of the columns when they are asked for."""
        if self._columns is not None:
            self._regions, self._columns = self._columns.objects(begun=self._begun), None
        return self._regions

    @regions.setter
    def regions(self, regions: list[Region]) -> None:
        self._regions, self._columns = regions, None

    @property
    def columns(self) -> RegionColumns:
        """Its regions as columns: those that were set, as long as nobody has asked for objects since."""
        return RegionColumns.of(self._regions) if self._columns is None else self._columns

    @columns.setter
    def columns(self, columns: RegionColumns) -> None:
        self._regions, self._columns, self._begun = [], columns, False

    @property
    def nr_regions(self) -> int:
        return len(self._regions) if self._columns is None else len(self._columns)

    @property
    def covered_bytes(self) -> int:
        """Of all its regions."""
        if self._columns is not None:
            return sum(self._columns.ends) - sum(self._columns.starts)
        return sum(region.end - region.start for region in self._regions)

    def begin_aggregation(self) -> None:
        """What was counted up to now is of the last aggregation."""
        self._begun = True
        for region in self._regions:
            region.last_nr_accesses = region.nr_accesses
