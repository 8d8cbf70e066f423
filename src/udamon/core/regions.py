"""A region, the unit DAMON counts accesses by, and the two operations that keep its bytes: cut and fold."""

from __future__ import annotations

from collections.abc import Iterable


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


def total_size(regions: Iterable[Region]) -> int:
    """Bytes of all regions."""
    return sum(r.end - r.start for r in regions)
