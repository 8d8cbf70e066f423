"""A region: the unit DAMON counts accesses by."""

from __future__ import annotations


class Region:
    """A half-open range [start, end) assumed to be accessed alike throughout (semantics §1)."""

    __slots__ = ("age", "end", "last_nr_accesses", "nr_accesses", "nr_accesses_bp", "start", "touched")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.nr_accesses = 0
        self.last_nr_accesses = 0
        self.nr_accesses_bp = 0
        self.age = 0
        self.touched = 0
