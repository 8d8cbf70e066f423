"""How likely an answer is under a rate: the tables that native.steps_fit works with (docs/adaptive.md#answers)."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache

from udamon.core.adaptive.parameters import COARSE_LEVELS, LEVELS
from udamon.native._native import AGES, GAPS, HIT, WHOLE

CHANGES = tuple((before, after) for before in COARSE_LEVELS for after in COARSE_LEVELS if before != after)
"""Rates before and since, where a segment has changed."""

MISS = 0
NEVER = -1e9
"""The log of no chance at all, such that sums of it are numbers."""


def chance(rate: float, span: int) -> float:
    """Chance that a page accessed with `rate` per tick is accessed in `span` ticks."""
    return 1.0 - (1.0 - rate) ** span


STATE_RATES = array("d", (*LEVELS, *(after for _, after in CHANGES)))
"""Per state: the rate that holds now. The levels are followed by changes to a new level."""

LEVEL_OF = bytes(
    [
        *range(len(LEVELS)),
        *(min(range(len(LEVELS)), key=lambda i: abs(LEVELS[i] - new)) for _, new in CHANGES),
    ]
)
LEVEL_OF += bytes(256 - len(LEVEL_OF))
"""Of a state as a byte: the level that is nearest to its rate; the lowest where there is no memory."""


@lru_cache(maxsize=16)
def answer_table(ticks: int, outlier: float) -> array[float]:
    """'d', per kind (old points, then new ones) and state: the log of the answer's chance.

    States are the levels, then CHANGES. A whole span has `ticks` ticks.
    """
    olds = [*LEVELS, *(before for before, _ in CHANGES)]
    table = array("d")
    for kind in (MISS, HIT, WHOLE, WHOLE + HIT):
        span = ticks if kind & WHOLE else 1
        for rates in (olds, STATE_RATES):
            for rate in rates:
                hit = outlier / 2 + (1 - outlier) * chance(rate, span)
                table.append(math.log(hit if kind & HIT else 1 - hit))
    # Where there is no memory nothing is accessed: only the lowest level can be.
    table.extend(([0.0] + [NEVER] * (len(olds) - 1)) * 2)
    return table


@lru_cache(maxsize=16)
def enter_table(between_nats: float, change_nats: float) -> array[float]:
    """'d', per state: the log of its chance after a step.

    `change_nats` are the odds against a change to nearly always or nearly never, `between_nats` against one to anything
    between.
    """
    changes = [-between_nats if after == COARSE_LEVELS[1] else -change_nats for _, after in CHANGES]
    return array("d", [-math.log(len(LEVELS))] * len(LEVELS) + changes)


def jump_table(steps: int, size: int) -> array[float]:
    """'d', by the index of a distance: log of the chance of a step in it, of `steps` in `size` bytes."""
    density = steps / size
    return _jumps(round(4 * math.log2(density)))


@lru_cache(maxsize=256)
def _jumps(density: int) -> array[float]:
    """For so many quarters of an octave of steps per byte: that exact they need not be."""
    per_byte = 2.0 ** (density / 4)
    return array("d", [math.log(min(per_byte * distance, 0.5)) for distance in _DISTANCES])


def _distance(index: int) -> int:
    """The smallest distance with this index, its logarithm in eighths (native.steps)."""
    if index < 24:
        return max(index, 1)
    log2, eighth = divmod(index, 8)
    return (8 + eighth) << (log2 - 3)


_DISTANCES = [_distance(i) for i in range(GAPS)]


@lru_cache(maxsize=256)
def weight_table(forgotten: float, memory: int) -> array[float]:
    """'d', by age: the weight of a point, that falls to 1 − `forgotten` at the age `memory` and no further."""
    return array("d", [(1 - forgotten) ** min(age / memory, 1) for age in range(AGES)])
