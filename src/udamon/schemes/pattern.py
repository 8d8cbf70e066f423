"""Which regions a scheme is about (semantics §4.1, §4.2.4)."""

from __future__ import annotations

from udamon.core.regions import Region
from udamon.core.scheme import AccessPattern


def accesses(region: Region) -> int:
    """What a scheme takes for the accesses of a region: the moving sum over one aggregation, in samples.

    It is right in the middle of an aggregation, too, where nr_accesses is only what was counted so far.
    """
    return region.nr_accesses_bp // 10_000


def matches(pattern: AccessPattern, region: Region) -> bool:
    """Size, accesses and age all inside their closed ranges."""
    return (
        pattern.sz.min <= region.end - region.start <= pattern.sz.max
        and pattern.age.min <= region.age <= pattern.age.max
        and pattern.nr_accesses.min <= accesses(region) <= pattern.nr_accesses.max
    )
