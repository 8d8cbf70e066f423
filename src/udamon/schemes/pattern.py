"""Which regions a scheme is about (docs/damon.md#scheme-fields, #apply-pass)."""

from __future__ import annotations

from typing import NamedTuple

from udamon.core.regions import Region
from udamon.core.scheme import AccessPattern


def accesses(region: Region) -> int:
    """What a scheme takes for the accesses of a region: the moving sum over one aggregation, in samples.

    It is right in the middle of an aggregation, too, where nr_accesses is only what was counted so far.
    """
    return region.nr_accesses_bp // 10_000


class PatternLimits(NamedTuple):
    """An access pattern as it is compared: every region is, by every scheme. The accesses are those of `accesses`,
    × 10 000, and below `most_bp` instead of up to a maximum."""

    sz_min: int
    sz_max: int
    least_bp: int
    most_bp: int
    age_min: int
    age_max: int

    @classmethod
    def of(cls, pattern: AccessPattern) -> PatternLimits:
        sz, nr, age = pattern.sz, pattern.nr_accesses, pattern.age
        return cls(sz.min, sz.max, nr.min * 10_000, (nr.max + 1) * 10_000, age.min, age.max)


def matches(limits: PatternLimits, region: Region) -> bool:
    """Size, accesses and age all inside their closed ranges."""
    sz_min, sz_max, least_bp, most_bp, age_min, age_max = limits
    return (
        age_min <= region.age <= age_max
        and least_bp <= region.nr_accesses_bp < most_bp
        and sz_min <= region.end - region.start <= sz_max
    )
