"""Splitting: every region is cut at a random place, to see whether its parts differ
(docs/damon.md#splitting, #size-limit)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from udamon.core.regions import Region, cut
from udamon.core.target import Target


def split_randomly(regions: list[Region], pieces: int, min_region: int, random: Random) -> None:
    """Cut each region into at most `pieces`, at tenths of its size aligned down to `min_region` bytes.

    A try that would leave an empty part is lost, and a second cut cuts the left part again, as in the
    kernel. New parts are not cut again in the same pass.
    """
    if pieces == 2:
        _split_in_two(regions, min_region, random)
        return
    result: list[Region] = []
    append = result.append
    draw = random.random
    for r in regions:
        append(r)
        size = r.end - r.start
        place = len(result)
        for _ in range(pieces - 1):
            if size <= 2 * min_region:
                break
            left = int(draw() * 9 + 1) * size // 10
            left -= left % min_region
            if left and left < size:
                # A later cut lies further left, so it goes in front of the earlier ones.
                result.insert(place, cut(r, left))
                size = left
    regions[:] = result


def _split_in_two(regions: list[Region], min_region: int, random: Random) -> None:
    """The same for two pieces, which is nearly always: the costliest step of an aggregation.

    What regions.cut does stands here in line, which takes 40 % off it.
    """
    result: list[Region] = []
    append = result.append
    draw = random.random
    smallest = 2 * min_region
    for r in regions:
        append(r)
        start = r.start
        size = r.end - start
        if size > smallest:
            left = int(draw() * 9 + 1) * size // 10
            left -= left % min_region
            if left and left < size:
                rest: Region = _new(Region)
                rest.start = middle = start + left
                rest.end = r.end
                r.end = middle
                rest.nr_accesses = r.nr_accesses
                rest.last_nr_accesses = r.last_nr_accesses
                rest.nr_accesses_bp = r.nr_accesses_bp
                rest.age = r.age
                rest.absent = r.absent
                rest.touched = 0
                append(rest)
    regions[:] = result


_new = object.__new__


class Splitter:
    """Decides when and how finely to split.

    The kernel keeps the count of the previous split in one variable for all its kdamonds (docs/damon.md#splitting);
    here each policy has its own, so that contexts do not disturb each other.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._count_before = 0

    def split(self, targets: Sequence[Target], max_nr_regions: int, min_region: int) -> None:
        """Split all regions in two, or in three when the count stands still below a third of the maximum."""
        count = sum(len(target.regions) for target in targets)
        if count > max_nr_regions // 2:
            return
        pieces = 3 if count == self._count_before and count < max_nr_regions // 3 else 2
        for target in targets:
            split_randomly(target.regions, pieces, min_region, self._random)
        self._count_before = count


def size_limit(targets: Sequence[Target], min_nr_regions: int, min_region: int) -> int:
    """The largest size a region may have, in bytes, so that at least `min_nr_regions` exist."""
    total = sum(target.covered_bytes for target in targets)
    limit = max(total // min_nr_regions, min_region)
    return -(-limit // min_region) * min_region


def enforce_limit(regions: list[Region], limit: int) -> None:
    """Cut every region larger than `limit` bytes, repeatedly from its left end (kernel 7.1 and later)."""
    if all(r.end - r.start <= limit for r in regions):
        return
    result: list[Region] = []
    for region in regions:
        rest = region
        while rest.end - rest.start > limit:
            result.append(rest)
            rest = cut(rest, limit)
        result.append(rest)
    regions[:] = result
