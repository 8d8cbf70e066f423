"""The priority of a region for an action, 0 to 99 (docs/damon.md#priority): what a quota spends itself on first."""

from __future__ import annotations

from enum import Enum

from udamon.core.attrs import Attrs
from udamon.core.regions import Region
from udamon.core.scheme import Action, Weights
from udamon.schemes.pattern import accesses

MOST = 99
_AGE_BITS = 32


class Preference(Enum):
    """Which memory an action is for."""

    HOT = "hot"
    COLD = "cold"
    ANY = "any"


PREFERENCES = {
    Action.PAGEOUT: Preference.COLD,
    Action.LRU_PRIO: Preference.HOT,
    Action.LRU_DEPRIO: Preference.COLD,
    Action.MIGRATE_HOT: Preference.HOT,
    Action.MIGRATE_COLD: Preference.COLD,
}
"""All other actions take whatever matches."""


def score(action: Action, region: Region, weights: Weights, attrs: Attrs) -> int:
    """How much `action` wants `region`: higher is sooner."""
    preference = PREFERENCES.get(action, Preference.ANY)
    if preference is Preference.ANY:
        return MOST
    hot = hotness(accesses(region), region.age, weights, attrs)
    return hot if preference is Preference.HOT else MOST - hot


def hotness(nr_accesses: int, age: int, weights: Weights, attrs: Attrs) -> int:
    """0 (long unaccessed) to 99 (long accessed all the time).

    As in the kernel, the size weight is accepted and changes nothing, and with no weights at all every region is
    alike (docs/damon.md#priority): size says nothing about how a byte is used, and a quota without weights
    is meant to be spent in the order of addresses.
    """
    frequency = nr_accesses * 100 // attrs.max_nr_accesses
    seconds = age * attrs.aggr_us // 1_000_000
    bits = min(seconds.bit_length(), _AGE_BITS)
    if frequency == 0:
        bits = -bits
    age_score = (bits + _AGE_BITS) * 100 // _AGE_BITS // 2
    total = weights.nr_accesses_permil + weights.age_permil
    hot = weights.nr_accesses_permil * frequency + weights.age_permil * age_score
    if total:
        hot //= total
    return min(max(hot * MOST // 100, 0), MOST)
