"""Access patterns as people write them: rates as percent and ages as seconds, whatever the intervals are.

DAMON counts rates in samples and ages in aggregations. What is written in percent or seconds is turned into those by
the attributes that hold, and again when they change; parts of a sample or aggregation are dropped, as DAMON's own
modules do it (docs/damon.md#damon_reclaim, #damon_lru_sort).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction

from udamon.core.attrs import Attrs
from udamon.core.scheme import U32_MAX, U64_MAX, AccessPattern, Bounds, Scheme
from udamon.errors import UsageError
from udamon.model import PAGE_SIZE
from udamon.units import parse_size, parse_time_us

_SHARE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*%\s*")
_COUNT = re.compile(r"\s*[0-9]{1,20}\s*")


class QuantityUnit(Enum):
    """What a quantity was written in."""

    COUNT = auto()
    """Samples or aggregations, as they are."""
    SHARE = auto()
    """Of the samples of an aggregation."""
    US = auto()
    """Microseconds."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A rate or an age in the unit that it was written in."""

    value: int | Fraction
    unit: QuantityUnit = QuantityUnit.COUNT

    def at(self, attrs: Attrs) -> int:
        """Samples (rates) or aggregations (ages) with these attributes, rounded down, at most 2**32-1."""
        value = self.value
        if self.unit is QuantityUnit.SHARE:
            value = value * attrs.max_nr_accesses
        elif self.unit is QuantityUnit.US:
            value = value / max(Fraction(attrs.aggr_us), Fraction(1))
        return min(int(value), U32_MAX)


NONE = Quantity(0)
MAX = Quantity(U32_MAX)
"""No bound: the largest count there is."""


LARGEST = 1 << 47
"""Bytes: no region is as large (user space of x86-64, four levels of page tables)."""
LONGEST_US = 366 * 86_400 * 1_000_000
"""No memory has been watched for so long: a year."""

NOTHING = AccessPattern(Bounds(0, 0), Bounds(0, 0), Bounds(0, 0))
"""Matches no region: none has no bytes."""


@dataclass(frozen=True, slots=True)
class QuantityBounds:
    """A closed interval."""

    min: Quantity = NONE
    max: Quantity = MAX

    def at(self, attrs: Attrs) -> Bounds:
        return Bounds(self.min.at(attrs), self.max.at(attrs))


@dataclass(frozen=True, slots=True)
class WantedScheme:
    """A scheme whose rates and ages are still as they were written; `scheme` has all the rest of it."""

    scheme: Scheme
    nr_accesses: QuantityBounds = QuantityBounds()
    age: QuantityBounds = QuantityBounds()

    def matches_all(self, attrs: Attrs) -> bool:
        """Whether its pattern leaves no memory out, as far as there can be any, with these attributes."""
        sz, rate, age = self.scheme.access_pattern.sz, self.nr_accesses.at(attrs), self.age.at(attrs)
        endless = age.max == U32_MAX or age.max * attrs.aggr_us >= LONGEST_US
        return (
            (sz.min <= PAGE_SIZE and sz.max >= LARGEST - PAGE_SIZE)
            and (rate.min == 0 and rate.max >= attrs.max_nr_accesses)
            and (age.min == 0 and endless)
        )

    def at(self, attrs: Attrs) -> Scheme:
        """The scheme with these attributes; one that they leave no rate or no age to matches nothing."""
        nr_accesses, age = self.nr_accesses.at(attrs), self.age.at(attrs)
        pattern = NOTHING
        if nr_accesses.min <= nr_accesses.max and age.min <= age.max:
            pattern = AccessPattern(self.scheme.access_pattern.sz, nr_accesses, age)
        return replace(self.scheme, access_pattern=pattern)


def parse_bytes(text: str) -> int:
    """Bytes from "4 KiB", "0x1000", or "max". Raises UsageError."""
    size = U64_MAX if text.strip() == "max" else parse_size(text)
    if size > U64_MAX:
        raise UsageError(f"{text} is more bytes than there are; write max.")
    return size


def parse_rate(text: str) -> Quantity:
    """A rate of accesses: "10%" of the samples, a number of samples, or "max". Raises UsageError."""
    if text.strip() == "max":
        return MAX
    if (share := parse_percent(text)) is not None:
        if share > 1:
            raise UsageError(f"a rate of {text.strip()} is more than every sample; write at most 100%.")
        return Quantity(share, QuantityUnit.SHARE)
    if not _COUNT.fullmatch(text):
        raise UsageError(
            f"{text[:60]!r} is not a rate; write 10% of the samples, a number of samples, or max."
        )
    return Quantity(_count(text))


def parse_age(text: str) -> Quantity:
    """An age: "5s", a number of aggregations, or "max". Raises UsageError."""
    if text.strip() == "max":
        return MAX
    if _COUNT.fullmatch(text):
        return Quantity(_count(text))
    return Quantity(parse_time_us(text), QuantityUnit.US)


def parse_percent(text: str) -> Fraction | None:
    """The share that "10%" is, exactly; None where there is no percent sign to it."""
    match = _SHARE.fullmatch(text)
    return None if match is None else Fraction(match[1]) / 100


def _count(text: str) -> int:
    return min(int(text), U32_MAX)
