"""A region, the unit DAMON counts accesses by, and the two operations that keep its bytes: cut and fold."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace


class Region:
    """A half-open range [start, end) of bytes assumed to be accessed alike throughout (docs/damon.md#terms).

    `nr_accesses` counts positive samples of the running aggregation, `absent` samples that met no page;
    `nr_accesses_bp` is the pseudo moving sum × 10 000; `age` counts aggregations; `touched` is the
    estimate of bytes accessed at least once in the last aggregation.
    """

    __slots__ = (
        "absent",
        "age",
        "end",
        "last_nr_accesses",
        "nr_accesses",
        "nr_accesses_bp",
        "start",
        "touched",
    )

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.nr_accesses = 0
        self.last_nr_accesses = 0
        self.nr_accesses_bp = 0
        self.age = 0
        self.absent = 0
        self.touched = 0

    @property
    def size(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Region({self.start:#x}-{self.end:#x}: {self.nr_accesses} {self.age})"


@dataclass(frozen=True, slots=True)
class RegionColumns:
    """Regions as parallel arrays, in address order, as snapshots have them: nobody changes one.

    `nr_accesses_bp` is None where it is nr_accesses × 10 000.
    """

    starts: array[int]  # 'Q'
    ends: array[int]  # 'Q'
    nr_accesses: array[int]  # 'I'
    ages: array[int]  # 'I'
    touched: array[int]  # 'Q'
    nr_accesses_bp: array[int] | None = None  # 'Q'

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(cls, regions: Sequence[Region]) -> RegionColumns:
        """What snapshots tell of them."""
        return cls(
            array("Q", [r.start for r in regions]),
            array("Q", [r.end for r in regions]),
            array("I", [r.nr_accesses for r in regions]),
            array("I", [r.age for r in regions]),
            array("Q", [r.touched for r in regions]),
        )

    def older(self) -> RegionColumns:
        """The same an aggregation later."""
        return replace(self, ages=array("I", [age + 1 for age in self.ages]))

    def objects(self, *, begun: bool) -> list[Region]:
        """Regions with these numbers, which may be changed.

        `begun`: an aggregation has begun since, so these counts are the last ones; else the last ones are 0."""
        regions = list(map(Region, self.starts, self.ends))
        columns = zip(self.nr_accesses, self.ages, self.touched, strict=True)
        for region, (count, age, touched) in zip(regions, columns, strict=True):
            region.nr_accesses = count
            region.nr_accesses_bp = count * 10_000
            region.age = age
            region.touched = touched
            if begun:
                region.last_nr_accesses = count
        if self.nr_accesses_bp is not None:
            for region, moving in zip(regions, self.nr_accesses_bp, strict=True):
                region.nr_accesses_bp = max(moving, region.nr_accesses_bp)
        return regions


def cut(region: Region, size: int) -> Region:
    """Shorten `region` to its first `size` bytes and return the rest, which inherits all counters."""
    # __init__ would set every counter twice; splitting is the hottest path of the policy.
    rest: Region = _new(Region)
    rest.start = region.start + size
    rest.end = region.end
    region.end = rest.start
    rest.nr_accesses = region.nr_accesses
    rest.last_nr_accesses = region.last_nr_accesses
    rest.nr_accesses_bp = region.nr_accesses_bp
    rest.age = region.age
    rest.absent = region.absent
    rest.touched = 0
    return rest


_new = object.__new__


def fold(left: Region, right: Region) -> None:
    """Fold `right` into its left neighbour: counters become size-weighted averages, rounded down.

    The left region keeps its last_nr_accesses, and the moving sum follows nr_accesses (docs/damon.md#merging).
    """
    a = left.end - left.start
    b = right.end - right.start
    size = a + b
    left.nr_accesses = (left.nr_accesses * a + right.nr_accesses * b) // size
    left.age = (left.age * a + right.age * b) // size
    left.absent = (left.absent * a + right.absent * b) // size
    left.nr_accesses_bp = left.nr_accesses * 10_000
    left.end = right.end
